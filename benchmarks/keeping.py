"""What finished runs cost Redis before and after they leave it, and how long looking at a whole store takes."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.figures import Figure, figure
from services.cli.stack import free_ports
from services.core import events as ev
from services.core.errors import StoreUnavailable
from services.core.keys import attempt_id, new_run_id
from services.core.lifecycle import Reason, Status
from services.core.observations import FinishReport, Metric, Observations
from services.core.records import FileRef, Limits
from services.core.redis import translated
from services.core.store import Draft, RunStore, Talk
from services.core.workspace import EMPTY, Workspace
from services.keeping.garbage import Garbage
from services.keeping.install import Install, open_install
from services.keeping.prune import Pruner
from services.worker.controller.archive import Archivist

RUNS, MANY = 1_000, 10_000
_TURNS = 10
_LOG_LINES = 300


def measure() -> list[Figure]:
    """Retention at 1,000 runs, then a look at 10,000."""
    figures = []
    with _install() as (install, environ):
        empty = _used(install)
        runs = [finished(install, number) for number in range(RUNS)]
        full = _used(install)
        archivist = Archivist(install.store, install.ledger, install.logs, install.artifacts)
        archived = [_timed(partial(archivist.archive, run)) for run in runs]
        pruner = Pruner(RunStore(install.client, install.keys, install.payloads), install.archive)
        pruned = [_timed(partial(pruner.prune, run)) for run in runs]
        left = _used(install)
        read = [_timed(partial(_read, install, run)) for run in runs[:200]]
        figures += [
            figure("Redis bytes a finished run", "B", [(full - empty) / RUNS]),
            figure("Redis bytes a run that has left", "B", [(left - empty) / RUNS], bar=1_536),
            figure("archiving a run", "ms", archived),
            figure("letting a run leave", "ms", pruned),
            figure("reading a run that has left", "ms", read),
            figure("marking and sweeping", "s", [_timed(lambda: Garbage(install).objects(7 * 86_400)) / 1000]),
        ]
        for number in range(RUNS, MANY):
            finished(install, number)
        figures += _verified(environ)
    return figures


def finished(install: Install, number: int) -> str:
    """A run that is over: ten turns, a step of 300 lines with as many metrics, a model."""
    store, run, rng = install.store, new_run_id(), Random(number)
    accepted = ev.RunAccepted(
        tenant=f"tenant-{number % 20}",
        goal="train a classifier " * 5,
        model="m",
        limits=Limits(),
        labels={},
        snapshot=EMPTY,
    )
    store.create(run, "bench", accepted)
    move = ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING)
    snapshot = Workspace(install.artifacts).import_files({"train.py": rng.randbytes(2_000)})
    events: list[ev.EventData] = [
        move,
        ev.WorkspaceChanged(snapshot=snapshot, parent=EMPTY, tool_call_id="w", paths=[]),
    ]
    talk: list[Talk] = []
    for turn in range(1, _TURNS + 1):
        turned, said = _turn(run, turn, rng)
        events += turned
        talk += said
    attempt = attempt_id(run, "train", 1)
    events.append(
        ev.StepSubmitted(
            step="train",
            attempt=attempt,
            number=1,
            command="python train.py",
            snapshot=snapshot,
            uses=[],
            env={},
            deadline_seconds=600,
        )
    )
    store.record(run, "work", lambda _: Draft(tuple(events), tuple(talk)))
    made = _step(install, attempt, rng)
    over = ev.StatusChanged(source=Status.RUNNING, target=Status.SUCCEEDED, reason=Reason.FINISHED)
    done = ev.RunFinished(
        status=Status.SUCCEEDED, reason=Reason.FINISHED, exit_code=0, summary="done " * 20, artifacts=[made]
    )
    store.record(run, "over", lambda _: Draft((done, over)))
    return run


def _turn(run: str, turn: int, rng: Random) -> tuple[list[ev.EventData], list[Talk]]:
    call, text, output = f"{run}-c{turn}", rng.randbytes(300).hex(), rng.randbytes(900).hex()
    events: list[ev.EventData] = [
        ev.LlmRequest(call=call, model="m", reserved_microdollars=0, messages=turn, prompt_sha256="0" * 64),
        ev.LlmCall(
            call=call,
            model="m",
            latency_ms=900,
            finish_reason="stop",
            cost_usd=0.0,
            prompt_tokens=4_000,
            completion_tokens=200,
            total_tokens=4_200,
        ),
        ev.AssistantMessage(content=text),
        ev.ToolCall(tool="bash", arguments={"command": "ls"}, tool_call_id=call),
        ev.ToolOutput(tool="bash", tool_call_id=call, output=output, success=True),
    ]
    reply, answer = {"role": "assistant", "content": text}, {"role": "tool", "tool_call_id": call, "content": output}
    return events, [Talk(turn, -1, reply), Talk(turn, 0, answer)]


def _step(install: Install, attempt: str, rng: Random) -> FileRef:
    lines = b"".join(b"step %d loss=%.4f\n" % (line, rng.random()) for line in range(_LOG_LINES))
    attempts, data = install.attempts, rng.randbytes(4_000)
    attempts.claim(attempt, "pod")
    install.logs.append(attempt, 0, lines)
    metrics = tuple(Metric(name="loss", value=rng.random(), step=line, time=1.0) for line in range(_LOG_LINES))
    attempts.observe(attempt, Observations(metrics=metrics))
    made = FileRef(path="model.bin", sha256=install.artifacts.put(data), size=len(data))
    attempts.add_output(attempt, made)
    report = FinishReport(exit_code=0, reason="exited", bytes=len(lines), sha256="0" * 64, outputs=(made,))
    attempts.finish(attempt, report, log_complete=True)
    over = ev.AttemptFinished(
        step="train",
        attempt=attempt,
        outcome="succeeded",
        exit_code=0,
        reason="exited",
        seconds=60,
        cost_usd=0.0,
        log_bytes=len(lines),
        log_complete=True,
        outputs=[made],
    )
    install.store.record(attempt.split("-")[0], "closed", lambda _: Draft((over,)))
    return made


def _verified(environ: dict[str, str]) -> list[Figure]:
    """`cohort admin verify` over everything, as a process of its own."""
    began = time.perf_counter()
    command = [sys.executable, "-P", "-m", "services.cli", "admin", "verify"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"the store is not sound: {done.stdout[-1_000:]}{done.stderr[-1_000:]}")
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        figure(f"verify of {MANY:,} runs", "s", [seconds], bar=300),
        figure(f"memory of verify at {MANY:,} runs", "MB", [megabytes], bar=512),
    ]


def _read(install: Install, run: str) -> None:
    state = install.store.state(run)
    if len(install.store.events(run)) != state.seq:
        raise RuntimeError(f"{run} has lost events")


def _used(install: Install) -> int:
    with translated():
        return int(install.client.info("memory")["used_memory"])


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _install() -> Iterator[tuple[Install, dict[str, str]]]:
    """A Redis as an install has it, and artifacts, in a directory that is removed afterwards."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="cohort-bench-") as place:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", place, "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--logfile", "redis.log"]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        urls = {
            "COHORT_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "COHORT_ARTIFACT_URL": (Path(place) / "artifacts").as_uri(),
        }
        try:
            install = open_install(*urls.values())
            _wait(install)
            yield install, {"PATH": os.environ["PATH"], "HOME": place, **urls}
        finally:
            server.kill()
            server.wait()


def _wait(install: Install) -> None:
    for _ in range(200):
        try:
            with translated():
                install.client.ping()
            return
        except StoreUnavailable:
            time.sleep(0.05)
    raise RuntimeError("redis-server does not answer")
