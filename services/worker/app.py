"""The worker process: Celery's threads pool around the engine.

A hint is acknowledged early and carries nothing but a run's id. On SIGTERM Celery takes no further hints and waits for
the slices under way; what does not end in time is picked up by another worker when its lease runs out.
"""

import os
import platform
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import structlog
from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down

from services.core.appended import Onlooker
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.hints import QUEUE, TASK, CeleryHints, Hints, celery_app
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logs import LogStore
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.hints import counted_hints
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.pools import Pools
from services.core.redaction import Redactor
from services.core.redis import connect
from services.core.resources import Resources
from services.core.sandboxes import SandboxStore
from services.core.settings import WorkerSettings
from services.core.store import RunStore
from services.core.traced import traced
from services.core.workspace import Workspace
from services.worker.calls import Calls
from services.worker.canary import Canary
from services.worker.engine import Engine, Slice
from services.worker.failures import Failure
from services.worker.housekeeping import Housekeeper
from services.worker.leases import LeaseKeeper
from services.worker.metrics import WorkerMetrics
from services.worker.model import Limits, LitellmModel, Model
from services.worker.prices import Price
from services.worker.probes import answer_probes
from services.worker.research import Researches, ResearchTerms
from services.worker.shells import Shell
from services.worker.shells.local import LocalShell
from services.worker.shells.sandbox import SandboxShell, SandboxTerms
from services.worker.tools import TOOLS, report
from services.worker.tools.tool import Desk
from services.worker.turn import ModelTurn
from services.worker.web.outside import outside_of

log = structlog.get_logger()

_HOUSEKEEPING_SECONDS = 60.0
_SWITCH_SECONDS = 0.0005


def build_desk(settings: WorkerSettings, store: RunStore, hints: Hints) -> Desk:
    """What tools work with, from a process's settings. Connects to nothing yet."""
    artifacts = ArtifactStore(settings.artifact_url)
    workspace, ledger = Workspace(artifacts), Ledger(store.client)
    pools = Pools.of(settings)
    return Desk(
        workspace=workspace,
        artifacts=artifacts,
        attempts=AttemptStore(store.client, store.keys),
        logs=LogStore(store.client, store.keys, artifacts),
        ledger=ledger,
        shell=_shell(settings, store, workspace, ledger, pools),
        pools=pools,
        researches=Researches(store, hints, research_terms(settings)),
        outside=outside_of(settings),
        cost_line_dollars=settings.cost_line_dollars,
    )


def build_engine(
    settings: WorkerSettings, keeper: LeaseKeeper, store: RunStore, model: Model, app: Celery, registry: Registry
) -> Engine:
    """Put an engine together from a process's settings."""
    hints = CeleryHints(app, counted_hints(registry))
    desk = build_desk(settings, store, hints)
    secrets = [settings.model_api_key, *desk.outside.secrets.values()]
    redactor = Redactor([secret.get_secret_value() for secret in secrets])
    patience = (settings.model_max_tokens, settings.model_retry_seconds)
    observe = keeper.metrics.turn_overhead.observe
    turn = ModelTurn(model, TOOLS, desk.ledger, desk.workspace, redactor, *patience, desk.pools, observe)
    limits = Slice(settings.slice_turns, settings.slice_seconds)
    return Engine(store, keeper, turn, Calls(TOOLS, desk, redactor), desk.shell, hints, desk.researches, limits)


def _shell(settings: WorkerSettings, store: RunStore, workspace: Workspace, ledger: Ledger, pools: Pools) -> Shell:
    """Where commands run: on this machine where steps do, else in pods of the runs' own."""
    if settings.executor == "local":
        return LocalShell(settings.state_dir / "runs", workspace)
    sandboxes = SandboxStore(store.client, store.keys, Payloads(workspace.store))
    return SandboxShell(store, sandboxes, ledger, workspace.store, pools, sandbox_terms(settings))


def sandbox_terms(settings: WorkerSettings) -> SandboxTerms:
    """What every sandbox of an install is."""
    return SandboxTerms(
        idle_seconds=settings.sandbox_idle_minutes * 60,
        seconds=settings.sandbox_hours * 3600,
        resources=Resources(
            image=settings.sandbox_image, cpu=settings.sandbox_cpu, memory=settings.sandbox_memory_bytes
        ),
    )


