"""One scripted model for all tests here that speak HTTP; tests differ in their goals, by which faults are counted."""

from collections.abc import Iterator

import pytest

from tests.scripted.conversations import MINE
from tests.scripted.server import ScriptedServer


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    """Serves tests/scripted/playbooks."""
    with ScriptedServer(MINE) as running:
        yield running
