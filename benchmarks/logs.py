"""Logs: bytes a second from the spool to the store, and how soon a printed line is at an SSE client."""

import json
import re
import sys
import time

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.stand import Stand, up

_MEGABYTES = 300
_ROUNDS = 3
_LINES = 200
_FLOOD_PROGRAM = f"import os; b = (b'x' * 99 + b'\\n') * 10000; [os.write(1, b) for _ in range({_MEGABYTES})]"
_FLOOD = f'{sys.executable} -c "{_FLOOD_PROGRAM}"'
_CLOCK_PROGRAM = (
    f"import time; [(print('printed at', time.time(), flush=True), time.sleep(0.05)) for _ in range({_LINES})]"
)
_CLOCK = f'{sys.executable} -u -c "{_CLOCK_PROGRAM}"'
_STAMP = re.compile(r"printed at ([0-9.]+)")


def measure() -> list[Figure]:
    with up() as stand:
        rates = [_shipped(stand) for _ in range(_ROUNDS)]
        return [
            figure("log from program to store", "MB/s", rates, bar=40, bound="least"),
            figure("line printed to SSE client", "ms", _latencies(stand), bar=500, of="p99"),
        ]


def _submit(client: httpx.Client, command: str) -> tuple[str, str]:
    """Post a goal whose run executes `command` as a step; the run's id and the step's name once it is there."""
    body = {"goal": f"run `{command}`", "model": "scripted/train-fast"}
    run = str(client.post("/v1/runs", json=body).raise_for_status().json()["run"])
    while True:
        steps = client.get(f"/v1/runs/{run}").raise_for_status().json()["steps"]
        if steps:
            return run, next(iter(steps))
        time.sleep(0.01)


def _shipped(stand: Stand) -> float:
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=120) as client:
        run, _ = _submit(client, _FLOOD)
        while client.get(f"/v1/runs/{run}", params={"wait": 30}).json()["exit_code"] is None:
            continue
    ended = next(e for e in stand.store.events(run, 0, 10_000) if e.event_type == "attempt_finished").data.wire()
    if ended["log_bytes"] != _MEGABYTES * 1_000_000 or not ended["log_complete"]:
        raise RuntimeError(f"the log is not whole: {ended}")
    record = stand.store.client.hgetall(stand.store.keys.attempt(ended["attempt"]))
    first, last = (float(record[name]) for name in (b"first_output_at", b"last_output_at"))
    return _MEGABYTES / max(last - first, 1e-3)


def _latencies(stand: Stand) -> list[float]:
    samples: list[float] = []
    with httpx.Client(base_url=stand.url, headers=stand.headers, timeout=120) as client:
        run, step = _submit(client, _CLOCK)
        with client.stream("GET", f"/v1/runs/{run}/steps/{step}/log/stream") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    text = str(json.loads(line[5:]).get("text", ""))
                    now = time.time()
                    samples += [(now - float(stamp)) * 1000 for stamp in _STAMP.findall(text)]
                if line.startswith("event: end"):
                    break
    return samples
