"""What may go from the artifact store, and what may not."""

import os
import time
from pathlib import Path

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.commands import Order
from services.core.errors import RunNotFound
from services.core.keys import Keys
from services.core.redis import Client
from services.core.sandboxes import SandboxStore
from services.core.workspace import Workspace
from services.keeping.garbage import Garbage
from services.keeping.install import install_of
from tests.keeping.conftest import LONG, House
from tests.keeping.test_verify import place_of

WEEK = 7 * 86_400.0


def age(house: House, days: float = 30) -> None:
    """Make everything in the artifact store look so old."""
    then = time.time() - days * 86_400
    for path in place_of(house).rglob("*"):
        os.utime(path, (then, then))


def test_what_runs_and_archives_name_stays_and_the_rest_goes(house: House) -> None:
    house.story()
    pruned = house.story()
    live = house.accept()
    house.write(live, ev.AssistantMessage(content=LONG + "!"))
    house.step(live, log=b"x" * 70_000)
    house.pruner.prune(pruned)
    stray = house.install.artifacts.put(b"nobody names me")
    age(house)

    swept = Garbage(house.install).objects(WEEK)

    assert (swept.objects, swept.object_bytes, swept.logs) == (1, 15, 0)
    assert not house.install.artifacts.exists(stray)
    assert house.findings() == []
    assert house.install.store.events(pruned)
    assert Garbage(house.install).objects(WEEK).objects == 0


def test_what_a_dry_run_counts_stays(house: House) -> None:
    stray = house.install.artifacts.put(b"nobody names me")
    age(house)
    assert Garbage(house.install, dry_run=True).objects(WEEK).objects == 1
    assert house.install.artifacts.exists(stray)


def test_what_is_young_stays(house: House) -> None:
    young = house.install.artifacts.put(b"about to be named")
    assert Garbage(house.install).objects(0).objects == 0
    assert house.install.artifacts.exists(young)


def test_old_garbage_that_is_wanted_again_is_young(house: House) -> None:
    artifacts = house.install.artifacts
    wanted, stray = artifacts.put(b"wanted again"), artifacts.put(b"stray")
    age(house)
    assert artifacts.put(b"wanted again") == wanted
    assert artifacts.put_stream(iter([b"wanted", b" again"])).sha256 == wanted
    Garbage(house.install).objects(WEEK)
    assert (artifacts.exists(wanted), artifacts.exists(stray)) == (True, False)


def test_an_object_that_is_wanted_between_the_look_and_the_removal_stays(house: House) -> None:
    artifacts = house.install.artifacts
    wanted = artifacts.put(b"wanted")
    age(house)
    before = time.time() - WEEK
    artifacts.put(b"wanted")
    assert not artifacts.discard(wanted, before)
    assert artifacts.exists(wanted)


def test_what_a_message_only_mentions_stays(house: House) -> None:
    output = house.install.artifacts.put(b"a long output")
    inner = house.install.artifacts.put(b"named in a long payload")
    run = house.accept()
    said = f"left out; read them with read(path='output:{output}')"
    house.write(run, ev.ToolOutput(tool="bash", tool_call_id="a", output=said, success=True))
    house.write(run, ev.AssistantMessage(content=f"{LONG} output:{inner}"))
    age(house)
    Garbage(house.install).objects(WEEK)
    assert house.install.artifacts.exists(output)
    assert house.install.artifacts.exists(inner)


def test_what_events_of_a_newer_version_name_stays(house: House) -> None:
    run = house.accept()
    snapshot = Workspace(house.install.artifacts).import_files({"deep/down/file.txt": b"precious"})
    house.write(run, ev.Unknown(kind="of_tomorrow", payload={"root": snapshot}))
    age(house)
    Garbage(house.install).objects(WEEK)
    assert Workspace(house.install.artifacts).read(snapshot, "deep/down/file.txt") == b"precious"


def test_what_a_sandbox_is_about_to_do_keeps_its_files(house: House) -> None:
    run = house.accept()
    snapshot = Workspace(house.install.artifacts).import_files({"a.py": b"1"})
    order = Order(call="c", snapshot=snapshot, command="python a.py", timeout_seconds=1)
    SandboxStore(house.client, house.keys, house.install.payloads).queue(run, order)
    age(house)
    Garbage(house.install).objects(WEEK)
    assert Workspace(house.install.artifacts).read(snapshot, "a.py") == b"1"


def test_logs_of_runs_that_nobody_knows_go(house: House) -> None:
    run = house.story()
    house.install.artifacts.put_named("logs/r00000000000z/train/1/000000000000000-1-00000000", b"x")
    age(house)
    swept = Garbage(house.install).objects(WEEK)
    assert (swept.logs, swept.log_bytes) == (1, 1)
    assert house.install.logs.size(f"{run}-train-1") == 90


def test_nothing_is_left_of_an_old_run_and_its_money_still_counts(house: House) -> None:
    old, here = house.story(), house.story()
    house.pruner.prune(old)
    account = house.install.ledger.account("acme")

    assert list(Garbage(house.install).archives(-1)) == [old]

    with pytest.raises(RunNotFound):
        house.install.store.state(old)
    assert house.install.artifacts.list_named(f"archive/{old}/") == []
    assert house.install.artifacts.list_named(f"logs/{old}/") == []
    assert house.install.ledger.account("acme") == account
    assert house.install.store.state(here)
    assert house.findings() == []
    age(house)
    assert Garbage(house.install).objects(WEEK).objects > 0
    assert house.findings() == []


def test_an_archive_that_is_not_old_stays(house: House) -> None:
    run = house.story()
    house.pruner.prune(run)
    assert list(Garbage(house.install).archives(86_400)) == []
    assert house.install.store.state(run)


def test_it_works_on_every_redis(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> None:
    house = House(install_of(any_client, keys, artifacts))
    house.story()
    run = house.story()
    house.pruner.prune(run)
    house.install.artifacts.put(b"stray")
    age(house)
    assert Garbage(house.install).objects(WEEK).objects == 1
    assert list(Garbage(house.install).archives(-1)) == [run]
    assert house.findings() == []


def test_objects_are_swept_in_memory_stores_too(client: Client, keys: Keys, tmp_path: Path) -> None:
    house = House(install_of(client, keys, ArtifactStore(f"memory://{tmp_path.name}")))
    house.story()
    house.install.artifacts.put(b"stray")
    swept = Garbage(house.install).objects(WEEK)
    assert (swept.objects, swept.kept > 5) == (0, True)
