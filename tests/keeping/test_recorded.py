"""An install that an earlier version has left is sound to this one, reads as it did, and goes on."""

from pathlib import Path

import pytest

from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.lifecycle import Status
from services.core.redis import Client
from services.keeping.install import install_of
from tests.keeping.conftest import House
from tests.keeping.recording import PLACE, load, put_back

NAMES = sorted(path.name.removesuffix(".json.gz") for path in PLACE.glob("*.json.gz"))


@pytest.mark.parametrize("name", NAMES)
def test_what_an_earlier_version_left_is_read_and_goes_on(name: str, client: Client, tmp_path: Path) -> None:
    recorded = load(name)
    put_back(recorded, client, tmp_path / "artifacts")
    house = House(install_of(client, Keys(), ArtifactStore(f"file://{tmp_path}/artifacts")))
    assert house.findings() == []

    for run in (recorded["over"], recorded["pruned"]):
        state = house.store.state(run)
        assert (state.status, state.summary, state.metrics) == (Status.SUCCEEDED, "done", {"loss": 0.5})
        assert len(house.store.events(run)) == state.seq
        assert house.install.logs.read(f"{run}-train-1", 0, 8) == b"loss 0.5"
        assert [metric.value for metric in house.install.attempts.metrics(f"{run}-train-1")] == [0.5]
    live = recorded["live"]
    house.finish(live, house.end_step(f"{live}-train-1"))
    house.archivist.archive(live)
    assert house.pruner.prune(live)
    assert house.pruner.prune(recorded["over"])
    assert house.findings() == []


def test_this_version_has_recorded_one() -> None:
    assert "0.1" in NAMES
