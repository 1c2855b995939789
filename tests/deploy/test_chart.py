"""The chart: valid objects with every switch on and off, the least rights, restricted pods, and settings that exist."""

import json
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.core.apikeys import FirstKey
from services.core.images import ImagePolicy
from services.core.pools import GpuQuota, Pool, Pools, Toleration
from services.core.settings import ApiSettings, ControllerSettings, SharedSettings, WorkerSettings
from services.core.step_secrets import StepSecret
from services.worker.web.toolsfile import Reach, ToolsFile
from tests.deploy.chart import (
    CHART,
    MINORS,
    NAMESPACE,
    ON,
    STEPS,
    VARIANTS,
    Manifest,
    helm,
    named,
    namespace_of,
    of_kind,
    pods,
    rendered,
    template,
)

ROLES = Path(__file__).parents[2] / "deploy" / "kubernetes"
SETTINGS = {"api": ApiSettings, "worker": WorkerSettings, "controller": ControllerSettings}
# Of other projects: no schema of Kubernetes' own describes them.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# What a setting's value must never be in the open for.
SECRET = {
    f"COHORT_{name.upper()}"
    for settings in SETTINGS.values()
    for name, field in settings.model_fields.items()
    if "Secret" in str(field.annotation)
} | {"COHORT_REDIS_URL", "COHORT_BROKER_URL", "COHORT_KEY"}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def container(variant: str, part: str) -> Manifest:
    [found] = [pod for name, pod in pods(variant) if name == part]
    [only] = containers(found)
    return only


def variables(variant: str, part: str) -> dict[str, Manifest]:
    return {one["name"]: one for one in container(variant, part)["env"]}


@every_variant
def test_helm_has_nothing_to_say_against_it(variant: str) -> None:
    done = helm("lint", "--strict", str(CHART), values=VARIANTS[variant])
    assert done.returncode == 0, done.stdout + done.stderr


@every_variant
@pytest.mark.parametrize("minor", MINORS)
def test_every_object_is_valid(variant: str, minor: str) -> None:
    for body in rendered(variant):
        if body["kind"] not in FOREIGN:
            kubernetes_validate.validate(body, minor, strict=True)


@every_variant
def test_no_two_objects_are_of_one_name_and_all_bear_the_labels(variant: str) -> None:
    names = [(body["kind"], namespace_of(body), body["metadata"]["name"]) for body in rendered(variant)]
    assert len(names) == len(set(names))
    wanted = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")}
    assert [
        name for name, body in zip(names, rendered(variant), strict=True) if wanted - {*body["metadata"]["labels"]}
    ] == []


def test_each_switch_brings_what_it_is_for() -> None:
    kinds = {variant: {body["kind"] for body in rendered(variant)} for variant in VARIANTS}
    switched = {"Ingress", "ServiceMonitor", "PrometheusRule", "ScaledObject", "ClusterRole", "ClusterRoleBinding"}
    assert switched <= kinds["on"]
    assert switched & (kinds["default"] | kinds["off"]) == set()
    assert {
        "StatefulSet",
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Namespace",
        "Secret",
    } <= kinds["default"]
    assert kinds["off"] == {"ServiceAccount", "Deployment", "Service", "ConfigMap", "Role", "RoleBinding", "Pod"} | {
        "HorizontalPodAutoscaler"
    }


@every_variant
def test_every_variable_is_a_setting_of_its_service_and_none_that_is_secret_is_in_the_open(variant: str) -> None:
    for part, settings in SETTINGS.items():
        found = variables(variant, part)
        known = {f"COHORT_{name.upper()}" for name in settings.model_fields}
        assert {*found} <= known, part
        assert len(found) == len(container(variant, part)["env"]), f"{part} has a variable twice"
        assert {name for name in found if "value" in found[name]} & SECRET == set()
        # What is required is there, and what is there can be read.
        values = {name.removeprefix("COHORT_").lower(): one.get("value", "redis://x") for name, one in found.items()}
        settings(**values)
    smoke = variables(variant, "smoke")
    assert {name for name in smoke if "value" in smoke[name]} == set()


@every_variant
def test_what_is_secret_is_in_secrets_alone(variant: str) -> None:
    hidden = [value for body in of_kind(variant, "Secret") for value in body["stringData"].values()]
    others = json.dumps([body for body in rendered(variant) if body["kind"] != "Secret"])
    assert [value for value in hidden if json.dumps(value)[1:-1] in others] == []


