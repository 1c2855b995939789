"""What the engine adds to a turn: its time less the time inside the model door, with the model answering at once."""

import time
from itertools import pairwise

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.stand import Stand, up

_TURNS = 300
_LONGEST_SECONDS = 300.0


def measure() -> list[Figure]:
    with up({"COHORT_SLICE_TURNS": "1000"}) as stand:
        play(stand, "turns=20", "scripted/echo")
        run = play(stand, f"turns={_TURNS}", "scripted/echo")
        calls, turns = [], []
        for event in stand.store.events(run, 0, 1_000_000):
            if event.event_type == "llm_call":
                calls.append((event.time, event.data.wire()["latency_ms"]))
        for (before, _), (after, latency) in pairwise(calls):
            turns.append(((after - before) * 1000, latency))
        return [
            figure("engine overhead a turn", "ms", [whole - latency for whole, latency in turns], bar=20),
            figure("engine overhead a turn (p99)", "ms", [whole - latency for whole, latency in turns], 100, of="p99"),
            figure("model call through litellm", "ms", [latency for _, latency in turns]),
        ]


def play(stand: Stand, goal: str, model: str) -> str:
    """A run that has succeeded. Raises `RuntimeError` where it has not."""
    body = {"goal": goal, "model": model, "limits": {"turns": 1_000}}
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=90) as client:
        run = str(client.post("/v1/runs", json=body).raise_for_status().json()["run"])
        deadline = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < deadline:
            view = client.get(f"/v1/runs/{run}", params={"wait": 30}).raise_for_status().json()
            if view["exit_code"] is not None:
                break
        if view["status"] != "succeeded":
            raise RuntimeError(f"the run ended as {view['status']}: {view['detail']}")
        return run
