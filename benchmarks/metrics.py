"""Series: bytes a second of one core, in pieces as the runner reads them."""

import time

from benchmarks.digest import training
from benchmarks.figures import Figure, figure
from services.core.series import SeriesParser

_ROUNDS = 5
_PIECE = 64 << 10


def measure() -> list[Figure]:
    log = training(16 << 20)
    return [figure("series of a log of 16 MiB", "MB/s", [_rate(log) for _ in range(_ROUNDS)])]


def _rate(log: bytes) -> float:
    began = time.process_time()
    parser = SeriesParser()
    for start in range(0, len(log), _PIECE):
        parser.feed(log[start : start + _PIECE])
    parser.finish()
    return len(log) / 1e6 / (time.process_time() - began)
