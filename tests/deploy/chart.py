"""The chart as helm renders it: each variant once for a process of pytest."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "cohort"
RELEASE, NAMESPACE, STEPS = "cohort", "ml", "ml-steps"
MINORS = ["1.30", "1.34", "1.37"]

_HTTPS = [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}]
_PROMETHEUS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
_INGRESS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
_PLACED = {
    "podAnnotations": {"example.com/note": "x"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spare", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

ON: Manifest = {
    "images": {"pullSecrets": ["registry"], "digests": {"api": f"sha256:{'a' * 64}"}},
    "settings": {"log_level": "debug", "shards": 16},
    "secrets": {"model": {"existingSecret": "models"}},
    "artifacts": {"existingSecret": "bucket"},
    "api": {**_PLACED, "autoscaling": {"enabled": True}, "settings": {"max_body_bytes": 134217728}},
    "worker": {
        **_PLACED,
        "autoscaling": {"kind": "keda", "prometheus": "http://prometheus.monitoring.svc:9090"},
        "settings": {"slice_turns": 5, "sandbox_cpu": 0.5, "sandbox_memory_bytes": 536870912},
    },
    "controller": {**_PLACED, "readsNodes": True, "settings": {"jobs_per_second": 5}},
    "scriptedModel": {"enabled": True, "playbooks": {"mine": "about: Nothing.\n"}},
    "steps": {
        "imagePullSecret": "registry",
        "pools": [
            {
                "name": "a100",
                "node_selector": {"cloud.example/pool": "a100"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "gpu_product": "NVIDIA A100",
                "gpu_memory": "40Gi",
                "gpus_per_node": 8,
                "nodes": 100000,
                "max_cpu": 90,
                "price_per_hour": 1.25,
                "spot": True,
                "queue": "gpus",
                "images": ["ghcr.io/acme/*"],
            }
        ],
        "images": {"allowed": ["ghcr.io/acme/*"], "digest": "required"},
        "quota": {"gpus": 8, "tenants": {"research": 32}},
        "secrets": [{"name": "hub", "env": "HF_TOKEN", "secret": "hf-token", "key": "token", "tenants": ["research"]}],
    },
    "ingress": {"enabled": True, "className": "nginx", "host": "cohort.example.com", "tlsSecret": "tls"},
    "networkPolicy": {"clients": _INGRESS, "monitoring": _PROMETHEUS, "steps": _HTTPS},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "runbookUrl": "https://wiki.example.com/cohort/"},
        "dashboards": {"enabled": True, "namespace": "monitoring", "annotations": {"grafana_folder": "Cohort"}},
    },
    "grafana": {"url": "https://grafana.example.com"},
    "tools": {"hosts": ["*.huggingface.co"], "tenants": {"research": {"tokens": {"hub": "HF_RESEARCH"}}}},
    "tracing": {"url": "http://collector.monitoring.svc:4318/v1/traces", "ratio": 0.5, "existingSecret": "collector"},
}
OFF: Manifest = {
    "redis": {"bundled": False, "existingSecret": "my-redis"},
    "artifacts": {"url": "s3://bucket/cohort"},
    "secrets": {"runner": {"existingSecret": "my-runner"}, "apiKey": {"existingSecret": "my-key"}},
    "worker": {"autoscaling": {"kind": "hpa"}},
    "steps": {"createNamespace": False, "namespace": STEPS},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudgets": False,
}
OUTSIDE: Manifest = {**OFF, "networkPolicy": {"enabled": True}}
VARIANTS: Mapping[str, Manifest] = {"default": {}, "on": ON, "off": OFF, "outside": OUTSIDE}


def helm(*arguments: str, values: Manifest | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with `values`. Skips where there is none."""
    home = os.environ.get("COHORT_KUBE_HOME", str(Path.home() / ".cache" / "cohort-kube"))
    program = shutil.which("helm", path=f"{os.environ['PATH']}:{home}/bin")
    if program is None:
        pytest.skip("there is no helm, on the PATH or in $COHORT_KUBE_HOME/bin")
    # JSON is YAML; by stdin, so that numbers and lists stay what they are.
    command = [program, *arguments, "-n", NAMESPACE, "--kube-version", "1.34.0", "-f", "-"]
    given = json.dumps(values or {})
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


def template(values: Manifest) -> subprocess.CompletedProcess[str]:
    """What helm makes of these values."""
    return helm("template", RELEASE, str(CHART), values=values)


@cache
def rendered(variant: str) -> list[Manifest]:
    """Every object of a variant. Not to be changed."""
    done = template(VARIANTS[variant])
    assert done.returncode == 0, done.stderr
    return [body for body in yaml.safe_load_all(done.stdout) if body]


def of_kind(variant: str, *kinds: str) -> list[Manifest]:
    return [body for body in rendered(variant) if body["kind"] in kinds]


def named(variant: str, kind: str, name: str) -> Manifest:
    [found] = [body for body in of_kind(variant, kind) if body["metadata"]["name"] == name]
    return found


def namespace_of(body: Manifest) -> str:
    return str(body["metadata"].get("namespace", NAMESPACE))


def pods(variant: str) -> Iterator[tuple[str, Manifest]]:
    """Every pod or template of one, by its part."""
    for body in of_kind(variant, "Deployment", "StatefulSet", "Pod"):
        pod = body if body["kind"] == "Pod" else body["spec"]["template"]
        yield pod["metadata"]["labels"]["app.kubernetes.io/component"], pod
