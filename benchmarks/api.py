"""Accepting goals: how many a second, and how long each takes, over HTTP with eight clients."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.stand import up

_CLIENTS = 8
_GOALS = 3_000
_ROUNDS = 3


def measure() -> list[Figure]:
    with up() as stand:
        # The worker stands still: what is measured is acceptance, and the clients need a core of the two.
        os.kill(stand.pid("worker"), signal.SIGSTOP)
        rates, latencies = [], []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            with ThreadPoolExecutor(_CLIENTS) as pool:
                parts = list(pool.map(lambda _: _post(stand.url, stand.headers, _GOALS // _CLIENTS), range(_CLIENTS)))
            rates.append(_GOALS // _CLIENTS * _CLIENTS / (time.perf_counter() - started))
            latencies += [one for part in parts for one in part]
        return [
            figure("goals accepted", "1/s", rates, bar=300, bound="least"),
            figure("accepting a goal", "ms", latencies, bar=100, of="p99"),
        ]


def _post(url: str, headers: dict[str, str], count: int) -> list[float]:
    samples = []
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        for _ in range(count):
            started = time.perf_counter()
            client.post("/v1/runs", json={"goal": "turns=1", "model": "scripted/ask"}).raise_for_status()
            samples.append((time.perf_counter() - started) * 1000)
    return samples