def test_a_secret_of_yours_takes_the_place_of_ours() -> None:
    assert of_kind("off", "Secret") == []
    assert variables("off", "api")["COHORT_RUNNER_SECRET"]["valueFrom"]["secretKeyRef"]["name"] == "my-runner"
    assert variables("off", "controller")["COHORT_RUNNER_SECRET"]["valueFrom"]["secretKeyRef"]["name"] == "my-runner"
    assert variables("off", "smoke")["COHORT_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "my-key"
    for part in SETTINGS:
        assert variables("off", part)["COHORT_REDIS_URL"]["valueFrom"]["secretKeyRef"] == {
            "name": "my-redis",
            "key": "redis-url",
        }


def test_keys_of_models_reach_the_workers_alone() -> None:
    sources = {part: json.dumps(one.get("envFrom", [])) for part in SETTINGS for one in [container("on", part)]}
    assert [part for part in SETTINGS if "models" in sources[part]] == ["worker"]
    assert [part for part in SETTINGS if "bucket" in sources[part]] == [*SETTINGS]


def test_the_first_key_is_one() -> None:
    text = named("default", "Secret", "cohort-api-key")["stringData"]["api-key"]
    assert FirstKey(text, "default").record().id == text.split("_")[1]


def test_what_is_made_once_is_kept_when_the_release_goes() -> None:
    kept = [*of_kind("default", "Secret"), *of_kind("default", "PersistentVolumeClaim")]
    assert len(kept) == 4
    assert {body["metadata"]["annotations"]["helm.sh/resource-policy"] for body in kept} == {"keep"}


@every_variant
def test_every_pod_is_restricted(variant: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a root that is read-only."""
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    for part, pod in pods(variant):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), part
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, part
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, part
        assert spec["enableServiceLinks"] is False, part
        assert {kind for volume in spec.get("volumes", []) for kind in volume} <= allowed | {"name"}, part
        for one in containers(pod):
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= one["resources"].keys(), part
            assert not any("hostPort" in port for port in one.get("ports", []))


@every_variant
def test_only_the_controller_may_speak_to_the_cluster(variant: str) -> None:
    may = [part for part, pod in pods(variant) if pod["spec"]["automountServiceAccountToken"]]
    assert may == ["controller"]
    accounts = [pod["spec"].get("serviceAccountName") for part, pod in pods(variant) if part != "smoke"]
    assert len(set(accounts)) == len(accounts) and None not in accounts
    assert not any(body["automountServiceAccountToken"] for body in of_kind(variant, "ServiceAccount"))


def deployed(name: str) -> dict[str, Manifest]:
    return {body["kind"]: body for body in yaml.safe_load_all((ROLES / name).read_text())}


@every_variant
def test_the_controllers_rights_are_those_of_the_role_and_no_part_has_others(variant: str) -> None:
    role = named(variant, "Role", "cohort-controller")
    assert role["rules"] == deployed("controller-role.yaml")["Role"]["rules"]
    bindings = of_kind(variant, "RoleBinding", "ClusterRoleBinding")
    account = {"kind": "ServiceAccount", "name": "cohort-controller", "namespace": NAMESPACE}
    assert [body["subjects"] for body in bindings] == [[account]] * len(bindings)
    assert {namespace_of(body) for body in of_kind(variant, "Role", "RoleBinding")} == {STEPS}
    assert [body["rules"] for body in of_kind(variant, "ClusterRole")] == (
        [deployed("node-reader.yaml")["ClusterRole"]["rules"]] if variant == "on" else []
    )


@every_variant
def test_what_selects_finds_its_pods_and_its_ports(variant: str) -> None:
    labels = {part: pod["metadata"]["labels"] for part, pod in pods(variant)}
    ports = {
        part: {port["name"] for one in containers(pod) for port in one.get("ports", [])} for part, pod in pods(variant)
    }
    for body in of_kind(variant, "Service", "PodDisruptionBudget", "Deployment", "StatefulSet", "ServiceMonitor"):
        selector = body["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        part = body["metadata"]["labels"]["app.kubernetes.io/component"]
        assert [name for name, found in labels.items() if selector.items() <= found.items()] == [part]
        for port in body["spec"].get("ports", []):
            assert port["targetPort"] in ports[part] and port["name"] == port["targetPort"]
        for endpoint in body["spec"].get("endpoints", []):
            assert endpoint["port"] in ports[part]


def test_probes_ask_what_is_answered() -> None:
    asked = {
        (part, kind.removesuffix("Probe"), one[kind].get("httpGet", {}).get("path"))
        for part, pod in pods("on")
        for one in containers(pod)
        for kind in one
        if kind.endswith("Probe")
    }
    assert asked == {
        ("api", "startup", "/healthz"),
        ("api", "liveness", "/healthz"),
        ("api", "readiness", "/readyz"),
        *((part, kind, "/healthz") for part in ("worker", "controller") for kind in ("startup", "liveness")),
        *((part, "readiness", "/readyz") for part in ("worker", "controller")),
        *(("scripted-model", kind, "/healthz") for kind in ("liveness", "readiness")),
        *(("redis", kind, None) for kind in ("liveness", "readiness")),
    }
    for part in ("worker", "controller"):
        port = variables("on", part)[f"COHORT_{part.upper()}_METRICS_PORT"]["value"]
        assert container("on", part)["ports"] == [{"name": "metrics", "containerPort": int(port)}]


def test_a_worker_that_is_told_to_end_has_the_time_for_the_longest_reply() -> None:
    graces = {part: pod["spec"].get("terminationGracePeriodSeconds", 30) for part, pod in pods("default")}
    assert graces["worker"] > WorkerSettings.model_fields["model_total_seconds"].default
    assert graces["api"] > 25


def test_the_api_is_never_short_of_a_pod_while_it_is_rolled_out() -> None:
    rolling = named("default", "Deployment", "cohort-api")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


def test_who_is_scaled_has_no_number_of_its_own() -> None:
    def replicas(variant: str) -> dict[str, Any]:
        return {body["metadata"]["name"]: body["spec"].get("replicas") for body in of_kind(variant, "Deployment")}

    assert replicas("default") == {"cohort-api": 3, "cohort-worker": 2, "cohort-controller": 2}
    assert replicas("on") == {
        "cohort-api": None,
        "cohort-worker": None,
        "cohort-controller": 2,
        "cohort-scripted-model": 1,
    }
    [trigger] = of_kind("on", "ScaledObject")[0]["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == variables("on", "worker")["COHORT_WORKER_SLOTS"]["value"]
    assert 'max(cohort_runs_ready{namespace="ml"}) + (sum(cohort_worker_leases' in trigger["metadata"]["query"]


@every_variant
def test_the_pools_file_is_one(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(named(variant, "ConfigMap", "cohort-pools")["data"]["pools.yaml"])
    pools = Pools.load(path)
    assert [pool.name for pool in pools.pools] == (["a100"] if variant == "on" else ["cpu"])
    if variant == "on":
        assert pools == Pools.read({name: ON["steps"][name] for name in ("pools", "images", "quota", "secrets")})


def test_pods_are_replaced_when_the_pools_change() -> None:
    def sums(variant: str) -> dict[str, str]:
        found = {part: pod["metadata"].get("annotations", {}).get("checksum/pools", "") for part, pod in pods(variant)}
        return {part: found[part] for part in SETTINGS}

    assert all(sums("default").values())
    assert not {*sums("default").values()} & {*sums("on").values()}


def test_playbooks_of_yours_lie_where_the_scripted_model_looks() -> None:
    [pod] = [pod for part, pod in pods("on") if part == "scripted-model"]
    [one] = containers(pod)
    [mount], [volume] = one["volumeMounts"], pod["spec"]["volumes"]
    assert one["args"][-2:] == ["--more", mount["mountPath"]]
    assert volume["configMap"]["items"] == [{"key": "mine", "path": "mine/playbook.yaml"}]
    assert named("on", "ConfigMap", volume["configMap"]["name"])["data"] == {"mine": "about: Nothing.\n"}


def schema_of(*path: str) -> Manifest:
    return reduce(lambda found, name: found["properties"][name], path, SCHEMA)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("steps", "images"), ImagePolicy),
        (("steps", "quota"), GpuQuota),
    ],
)
def test_the_schema_knows_the_pools_file(path: tuple[str, ...], kind: Any) -> None:
    assert {*schema_of(*path)["properties"]} == {*kind.model_fields}


def test_the_schema_knows_pools_tolerations_and_secrets() -> None:
    pool = schema_of("steps", "pools")["items"]["properties"]
    assert {*pool} == {*Pool.model_fields}
    aliases = {field.alias or name for name, field in Toleration.model_fields.items()}
    assert {*pool["tolerations"]["items"]["properties"]} == aliases
    assert {*schema_of("steps", "secrets")["items"]["properties"]} == {*StepSecret.model_fields}


def test_the_schema_knows_the_tools_file_and_the_worker_reads_it() -> None:
    assert {*schema_of("tools")["properties"]} == {*ToolsFile.model_fields}
    assert {*schema_of("tools", "tenants")["additionalProperties"]["properties"]} == {*Reach.model_fields}
    written = yaml.safe_load(named("on", "ConfigMap", "cohort-tools")["data"]["tools.yaml"])
    assert ToolsFile.read(written).variables_of("research") == {"hub": "HF_RESEARCH"}
    assert variables("on", "worker")["COHORT_TOOLS_FILE"]["value"] == "/etc/cohort-tools/tools.yaml"
    assert "COHORT_TOOLS_FILE" not in variables("default", "worker")


# Follow from other values of the chart, or are for one machine alone.
_NOT_TO_SET = {"kubeconfig", "state_dir", "local_price_per_hour", "model_api_key", "first_tenant", "first_key"}
_NOT_TO_SET |= {"traces_url", "traces_headers", "traces_ratio", "tools_file"}
# The kubelet asks from elsewhere.
_NOT_TO_SET |= {"metrics_host"}


def test_a_setting_can_be_given_where_it_belongs_and_only_once() -> None:
    """Every setting of a service is either the chart's to make or in the schema, and nothing else is."""
    ours = {
        part: {name.removeprefix("COHORT_").lower() for name in variables("default", part)} | _NOT_TO_SET
        for part in SETTINGS
    }
    ours["controller"] |= {"image_pull_secret"}
    shared = {*SharedSettings.model_fields}
    assert {*schema_of("settings")["properties"]} == shared - ours["api"]
    for part, settings in SETTINGS.items():
        assert {*schema_of(part, "settings")["properties"]} == {*settings.model_fields} - shared - ours[part], part


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, Manifest]]:
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield path, schema
        for name, value in schema.items():
            yield from objects(value, f"{path}.{name}")


