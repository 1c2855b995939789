"""Many runs in one worker process, and how soon another worker goes on where one was killed."""

import os
import signal
import time

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.parked import resident_bytes
from benchmarks.stand import Stand, up

_RUNS = 64
_KILLS = 3


def measure() -> list[Figure]:
    with up({"COHORT_WORKER_SLOTS": "64"}) as stand:
        memory, seconds = _many(stand)
        resumed = [_resumed(stand) for _ in range(_KILLS)]
        return [
            figure("worker memory with 64 runs at once", "MiB", [memory], bar=400),
            figure("64 runs of 20 turns", "s", [seconds]),
            figure("resumed after SIGKILL of the worker", "s", resumed, bar=15, of="p99"),
        ]


def _many(stand: Stand) -> tuple[float, float]:
    """The worker's largest resident memory in MiB while 64 runs go on, and how long they took together."""
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=60) as client:
        started, most = time.monotonic(), 0
        left = {_post(client, "turns=20", "echo") for _ in range(_RUNS)}
        while left:
            most = max(most, resident_bytes(stand.pid("worker")))
            left = {run for run in left if not stand.store.state(run).status.is_final}
            time.sleep(0.1)
        return most / 2**20, time.monotonic() - started


def _resumed(stand: Stand) -> float:
    """Seconds from the worker's death to the next event that another one writes."""
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=60) as client:
        run = _post(client, "turns=2000", "echo")
        while stand.store.state(run).turn < 3:
            time.sleep(0.02)
        os.kill(stand.pid("worker"), signal.SIGKILL)
        killed = time.time()
        seq = stand.store.last_seq(run)
        while not (fresh := stand.store.events(run, seq, 1)):
            time.sleep(0.02)
        client.post(f"/v1/runs/{run}/cancel", json={}).raise_for_status()
        while not stand.store.state(run).status.is_final:
            time.sleep(0.1)
        return fresh[0].time - killed


def _post(client: httpx.Client, goal: str, playbook: str) -> str:
    body = {"goal": goal, "model": f"scripted/{playbook}", "limits": {"turns": 5000}}
    return str(client.post("/v1/runs", json=body).raise_for_status().json()["run"])
