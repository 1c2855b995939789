"""How long a person waits for `cohort --help`."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, figure

_RUNS = 15


def measure() -> list[Figure]:
    command = [str(Path(sys.executable).parent / "cohort"), "--help"]
    samples = []
    for _ in range(_RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        samples.append((time.perf_counter() - started) * 1000)
    return [figure("cohort --help", "ms", samples[1:], bar=300)]
