"""An attempt as Kubernetes objects: the Job, the Secret with its token, and on several nodes the Service by which its
pods find each other. Pure; nothing here asks the cluster.

The pod has three containers over shared volumes: `lay` puts the shim and the attempt's files in place, `runner` (a
native sidecar) ships the log, `main` runs the user's program under the shim, in the step's own image. Nothing in the
Job is secret. It meets the `restricted` pod security standard.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.core.pools import Pool, Toleration
from services.core.sandboxes import SANDBOX
from services.core.step_secrets import StepSecret
from services.worker.executors import AttemptSpec
from services.worker.executors.environment import launch_environment, program_environment
from services.worker.executors.kubernetes.carried import HOST, ROOT, SHIM, is_for_loader
from services.worker.executors.kubernetes.case import MAIN as MAIN, QUEUE as QUEUE, RUNNER as RUNNER
from services.worker.executors.kubernetes.needs import Needs, PodTerms as PodTerms

Manifest = dict[str, Any]

RUN, STEP, ATTEMPT, TENANT = (f"cohort.dev/{name}" for name in ("run", "step", "attempt", "tenant"))
SPEC_HASH = "cohort.dev/spec-sha256"
CANCELLED_AT = "cohort.dev/cancelled-at"
MOVES_ON = "cohort.dev/moves-on"
MANAGED_BY = "app.kubernetes.io/managed-by"
SELECTOR = f"{MANAGED_BY}=cohort"

RANK = "batch.kubernetes.io/job-completion-index"

LAY = "lay"
USER = 10001

# What is left of the grace period once the program is dead belongs to the sidecar, which ships the rest of the log and
# the outputs, and leaves as soon as that is done.
DRAIN_SECONDS = 600
# How long the shim waits for the sidecar's leave to start, while an API is being rolled out or a network comes up.
CLAIM_SECONDS = 300
# The shim ends the program at its deadline. The kubelet's own clock also counts the pulling of images and the laying of
# files, and is there for a shim that cannot.
DEADLINE_SLACK_SECONDS = 3600
FINISHED_TTL_SECONDS = 24 * 3600
# The kubelet tells a program of its end; a heartbeat is the second way, and thousands of pods have one each.
HEARTBEAT_SECONDS = 10

_TERMINATION_LOG = "/dev/termination-log"
_RUNNER_RESOURCES = {
    "requests": {"cpu": "20m", "memory": "96Mi", "ephemeral-storage": "16Mi"},
    "limits": {"memory": "384Mi", "ephemeral-storage": "256Mi"},
}
# The cluster gives every pod of an Indexed Job this variable; named first, others may be made from it.
_RANK_VARIABLE: Manifest = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{RANK}']"}},
}
_RANK_VALUE = "$(JOB_COMPLETION_INDEX)"
_PLACES = {"tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108, mounts of the pod's own


def job(spec: AttemptSpec, pool: Pool, terms: PodTerms, secrets: Sequence[StepSecret] = ()) -> Manifest:
    """The Job of an attempt, whose program gets `secrets`. Made suspended where the pool has a queue: Kueue lets it
    start."""
    labels = {MANAGED_BY: "cohort", RUN: spec.run, STEP: spec.step, ATTEMPT: spec.attempt, TENANT: label(spec.tenant)}
    queue = {QUEUE: pool.queue} if pool.queue else {}
    nodes = spec.resources.nodes
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.attempt,
            "labels": {**labels, **queue},
            "annotations": {SPEC_HASH: spec_sha256(spec), **({MOVES_ON: "true"} if spec.has_another_pool else {})},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": nodes,
            "parallelism": nodes,
            "completionMode": "Indexed" if nodes > 1 else "NonIndexed",
            "suspend": bool(pool.queue),
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": FINISHED_TTL_SECONDS,
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": _pod_annotations(pool)},
                "spec": _pod(spec, pool, terms, secrets),
            },
        },
    }


def secret(spec: AttemptSpec, job_uid: str) -> Manifest:
    """The token of an attempt, for `lay` and `runner` alone. Goes when its Job goes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _owned(spec, job_uid),
        "stringData": {"token": spec.token.get_secret_value()},
    }


