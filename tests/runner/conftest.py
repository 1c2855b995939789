"""A server of the runner's protocol, and a shim and a sidecar over a directory of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runner.processes import end_survivors
from tests.runner.ingest import Ingest
from tests.runner.rig import ATTEMPT, Rig


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    server = Ingest()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def rig(tmp_path: Path, ingest: Ingest) -> Iterator[Rig]:
    rig = Rig(tmp_path, ingest)
    yield rig
    for process in rig.processes:
        process.kill()
        process.wait()
    record = rig.spool.shim()
    if record is not None:
        end_survivors(record, ATTEMPT)
