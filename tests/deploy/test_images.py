"""What the Dockerfiles put into each service's image: all that it imports, and none of what it must not have."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
# Imports modules as if nothing were installed of what its first argument names.
IMPORT_WITHOUT = """
import importlib, json, sys
absent = set(json.loads(sys.argv[1]))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"no module named {name!r} in this image", name=name)
sys.meta_path.insert(0, Absent())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def wanted(image: str) -> list[str]:
    found = re.search(r"pins\.py pyproject\.toml constraints\.txt (.+?) > requirements", dockerfile(image))
    assert found
    return found[1].split()


def dockerfile(image: str) -> str:
    return (DOCKER / f"{image}.Dockerfile").read_text()


def pinned(image: str) -> dict[str, str]:
    """The packages of the image, each with its lines."""
    command = [sys.executable, DOCKER / "pins.py", "pyproject.toml", "constraints.txt", *wanted(image)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    return {entry.partition("==")[0]: entry for entry in re.split(r"\n(?! )", text.strip())}


@pytest.mark.parametrize("image", ["api", "runner", "scripted", "trainer", "worker"])
def test_every_package_has_its_version_and_hashes(image: str) -> None:
    packages = pinned(image)
    assert packages
    assert [name for name, entry in packages.items() if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    ("image", "modules"),
    [
        ("api", ["services.api.__main__", "services.cli.admin.verify"]),
        ("runner", ["services.runner.__main__"]),
        ("scripted", ["services.scripted.__main__"]),
        ("worker", ["services.worker.__main__", "services.worker.controller.__main__"]),
    ],
)
def test_a_service_has_all_that_it_imports(image: str, modules: list[str], tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (services\S*) \./services", dockerfile(image), re.MULTILINE)
    assert len(copied) > 1
    for path in copied:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copyfile)(ROOT / path, target)
    here = set(pinned(image))
    owners = importlib.metadata.packages_distributions().items()
    absent = [
        name
        for name, packages in owners
        if name != "services" and not {re.sub("[-_.]+", "-", each).lower() for each in packages} & here
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_WITHOUT, json.dumps(absent), *modules],
        cwd="/",
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("image", "barred"),
    [
        ("runner", {"celery", "litellm", "kubernetes", "fastapi", "redis", "fsspec"}),
        ("api", {"litellm", "kubernetes"}),
        ("scripted", {"litellm", "kubernetes"}),
        ("trainer", {"pydantic", "celery"}),
    ],
)
def test_an_image_has_nothing_that_its_service_must_not_have(image: str, barred: set[str]) -> None:
    assert set(pinned(image)) & barred == set()


@pytest.mark.parametrize("image", ["api", "runner", "scripted", "trainer", "worker"])
def test_no_image_runs_as_root(image: str) -> None:
    assert re.findall(r"^USER (.+)$", dockerfile(image), re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("image", ["api", "runner", "scripted", "trainer", "worker"])
def test_an_image_says_what_it_is_and_is_of_the_projects_version(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((ROOT / "deploy" / "helm" / "cohort" / "Chart.yaml").read_text())
    assert re.findall(r"^ARG VERSION=(.+)$", dockerfile(image), re.MULTILINE) == [project["version"]]
    assert chart["appVersion"] == project["version"]
    told = set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", dockerfile(image)))
    assert told == {"title", "description", "version", "revision", "base.name"}


def test_a_package_that_is_not_pinned_is_named() -> None:
    command = [sys.executable, DOCKER / "pins.py", "pyproject.toml", "constraints.txt", "no-such-extra"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "no-such-extra" in done.stderr