def research_terms(settings: WorkerSettings) -> ResearchTerms:
    """What one research may use at most."""
    return ResearchTerms(
        turns=settings.research_turns,
        minutes=settings.research_minutes,
        tokens=settings.research_tokens,
        dollars=settings.research_dollars,
    )


def build_store(settings: WorkerSettings, registry: Registry, onlookers: Sequence[Onlooker] = ()) -> RunStore:
    """The run store of a process, which counts what is appended through it, and tells `onlookers` too."""
    client = connect(settings.redis_url, cluster=settings.redis_cluster, client_name="cohort-worker")
    known = Vocabulary(
        pools=[pool.name for pool in Pools.of(settings).pools],
        tools=[*TOOLS, report.TOOL.name],
        failures=list(Failure),
    )
    counting = Counting(registry, client, known)
    artifacts = ArtifactStore(settings.artifact_url)
    return RunStore(client, Keys(settings.shards), Payloads(artifacts), [counting, *onlookers])


def build_model(settings: WorkerSettings) -> Model:
    """The model door with the configured limits and price."""
    limits = Limits(
        first_byte=settings.model_first_byte_seconds,
        idle=settings.model_idle_seconds,
        total=settings.model_total_seconds,
        max_tokens=settings.model_max_tokens,
    )
    price = None
    if settings.price_prompt is not None and settings.price_completion is not None:
        cached = settings.price_prompt if settings.price_cached is None else settings.price_cached
        price = Price(settings.price_prompt, settings.price_completion, cached)
    return LitellmModel(
        limits, settings.model_base_url, settings.model_api_key.get_secret_value(), price, settings.model_window_tokens
    )


def serve(settings: WorkerSettings) -> None:
    """Run until SIGTERM. Raises `BadRequest` when the pools file is wrong."""
    # Celery warns of root because of pickle, which nothing here accepts; who runs us is the operator's decision.
    warnings.simplefilter("ignore", SecurityWarning)
    # A thread in litellm computes; one that only has a word with Redis should not stand behind each of them for 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    app = celery_app(settings.broker_url)
    registry = Registry("worker")
    metrics = WorkerMetrics(registry)
    with ExitStack() as stack:
        store = build_store(settings, registry, stack.enter_context(traced(settings, "worker")).onlookers)
        keeper = stack.enter_context(LeaseKeeper(store, settings.lease_seconds, metrics))
        engine = build_engine(settings, keeper, store, build_model(settings), app, registry)

        @app.task(name=TASK)  # type: ignore[untyped-decorator]
        def advance(run: str) -> None:
            metrics.slices.labels(engine.advance(run)).inc()

        stack.enter_context(Housekeeper(store, engine.shell, _HOUSEKEEPING_SECONDS))

        canary = stack.enter_context(Canary(app, lambda: keeper.count() >= settings.worker_slots))
        metrics.slots.set(settings.worker_slots)
        metrics.leases.set_function(keeper.count)
        metrics.canary_age.set_function(canary.age)
        begun = threading.Event()
        if settings.worker_metrics_port:
            place, lack = (settings.metrics_host, settings.worker_metrics_port), partial(_lack, begun)
            answer_probes(*place, registry, canary.trouble, lack)

        _tell_of_its_life(settings, keeper, engine, canary, begun)
        app.Worker(
            hostname=f"worker-{os.getpid()}@{platform.node()}",
            pool="threads",
            concurrency=settings.worker_slots,
            queues=[QUEUE, canary.queue],
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()


def _lack(begun: threading.Event) -> str:
    return "" if begun.is_set() else "it takes no hints yet"


def _tell_of_its_life(
    settings: WorkerSettings, keeper: LeaseKeeper, engine: Engine, canary: Canary, begun: threading.Event
) -> None:
    """Log the worker's beginning, and let all know of it and of its end."""

    @worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
    def say_ready(**_: Any) -> None:
        log.info("worker_ready", slots=settings.worker_slots)
        begun.set()

    @worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def drain(**_: Any) -> None:
        log.info("worker_draining", leases=keeper.count())
        engine.draining.set()
        canary.stop()
