"""The executor that the settings choose."""

from services.core.artifacts import ArtifactStore
from services.core.errors import BadRequest
from services.core.monitoring.instruments import Registry
from services.core.pools import Pools
from services.core.settings import ControllerSettings
from services.core.workspace import Workspace
from services.worker.executors import Executor
from services.worker.executors.local import LocalExecutor


def executor_of(settings: ControllerSettings, artifacts: ArtifactStore, pools: Pools, registry: Registry) -> Executor:
    """An executor that is at work. Raises `BadRequest` that names the setting which is wrong."""
    if settings.executor == "local":
        return LocalExecutor(settings.state_dir / "attempts", artifacts, Workspace(artifacts))
    # Behind the choice: the client takes memory and a second to import, and most installs of one machine never need it.
    from services.worker.executors.kubernetes.client import connect
    from services.worker.executors.kubernetes.executor import KubernetesExecutor
    from services.worker.executors.kubernetes.manifest import PodTerms
    from services.worker.executors.kubernetes.metrics import Metrics
    from services.worker.executors.kubernetes.valves import Limits

    for name in ("runner_image", "step_image"):
        if not getattr(settings, name):
            raise BadRequest(f"COHORT_{name.upper()}: steps on Kubernetes need it", field=f"COHORT_{name.upper()}")
    metrics = Metrics(registry)
    terms = PodTerms(
        runner_image=settings.runner_image,
        image=settings.step_image,
        disk_bytes=settings.step_disk_bytes,
        pull_secrets=(settings.image_pull_secret,) if settings.image_pull_secret else (),
    )
    limits = Limits(
        in_flight=settings.jobs_in_flight,
        in_flight_per_tenant=settings.jobs_in_flight_per_tenant,
        per_second=settings.jobs_per_second,
        burst=settings.jobs_burst,
    )
    cluster = connect(settings.kubeconfig, settings.kubernetes_namespace, metrics.requests)
    executor = KubernetesExecutor(cluster, pools, terms, limits, metrics)
    executor.start()
    return executor
