"""The compose file: variables that are settings, nothing secret written down, and containers that may do little."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.core.settings import ApiSettings, ControllerSettings, WorkerSettings

FILE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
SETTINGS = {"api": ApiSettings, "worker": WorkerSettings, "controller": ControllerSettings}
# What stands in the file, and what comes from the user's own.
_GIVEN = re.compile(r"\$\{\w+(:\?[^}]+|:-)\}")


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting_and_those_that_are_required_are_there(service: str) -> None:
    environment = SERVICES[service]["environment"]
    ours = {name.removeprefix("COHORT_").lower(): value for name, value in environment.items() if "COHORT_" in name}
    assert ours.keys() <= SETTINGS[service].model_fields.keys()
    SETTINGS[service](**ours)


def test_nothing_secret_is_written_down() -> None:
    secret = re.compile("SECRET|KEY")
    values = [
        value for one in SERVICES.values() for name, value in one.get("environment", {}).items() if secret.search(name)
    ]
    assert len(values) > 4
    assert [value for value in values if not _GIVEN.fullmatch(value)] == []


def test_a_container_may_do_little_and_is_reached_from_this_machine_alone() -> None:
    for service in SETTINGS:
        one = SERVICES[service]
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and "no-new-privileges:true" in one["security_opt"]
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_is_built_is_there() -> None:
    for service in SETTINGS:
        build = SERVICES[service]["build"]
        assert (FILE.parent / build["context"] / build["dockerfile"]).is_file()
