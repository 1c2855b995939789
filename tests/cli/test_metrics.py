"""`cohort metrics`: the series of a log, for people and for programs, without a server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.__main__ import main

LOG = "epoch=1 loss=0.5 acc=0.71\nsomething else\nepoch=2 loss=nan acc=0.8\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.log"
    path.write_text(LOG)
    return path


def test_programs_get_one_object_a_line_for_each_value(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--log", str(log), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["epoch"], one["value"]) for one in found] == [
        ("loss", 1, 0.5),
        ("acc", 1, 0.71),
        ("loss", 2, "nan"),
        ("acc", 2, 0.8),
    ]


def test_people_get_a_line_for_each_series(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--log", str(log)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(":")[0] for row in rows] == ["loss", "acc"]
    assert "max 0.8" in rows[1]


def test_the_log_may_come_through_a_pipe() -> None:
    command = [sys.executable, "-m", "services.cli", "metrics", "--log", "-", "--json"]
    done = subprocess.run(command, input=b"step 1 loss 0.5\n", capture_output=True, check=True)
    assert json.loads(done.stdout) == {"name": "loss", "value": 0.5, "step": 1}


def test_a_log_without_any_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.log"
    empty.write_bytes(b"\x00\xff\xfe no numbers here")
    assert main(["metrics", "--log", str(empty)]) == 0
    assert "no metrics found" in capsys.readouterr().err


def test_a_log_that_is_not_there_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--log", str(tmp_path / "gone.log")]) == 2
    assert "gone.log" in capsys.readouterr().err