def test_the_schema_refuses_what_it_does_not_know_at_every_level() -> None:
    open_ones = [path for path, schema in objects(SCHEMA) if schema.get("additionalProperties") is not False]
    assert open_ones == []


# Empty by default; what may be in them is the services' own to say.
_OPEN = (".settings", ".images.digests", ".steps.images", ".steps.quota", ".tools", ".playbooks")


def differing(values: Manifest, schema: Manifest, path: str = "") -> Iterator[str]:
    """Where the values of the chart and its schema do not name the same."""
    properties = schema.get("properties")
    if properties is None or path.endswith(_OPEN):
        return
    yield from (f"{path}.{name}" for name in properties.keys() ^ values.keys())
    for name in properties.keys() & values.keys():
        yield from differing(values[name], properties[name], f"{path}.{name}")


def test_every_value_is_in_the_schema_and_every_one_of_the_schema_has_a_default() -> None:
    # `global` is what helm passes on to a chart that is part of another.
    assert [*differing(yaml.safe_load((CHART / "values.yaml").read_text()), SCHEMA)] == [".global"]


def wrong(path: str, value: object) -> Manifest:
    *parents, last = path.split(".")
    values: Manifest = {}
    reduce(lambda found, name: found.setdefault(name, {}), parents, values)[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("replicas", 3, "replicas"),
        ("api.replcas", 3, "replcas"),
        ("api.replicas", "three", "replicas"),
        ("worker.settings.slice_turn", 5, "slice_turn"),
        ("worker.settings.redis_url", "redis://x", "redis_url"),
        ("worker.autoscaling.kind", "vpa", "kind"),
        ("networkPolicy.step", [], "step"),
        ("networkPolicy.steps", [{"too": []}], "too"),
        ("steps.pools", [{"name": "cpu", "gpus": 8}], "gpus"),
        ("secrets.model.existingSecrets", "models", "existingSecrets"),
        ("images.digests", {"api": "latest"}, "api"),
        ("scriptedModel.playbooks", {"Mine!": "about: Nothing."}, "Mine!"),
        ("ingress.enabled", "yes", "enabled"),
        ("redis.bundled", False, "redis.existingSecret"),
        ("redis.existingSecret", "mine", "redis.bundled"),
        ("artifacts.url", "file:///srv/artifacts", "artifacts.url"),
        ("ingress", {"enabled": True, "host": "x"}, "networkPolicy.clients"),
        ("worker.autoscaling.kind", "keda", "worker.autoscaling.prometheus"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_and_named(path: str, value: object, told: str) -> None:
    done = template(wrong(path, value))
    assert done.returncode != 0
    assert told in done.stderr


def test_the_page_on_installing_names_values_that_there_are() -> None:
    text = (CHART.parents[2] / "docs" / "install.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    paths = {path for path in re.findall(r"`([a-z][A-Za-z]+(?:\.[A-Za-z]+)+)`", text) if path.split(".")[0] in values}
    assert len(paths) > 10
    for path in paths:
        schema: Any = SCHEMA
        for name in path.split("."):
            assert name in schema["properties"], path
            schema = schema["properties"][name]


def test_the_smoke_test_is_a_program_that_runs_alone() -> None:
    script = named("default", "ConfigMap", "cohort-smoke")["data"]["smoke.py"]
    compile(script, "smoke.py", "exec")
    assert not re.search(r"^(from|import) services", script, re.MULTILINE)
    assert "--model=" in container("default", "smoke")["args"]
    assert "--model=scripted/hello" in container("on", "smoke")["args"]
