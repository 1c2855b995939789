"""What is installed is what constraints.txt pins, and nothing runs that nobody asked for."""

import re
import site
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest

from services.core.version import VERSION

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "constraints.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE))
# Ours, and the one by which setuptools stands in for distutils. A .pth file runs at every start of Python: litellm
# 1.82.7 and 1.82.8 were published with one that stole credentials.
EXPECTED_PTH = {"_editable_impl_cohort.pth", "distutils-precedence.pth"}
STOLEN = {"1.82.7", "1.82.8"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_version_is_said_once_and_needs_no_installed_package() -> None:
    assert re.search(rf'^version = "{re.escape(VERSION)}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    # Images hold the modules alone.
    asking = [path for path in (ROOT / "services").rglob("*.py") if "importlib.metadata" in path.read_text()]
    assert asking == []


def test_no_file_runs_at_the_start_of_python_that_is_not_known() -> None:
    places = {Path(place) for place in [*site.getsitepackages(), sysconfig.get_path("purelib")]}
    found = {path.name for place in places for path in place.glob("*.pth")}
    assert found <= EXPECTED_PTH


def test_litellm_is_the_pinned_one_and_never_a_stolen_one() -> None:
    installed = {found.version for found in distributions() if found.name == "litellm"}
    assert installed == {PINS["litellm"]}
    assert not STOLEN & {PINS["litellm"]}
    assert f'"litellm=={PINS["litellm"]}"' in (ROOT / "pyproject.toml").read_text()


def test_everything_installed_is_pinned_and_is_the_version_that_is_pinned() -> None:
    found = {canonical(each.name): each.version for each in distributions()}
    # Brought by the virtual environment itself, not by us.
    for name in ("cohort", "pip", "setuptools", "wheel"):
        found.pop(name, None)
    assert {name: (version, PINS.get(name)) for name, version in found.items() if PINS.get(name) != version} == {}


@pytest.mark.parametrize(
    "name", ["celery", "kombu", "redis", "hiredis", "litellm", "google-crc32c", "httpx", "hatchling"]
)
def test_what_cohort_stands_on_is_pinned(name: str) -> None:
    assert name in PINS


def test_every_pin_has_its_hashes_and_the_lock_names_no_index() -> None:
    for block in re.split(r"\n(?=[a-z0-9])", LOCK):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"https?://|--index-url|--find-links|--trusted-host", LOCK)
