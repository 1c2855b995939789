"""The main job, from goal to model, with every service as a process: what `make demo` plays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import leftovers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECONDS = 300


def test_the_demo_trains_a_model_that_holds_on_data_it_has_not_seen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--home", str(home)],
        env=environ,
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    out = done.stdout
    assert done.returncode == 0, out[-3000:] + done.stderr
    assert "status      succeeded" in out
    assert "a scripted playbook, not a language model" in out
    assert "✗ step train, attempt 1 failed" in out
    assert "could not broadcast" in out
    assert "✔ step train, attempt 2 succeeded" in out
    assert "loss" in out

    result = home / "result"
    assert {"train", "MODEL_CARD.md", "predict.py", "logs", "trace.jsonl"} <= {path.name for path in result.iterdir()}
    assert (result / "train" / "model.npz").stat().st_size > 10_000
    assert "ValueError: could not broadcast" in (result / "logs" / "train-1.log").read_text()
    events = [json.loads(line) for line in (result / "trace.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event_type"] in {"shutdown", "run_finished", "turn_complete", "status_changed"}


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "demo", "--home", str(home)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("◆ train  epoch"):
            break
    pids = json.loads((home / "stack.json").read_text())["pids"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert all(leftovers.birth(pid) is None for pid in pids.values())
    assert not _programs_below(home)


def _programs_below(home: Path) -> list[str]:
    """Command lines of processes that work in the home: trainings, shims, sidecars."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_text()
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(home) in command or where.startswith(str(home)):
                found.append(command)
    return found
