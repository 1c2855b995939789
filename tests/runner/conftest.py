"""A server of the runner's protocol, and a shim and a sidecar over a directory of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runner.processes import end_survivors
from tests.runner.ingest import Ingest
from tests.runner.rig import Rig


@pytest.fixture(scope="session")
def ingest_process() -> Iterator[Ingest]:
    """One server for each process of pytest. Tests ask for `ingest`, which knows nothing."""
    server = Ingest()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ingest(ingest_process: Ingest) -> Ingest:
    """A server of the runner's protocol that was sent nothing yet."""
    ingest_process.reset()
    return ingest_process


@pytest.fixture
def rig(tmp_path: Path, ingest: Ingest) -> Iterator[Rig]:
    rig = Rig(tmp_path, ingest)
    yield rig
    rig.halt_all()
    for process in rig.processes:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    record = rig.spool.shim()
    if record is not None:
        end_survivors(record, rig.out)