def service(spec: AttemptSpec, job_uid: str) -> Manifest:
    """What gives the pods of an attempt on several nodes their names: `<attempt>-<rank>.<attempt>`. Goes when its Job
    goes. Each pod is found as soon as it has an address, for they wait for one another."""
    selected = {MANAGED_BY: "cohort", ATTEMPT: spec.attempt}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(spec, job_uid),
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selected},
    }


def spec_sha256(spec: AttemptSpec) -> str:
    """What tells one attempt's work from another's of the same name: not how this version of Cohort writes it down."""
    work = {
        "attempt": spec.attempt,
        "command": spec.command,
        "snapshot": spec.snapshot,
        "env": dict(spec.env),
        "inputs": {step: [file.model_dump() for file in files] for step, files in spec.inputs.items()},
        "image": spec.resources.image,
        **({"nodes": spec.resources.nodes} if spec.resources.nodes > 1 else {}),
        **({"secrets": spec.secrets} if spec.secrets else {}),
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def label(value: str) -> str:
    """`value` as a label's value: at most 63 characters, what labels may not hold replaced."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in value)
    return kept[:63].strip("-_.")


def _owned(spec: AttemptSpec, job_uid: str) -> Manifest:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": spec.attempt, "uid": job_uid}
    return {"name": spec.attempt, "labels": {MANAGED_BY: "cohort"}, "ownerReferences": [owner]}


def _pod_annotations(pool: Pool) -> Mapping[str, str]:
    """Ask autoscalers not to move what would begin again elsewhere. Spot capacity goes when it goes."""
    if pool.spot:
        return {}
    return {"karpenter.sh/do-not-disrupt": "true", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def _pod(spec: AttemptSpec, pool: Pool, terms: PodTerms, secrets: Sequence[StepSecret]) -> Manifest:
    resources = Needs.of(spec, pool, terms)
    grace = math.ceil(spec.grace_seconds) + DRAIN_SECONDS
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": math.ceil(spec.deadline_seconds) + DEADLINE_SLACK_SECONDS,
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"subdomain": spec.attempt} if spec.resources.nodes > 1 else {}),
        "nodeSelector": dict(pool.node_selector),
        "tolerations": [_toleration(one) for one in pool.tolerations],
        "imagePullSecrets": [{"name": name} for name in terms.pull_secrets],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_lay(spec, terms), _runner(spec, terms, resources)],
        "containers": [_main(spec, terms, resources, secrets)],
        "volumes": [
            *({"name": name, "emptyDir": {}} for name in _volumes(spec)),
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(resources.shm_bytes)}},
            # Owned by root and the pod's group: the sidecar may read it, and the program's container has no such mount.
            {"name": "token", "secret": {"secretName": spec.attempt, "defaultMode": 0o440}},
        ],
    }


def _volumes(spec: AttemptSpec) -> tuple[str, ...]:
    """The pod's own directories. `private` is for the sidecar of a sandbox: its commands never see it."""
    everyone = ("rt", "spool", "work", "in", "out", "checkpoint", "tmp")
    return (*everyone, "private") if spec.step == SANDBOX else everyone


def _toleration(toleration: Toleration) -> Manifest:
    fields = toleration.model_dump(by_alias=True)
    return {name: value for name, value in fields.items() if value not in {None, ""}}


def _lay(spec: AttemptSpec, terms: PodTerms) -> Manifest:
    volumes = ("rt", "spool", "work", "in", "out", "checkpoint", "tmp", "token")
    return {**_ours(LAY, ["lay"], spec, terms, volumes), "terminationMessagePolicy": "FallbackToLogsOnError"}


def _runner(spec: AttemptSpec, terms: PodTerms, resources: Needs) -> Manifest:
    known = {
        "COHORT_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        "COHORT_MEMORY_LIMIT_BYTES": str(resources.memory_bytes),
    }
    of_sandbox = {"COHORT_WORK_DIR": f"{ROOT}/work", "COHORT_PRIVATE_DIR": f"{ROOT}/private"}
    places, further = (of_sandbox, ("work", "private")) if spec.step == SANDBOX else ({}, ())
    container = _ours(RUNNER, [], spec, terms, ("spool", "out", "checkpoint", "tmp", "token", *further))
    return {**container, "env": [*container["env"], *_variables(known | places)], "restartPolicy": "Always"}


def _ours(name: str, args: list[str], spec: AttemptSpec, terms: PodTerms, volumes: tuple[str, ...]) -> Manifest:
    """A container of the runner's image, which knows the directories under `/cohort` by itself."""
    reporting = [{"name": "COHORT_ATTEMPT", "value": spec.attempt}]
    if spec.resources.nodes > 1:
        reporting = [_RANK_VARIABLE, {"name": "COHORT_ATTEMPT", "value": f"{spec.attempt}.{_RANK_VALUE}"}]
    url = {"name": "COHORT_API_URL", "value": _literal(spec.api_url)}
    uid = {"name": "COHORT_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return {
        "name": name,
        "image": terms.runner_image,
        "args": args,
        "env": [*reporting, url, uid],
        "resources": _RUNNER_RESOURCES,
        "securityContext": _confined(),
        "volumeMounts": [_mount(volume, read_only=volume == "token") for volume in volumes],
    }


def _main(spec: AttemptSpec, terms: PodTerms, resources: Needs, secrets: Sequence[StepSecret]) -> Manifest:
    limits = ["--deadline-seconds", str(spec.deadline_seconds), "--grace-seconds", str(spec.grace_seconds)]
    limits += ["--claim-seconds", str(CLAIM_SECONDS)]
    places = [
        "--spool",
        f"{ROOT}/spool",
        "--cwd",
        f"{ROOT}/work",
        "--termination-log",
        _TERMINATION_LOG,
    ]
    environment, command = program_environment(spec, ROOT), spec.command
    if spec.step == SANDBOX:
        # What commands install or cache is there for the next one, and no part of the workspace.
        environment["HOME"], command = _PLACES["tmp"], HOST
    # What the loader listens to would change or end the shim, whose own loader comes before the program's.
    kept_from_shim = {name: value for name, value in environment.items() if is_for_loader(name)}
    seen_by_shim = {name: value for name, value in environment.items() if name not in kept_from_shim}
    past_shim = [f"--env={_literal(f'{name}={value}')}" for name, value in kept_from_shim.items()]
    return {
        "name": MAIN,
        "image": spec.resources.image or terms.image,
        "command": [*SHIM, *places, *limits, *past_shim, "--", *(_literal(word) for word in command)],
        "workingDir": f"{ROOT}/work",
        "env": [*_launching(spec), *_variables(seen_by_shim), *map(_by_reference, secrets)],
        "resources": resources.as_container(),
        "securityContext": _confined(),
        "terminationMessagePath": _TERMINATION_LOG,
        "volumeMounts": [
            _mount("rt", read_only=True),
            *(_mount(volume) for volume in ("spool", "work", "in", "out", "checkpoint", "tmp", "shm")),
        ],
    }


def _launching(spec: AttemptSpec) -> list[Manifest]:
    """What launchers of programs on several GPUs or nodes read. What the step sets itself counts."""
    nodes = spec.resources.nodes
    address = f"{spec.attempt}-0.{spec.attempt}" if nodes > 1 else "127.0.0.1"
    environment = launch_environment(spec, _RANK_VALUE if nodes > 1 else "0", address)
    variables = [{"name": name, "value": value} for name, value in environment.items() if name not in spec.env]
    return [_RANK_VARIABLE, *variables] if nodes > 1 else variables


def _by_reference(secret: StepSecret) -> Manifest:
    return {"name": secret.env, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}


def _confined() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _mount(volume: str, *, read_only: bool = False) -> Manifest:
    path = _PLACES.get(volume, f"{ROOT}/{volume}")
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _variables(environment: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": _literal(value)} for name, value in environment.items()]


def _literal(text: str) -> str:
    """`text` as Kubernetes leaves it alone: it reads `$(NAME)` and `$$` in commands and values."""
    return text.replace("$", "$$")
