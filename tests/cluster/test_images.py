"""The images as they were built: small over what they begin with, nobody's root, and with nothing in them that is not
meant to be.

CLUSTER_TEST_IMAGES is the directory with their archives, as `docker save` writes them, and that of their base.
"""

import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.cluster.installation import TAG

PLACE = os.environ.get("CLUSTER_TEST_IMAGES", "")
MEGABYTE = 10**6
# Most that each may have over its base.
BARS = {"api": 150, "runner": 80, "scripted": 150, "trainer": 120, "worker": 400}

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not PLACE, reason="CLUSTER_TEST_IMAGES names no directory with the images' archives"),
]
every_image = pytest.mark.parametrize("name", BARS)


@dataclass(frozen=True)
class Image:
    """What is in an archive: the configuration, and the layers by what they hold (`diff_ids`)."""

    path: Path
    config: dict[str, dict[str, object]]
    layers: dict[str, str]

    def files(self, below: "Image") -> Iterator[tarfile.TarInfo]:
        """What its own layers hold."""
        with tarfile.open(self.path) as archive:
            for layer in self.layers.keys() - below.layers.keys():
                data = archive.extractfile(self.layers[layer])
                assert data
                with tarfile.open(fileobj=data) as content:
                    yield from content


@cache
def image(archive: str) -> Image:
    path = Path(PLACE, archive)
    with tarfile.open(path) as found:

        def read(name: str) -> object:
            data = found.extractfile(name)
            assert data
            return json.loads(data.read())

        [manifest] = read("manifest.json")  # type: ignore[misc]
        config = read(manifest["Config"])
        assert isinstance(config, dict)
        return Image(path, config, dict(zip(config["rootfs"]["diff_ids"], manifest["Layers"], strict=True)))


def ours(name: str) -> Image:
    return image(f"docker.io_cohort_{name}_{TAG}.tar")


def base() -> Image:
    return image("base.tar")


@every_image
def test_an_image_is_small_over_its_base(name: str) -> None:
    assert base().layers.keys() < ours(name).layers.keys(), "it is not made of the base"
    size = sum(file.size for file in ours(name).files(base()))
    assert size <= BARS[name] * MEGABYTE, f"{size / MEGABYTE:.0f} MB"


@every_image
def test_an_image_is_nobodys_root_and_says_what_it_is(name: str) -> None:
    config = ours(name).config["config"]
    assert config["User"] == "10001:10001"
    labels = config["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.title"] == f"cohort-{name}"
    assert all(labels[f"org.opencontainers.image.{label}"] for label in ("version", "revision", "base.name"))


@every_image
def test_an_image_holds_nothing_that_gives_rights_and_no_place_for_everybody_to_write(name: str) -> None:
    files = [file for file in ours(name).files(base()) if not file.issym()]
    assert len(files) > 100
    assert [file.name for file in files if file.mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert [file.name for file in files if file.mode & stat.S_IWOTH] == []
    # What the service runs is not its own to change.
    assert {file.name for file in files if file.uid == 10001} <= {"var/lib/cohort", "var/lib/cohort/"}


@every_image
def test_an_image_lists_its_packages_and_has_no_tests_and_no_installer_of_its_own(name: str) -> None:
    names = {file.name for file in ours(name).files(base())}
    assert any(path.endswith(".dist-info/METADATA") for path in names)
    assert [path for path in names if "/site-packages/pip/" in path or "/code/tests/" in path] == []
