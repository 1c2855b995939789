"""Ten thousand parked runs: what they cost the worker, and how soon a message becomes a turn at fifty a second."""

import time
from pathlib import Path

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.stand import Stand, accepted, up
from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import Wait
from services.core.store import Draft, Lease, Talk

_RUNS = 10_000
_WAKES = 500
_WAKES_PER_SECOND = 50


def measure() -> list[Figure]:
    with up() as stand:
        _warm_up(stand)
        before = resident_bytes(stand.pid("worker"))
        runs = [_park(stand, number) for number in range(_RUNS)]
        growth = max(0, resident_bytes(stand.pid("worker")) - before) / _RUNS / 1024
        latencies = _wake(stand, runs[:_WAKES])
        return [
            figure("worker memory a parked run", "KiB", [growth], bar=10),
            figure("message to turn at 50 wakes/s", "s", latencies, bar=2, of="p99"),
        ]


def _warm_up(stand: Stand) -> None:
    """Let the worker take one turn: what it imports and opens for that is not the parked runs' cost."""
    run = "rwarmup000000"
    stand.store.create(run, "bench", accepted("say hello", "hello"))
    while not stand.store.state(run).status.is_final:
        time.sleep(0.1)


def _park(stand: Stand, number: int) -> str:
    """A run that has asked and waits for a person, without the model's help."""
    run, store = f"rparked{number:06d}", stand.store
    store.create(run, "bench", accepted("wait for a word", "ask"))
    while not isinstance(lease := store.claim(run, "bench", 30), Lease):
        if lease.why in {"final", "idle"}:
            return run
    state = store.state(run)
    begin = ev.StatusChanged(source=state.status, target=Status.RUNNING)
    park = ev.StatusChanged(source=Status.RUNNING, target=Status.NEEDS_HUMAN, reason=Reason.ASKED)
    said = Talk(0, -1, {"role": "assistant", "content": "What shall I do?"})
    store.append(lease, state, Draft((begin, park, ev.Parked(wait=Wait(kind="message"))), (said,)), release=True)
    return run


def _wake(stand: Stand, runs: list[str]) -> list[float]:
    sent: dict[str, float] = {}
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=30) as client:
        started = time.monotonic()
        for number, run in enumerate(runs):
            # The pace is the measurement's own; a late call is sent at once.
            time.sleep(max(0.0, started + number / _WAKES_PER_SECOND - time.monotonic()))
            sent[run] = time.time()
            client.post(f"/v1/runs/{run}/messages", json={"content": "go"}).raise_for_status()
    return [_turn_began(stand, run) - sent[run] for run in runs]


def _turn_began(stand: Stand, run: str) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        asked = [event.time for event in stand.store.events(run) if event.event_type == "llm_request"]
        if asked:
            return asked[-1]
        time.sleep(0.05)
    raise RuntimeError(f"run {run} was not woken")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, from /proc."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory")
