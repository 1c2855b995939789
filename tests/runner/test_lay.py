"""The files an attempt starts with: fetched, checked, and put where they belong."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response

from services.core.manifest import PARCEL_BYTES, PARCEL_FILES
from services.runner.lay import parcels_of
from tests.runner.ingest import TOKEN, HalfAnAnswer, Ingest
from tests.runner.rig import ATTEMPT, PYTHONPATH


def offer(ingest: Ingest, root: str, path: str, data: bytes, mode: int = 0o644) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    kept = ingest.attempts[ATTEMPT]
    kept.files.append({"root": root, "path": path, "sha256": sha256, "size": len(data), "mode": mode})
    kept.blobs[sha256] = data
    return sha256


def lay(ingest: Ingest, directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    token = directory / "token"
    token.write_text(TOKEN)
    return subprocess.run(
        [sys.executable, "-P", "-m", "services.runner", "lay"],
        env={
            "PYTHONPATH": PYTHONPATH,
            "COHORT_ATTEMPT": ATTEMPT,
            "COHORT_API_URL": ingest.url,
            "COHORT_TOKEN_FILE": str(token),
            "COHORT_WORK_DIR": str(directory / "work"),
            "COHORT_INPUT_DIR": str(directory / "in"),
            "COHORT_CHECKPOINT_DIR": str(directory / "checkpoint"),
            **environment,
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(done: "subprocess.CompletedProcess[str]") -> str:
    return str(json.loads((done.stdout + done.stderr).splitlines()[-1]))


def test_every_file_lies_where_the_list_says(ingest: Ingest, tmp_path: Path) -> None:
    offer(ingest, "work", "src/deep/main.py", b"print()")
    offer(ingest, "work", "src/copy.py", b"print()", 0o755)
    offer(ingest, "in", "prepare/model.bin", bytes(range(256)) * 10_000)
    offer(ingest, "checkpoint", "epoch-3.pt", b"")
    for _ in range(2):
        done = lay(ingest, tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/src/deep/main.py").read_bytes() == b"print()"
    assert (tmp_path / "in/prepare/model.bin").read_bytes() == bytes(range(256)) * 10_000
    assert (tmp_path / "checkpoint/epoch-3.pt").read_bytes() == b""
    assert (tmp_path / "work/src/copy.py").stat().st_mode & 0o777 == 0o775
    assert sorted(path.name for path in (tmp_path / "work").rglob("*")) == ["copy.py", "deep", "main.py", "src"]


def test_directories_are_there_without_any_file(ingest: Ingest, tmp_path: Path) -> None:
    assert lay(ingest, tmp_path).returncode == 0
    assert all((tmp_path / name).is_dir() for name in ("work", "in", "checkpoint"))


def test_a_server_in_trouble_is_asked_again(ingest: Ingest, tmp_path: Path) -> None:
    offer(ingest, "work", "main.py", b"print()")
    ingest.instead["files"].append(JSONResponse({}, 503))
    for kind in ("parcel", "blobs"):
        ingest.instead[kind].extend([HalfAnAnswer(), JSONResponse({}, 500), Response(b"damaged on its way")])
    assert lay(ingest, tmp_path).returncode == 0
    assert (tmp_path / "work/main.py").read_bytes() == b"print()"
    assert not ingest.instead["blobs"]


def test_many_small_files_come_in_few_requests(ingest: Ingest, tmp_path: Path) -> None:
    files = {f"src/{number}.py": b"%d" % number * (number % 50) for number in range(600)}
    large = bytes(range(256)) * 1000
    for path, data in {**files, "large.bin": large}.items():
        offer(ingest, "work", path, data)
    assert lay(ingest, tmp_path).returncode == 0
    assert {path: (tmp_path / "work" / path).read_bytes() for path in files} == files
    assert (tmp_path / "work/large.bin").read_bytes() == large
    assert len(ingest.attempts[ATTEMPT].parcels) == 3


def test_an_api_that_knows_no_parcels_is_asked_for_each_file(ingest: Ingest, tmp_path: Path) -> None:
    offer(ingest, "work", "main.py", b"print()")
    ingest.instead["parcel"].append(JSONResponse({"title": "no such route"}, 404))
    assert lay(ingest, tmp_path).returncode == 0
    assert (tmp_path / "work/main.py").read_bytes() == b"print()"


def test_parcels_hold_what_an_answer_may() -> None:
    sizes = {"a": PARCEL_BYTES - 10, "b": 10, "c": 1, **{str(number): 0 for number in range(PARCEL_FILES)}}
    parcels = parcels_of(sizes)
    assert [len(parcel) for parcel in parcels] == [2, PARCEL_FILES, 1]
    assert [name for parcel in parcels for name in parcel] == list(sizes)
    assert parcels_of({}) == []


def test_a_refusal_ends_with_its_reason(ingest: Ingest, tmp_path: Path) -> None:
    offer(ingest, "work", "main.py", b"print()")
    ingest.attempts[ATTEMPT].blobs.clear()
    done = lay(ingest, tmp_path)
    assert done.returncode == 77
    assert "404" in said(done) and "no such file" in said(done)


def test_a_file_that_stays_damaged_is_named(ingest: Ingest, tmp_path: Path) -> None:
    sha256 = offer(ingest, "work", "src/main.py", b"print()")
    ingest.attempts[ATTEMPT].blobs[sha256] = b"something else"
    done = lay(ingest, tmp_path)
    assert done.returncode == 77
    assert "src/main.py" in said(done)
    assert not (tmp_path / "work/src/main.py").exists()


@pytest.mark.parametrize("path", ["../escaped", "/etc/passwd", "a/../../b"])
def test_no_file_leaves_its_directory(ingest: Ingest, tmp_path: Path, path: str) -> None:
    offer(ingest, "work", path, b"x")
    assert lay(ingest, tmp_path).returncode == 77
    assert not (tmp_path / "escaped").exists()


def test_an_attempt_that_is_over_is_not_laid(ingest: Ingest, tmp_path: Path) -> None:
    ingest.attempts[ATTEMPT].fenced = True
    done = lay(ingest, tmp_path)
    assert done.returncode == 77
    assert "over" in said(done)


def test_the_shim_is_carried_over_with_its_modes(ingest: Ingest, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    (carried / "lib").mkdir(parents=True)
    (carried / "lib" / "libc.so.6").write_bytes(b"\x7fELF")
    (carried / "ld.so").write_bytes(b"\x7fELF")
    (carried / "ld.so").chmod(0o755)
    for _ in range(2):
        done = lay(ingest, tmp_path, COHORT_CARRIED_DIR=str(carried), COHORT_RT_DIR=str(tmp_path / "rt"))
        assert done.returncode == 0, done.stderr
    assert os.access(tmp_path / "rt/ld.so", os.X_OK)
    assert (tmp_path / "rt/lib/libc.so.6").read_bytes() == b"\x7fELF"


def test_a_missing_token_is_told(ingest: Ingest, tmp_path: Path) -> None:
    done = lay(ingest, tmp_path, COHORT_TOKEN_FILE=str(tmp_path / "nowhere"))
    assert done.returncode == 78
    assert "nowhere" in done.stderr
