"""`cohort admin`, on a Redis and an artifact store of its own."""

import json
from pathlib import Path

import httpx
import pytest

from services.core.artifacts import ArtifactStore
from services.core.errors import BudgetSpent
from services.core.keys import Keys
from services.core.redis import Client
from services.keeping.install import install_of
from tests.cli.api import ApiProcess
from tests.cli.conftest import Cohort
from tests.keeping.conftest import House


@pytest.fixture
def house(client: Client, artifacts: ArtifactStore, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> House:
    """An install that the environment names. Its artifacts are those of the API, without what other tests archived."""
    for name in artifacts.list_named("archive/"):
        artifacts.delete_named(name)
    monkeypatch.setenv("COHORT_REDIS_URL", redis_url)
    monkeypatch.setenv("COHORT_ARTIFACT_URL", artifacts.url)
    return House(install_of(client, Keys(), artifacts))


def test_a_sound_store_is_exit_code_0(house: House, cohort: Cohort) -> None:
    house.story()
    done = cohort("admin", "verify", "--deep")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("sound: 1 runs and ")


def test_what_is_wrong_is_said_with_what_to_do(house: House, cohort: Cohort) -> None:
    run = house.story()
    house.client.hset(house.keys.run(run), "status", "failed")
    done = cohort("admin", "verify")
    assert done.code == 1
    assert f"{run}: its status is failed, its log says succeeded" in done.out
    assert "--repair" in done.out


def test_programs_read_what_is_wrong_as_json(house: House, cohort: Cohort) -> None:
    run = house.story()
    house.client.hset(house.keys.run(run), "status", "failed")
    done = cohort("admin", "verify", "--json")
    document = json.loads(done.out)
    assert (done.code, document["runs"], document["repairs"]) == (1, 1, [])
    (finding,) = [finding for finding in document["findings"] if finding["kind"] == "status"]
    assert (finding["subject"], finding["repairable"]) == (run, True)


def test_repairs_are_said_before_and_after(house: House, cohort: Cohort) -> None:
    run = house.story()
    house.client.hset(house.keys.run(run), "status", "failed")
    done = cohort("admin", "verify", "--repair")
    assert done.code == 0
    before, after = done.out.split(f"{run}: repaired")
    assert "repairing" in before
    assert after.splitlines()[-1].startswith("sound: ")
    assert cohort("admin", "verify").code == 0


def test_without_an_install_it_is_said_how_to_name_one(cohort: Cohort) -> None:
    done = cohort("admin", "verify")
    assert done.code == 2
    assert "COHORT_REDIS_URL and COHORT_ARTIFACT_URL" in done.err


def test_half_an_install_is_none(cohort: Cohort, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("COHORT_REDIS_URL", redis_url)
    done = cohort("admin", "verify")
    assert done.code == 2
    assert "COHORT_ARTIFACT_URL is not set" in done.err


def test_a_directory_that_is_not_there_is_not_made(
    house: House, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COHORT_ARTIFACT_URL", f"file://{tmp_path}/elsewhere")
    done = cohort("admin", "verify")
    assert done.code == 2
    assert "is its volume mounted?" in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_redis_that_is_away_is_infrastructure_and_shows_no_password(
    house: House, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COHORT_REDIS_URL", "redis://:hush-hush@127.0.0.1:1/0")
    done = cohort("admin", "verify")
    assert done.code == 3
    assert "hush" not in done.out + done.err


def test_runs_leave_redis_and_are_still_shown(api: ApiProcess, house: House, cohort: Cohort) -> None:
    run = house.story(tenant="local")
    house.accept(tenant="local")
    before = [cohort(*command, run).out for command in (("show",), ("events",))]
    dry = cohort("admin", "prune", "--runs-older-than", "0m", "--dry-run")
    assert (dry.code, dry.out.startswith("1 run(s) would leave Redis")) == (0, True)
    done = cohort("admin", "prune", "--runs-older-than", "0m", "--json")
    document = json.loads(done.out)
    assert (done.code, document["runs"], document["runs_failed"]) == (0, 1, 0)
    assert 0 < document["redis_bytes_after"] < document["redis_bytes_before"] / 5
    assert [cohort(*command, run).out for command in (("show",), ("events",))] == before
    assert cohort("logs", run, "train").out == "loss 0.5\n" * 10
    assert run in cohort("runs").out
    assert cohort("admin", "verify").code == 0


def test_archives_and_objects_go_with_their_age(house: House, cohort: Cohort) -> None:
    run = house.story()
    house.pruner.prune(run)
    done = cohort("admin", "prune", "--archives-older-than", "0m", "--artifacts")
    assert done.code == 0
    assert "1 archive(s) are gone" in done.out
    assert "0 object(s) are gone" in done.out
    assert list(house.install.archive.runs()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say what is to go"),
        (["--runs-older-than", "30"], "is no age"),
        (["--artifacts", "--grace", "1d"], "2d at least"),
    ],
)
def test_what_cannot_be_pruned_is_said(house: House, cohort: Cohort, options: list[str], said: str) -> None:
    done = cohort("admin", "prune", *options)
    assert (done.code, said in done.err) == (2, True)


def test_runs_come_back_where_redis_was_lost(house: House, cohort: Cohort) -> None:
    run = house.story()
    house.client.flushdb()
    dry = cohort("admin", "restore", "--dry-run")
    assert (dry.code, "1 run(s) would be restored" in dry.out, house.client.dbsize()) == (0, True, 0)
    done = cohort("admin", "restore", "--json")
    assert (done.code, json.loads(done.out)["restored"]) == (0, 1)
    assert house.store.state(run).run == run
    assert cohort("admin", "verify").code == 0


def test_an_archive_that_is_not_there_is_said(house: House, cohort: Cohort) -> None:
    done = cohort("admin", "restore", "r00000000000z")
    assert (done.code, "r00000000000z" in done.err) == (1, True)


# --- Keys and caps ----------------------------------------------------------------------------------------------------


def test_a_tenant_begins_with_its_first_key(api: ApiProcess, house: House, cohort: Cohort) -> None:
    made = cohort("admin", "keys", "create", "ci of vision", "--tenant", "vision", "--scope", "read", "--json")
    document = json.loads(made.out)
    assert (made.code, document["tenant"], document["scopes"]) == (0, "vision", ["read"])
    answer = httpx.get(f"{api.url}/v1/whoami", headers={"Authorization": f"Bearer {document['secret']}"})
    assert (answer.status_code, answer.json()["tenant"]) == (200, "vision")
    assert cohort("admin", "keys", "revoke", document["id"]).code == 0
    answer = httpx.get(f"{api.url}/v1/whoami", headers={"Authorization": f"Bearer {document['secret']}"})
    assert answer.status_code == 401


def test_keys_are_listed_over_all_tenants_without_their_secrets(house: House, cohort: Cohort) -> None:
    secrets = [cohort("admin", "keys", "create", "ci", "--tenant", tenant).out.strip() for tenant in ("a", "b")]
    listed = cohort("admin", "keys", "list").out
    assert [line.split("  ")[1] for line in listed.splitlines()] == ["a", "b"]
    assert not any(secret.split("_")[2] in listed for secret in secrets)
    assert len(cohort("admin", "keys", "list", "--tenant", "b").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keys", "create", "ci", "--tenant", "No Tenant"], "a tenant is named with"),
        (["keys", "create", "ci"], "--tenant"),
        (["keys", "create", "ci", "--tenant", "a", "--scope", "root"], "invalid choice"),
        (["keys", "revoke", "abcdefghijkl"], "there is no key abcdefghijkl"),
        (["cap", "acme"], "--dollars"),
        (["cap", "acme", "--dollars", "-1"], "from 0 on"),
        (["cap", "acme", "--dollars", "nan"], "from 0 on"),
        (["cap", "A B", "--lift"], "no name of a tenant"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    house: House, cohort: Cohort, arguments: list[str], said: str
) -> None:
    done = cohort("admin", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err
    assert house.client.dbsize() == 0


def test_a_cap_holds_from_now_on_and_is_shown(house: House, cohort: Cohort) -> None:
    house.story()
    assert "may spend $10.00 in all" in cohort("admin", "cap", "acme", "--dollars", "10").err
    (tenant,) = json.loads(cohort("admin", "tenants", "--json").out)["items"]
    assert (tenant["tenant"], tenant["cap_dollars"], tenant["spent_dollars"]) == ("acme", 10.0, 0.0015)
    cohort("admin", "cap", "acme", "--dollars", "0.002")
    with pytest.raises(BudgetSpent):
        house.install.ledger.reserve("acme", "model:r-c1", 1_000)
    assert "without bound" in cohort("admin", "cap", "acme", "--lift").err
    house.install.ledger.reserve("acme", "model:r-c1", 1_000)
