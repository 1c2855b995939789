"""Settings from the environment."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from services.core.errors import BadRequest
from services.core.settings import (
    AdminSettings,
    ApiSettings,
    ClientSettings,
    ControllerSettings,
    LaySettings,
    RunnerSettings,
    WorkerSettings,
    load,
)

EVERY = [ApiSettings, WorkerSettings, ControllerSettings, RunnerSettings, LaySettings, ClientSettings, AdminSettings]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("COHORT_")]:
        monkeypatch.delenv(name)


def test_what_is_not_said_has_its_default() -> None:
    settings = load(WorkerSettings)
    assert (settings.redis_url, settings.shards, settings.worker_slots) == ("redis://127.0.0.1:6379/0", 16, 32)


def test_what_is_said_is_read_and_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_REDIS_URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("COHORT_REDIS_CLUSTER", "true")
    monkeypatch.setenv("COHORT_STATE_DIR", "/srv/state")
    settings = load(WorkerSettings)
    assert (settings.redis_url, settings.redis_cluster) == ("redis://elsewhere:1/0", True)
    assert settings.state_dir == Path("/srv/state")


def test_a_variable_no_service_knows_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_REDDIS_URL", "redis://elsewhere:1/0")
    with pytest.raises(BadRequest, match="COHORT_REDDIS_URL") as error:
        load(WorkerSettings)
    assert error.value.field == "COHORT_REDDIS_URL"


@pytest.mark.parametrize("url", ["grafana.example.com", "javascript:alert(1)", "https://grafana example.com"])
def test_an_address_of_a_grafana_that_no_browser_can_follow_is_an_error(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("COHORT_RUNNER_SECRET", "x")
    monkeypatch.setenv("COHORT_GRAFANA_URL", url)
    with pytest.raises(BadRequest, match="COHORT_GRAFANA_URL"):
        load(ApiSettings)


def test_a_variable_of_another_service_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_API_PORT", "9000")
    load(WorkerSettings)


def test_what_the_executors_tell_a_step_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUN", "STEP", "OUTPUT_DIR", "INPUT_DIR", "CHECKPOINT_DIR"):
        monkeypatch.setenv(f"COHORT_{name}", "x")
    load(ClientSettings)


@pytest.mark.parametrize(("name", "value"), [("WORKER_SLOTS", "many"), ("WORKER_SLOTS", "0"), ("SHARDS", "100")])
def test_a_value_out_of_its_range_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"COHORT_{name}", value)
    with pytest.raises(BadRequest, match=f"^COHORT_{name}: ") as error:
        load(WorkerSettings)
    assert error.value.field == f"COHORT_{name}"


def test_a_missing_secret_is_an_error_that_names_it() -> None:
    with pytest.raises(BadRequest, match="COHORT_RUNNER_SECRET"):
        load(ApiSettings)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_RUNNER_SECRET", "hush-hush")
    settings = load(ApiSettings)
    assert "hush-hush" not in repr(settings)
    assert settings.runner_secret.get_secret_value() == "hush-hush"


def test_settings_are_frozen() -> None:
    settings: Any = load(WorkerSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.shards = 2


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_setting_says_what_it_is_for(kind: type[BaseSettings]) -> None:
    assert all(field.description for field in kind.model_fields.values())
