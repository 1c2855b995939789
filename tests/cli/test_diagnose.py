import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.__main__ import main

LOG = """Traceback (most recent call last):
  File "/job/train.py", line 3, in <module>
    loss.backward()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.log"
    path.write_text(LOG)
    return path


def test_programs_get_one_object(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--log", str(log), "--exit-code", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["class"], answer["owner"]) == ("out_of_gpu_memory", "resources")
    assert answer["lines"] == [{"line": 4, "offset": LOG.index("torch."), "text": LOG.splitlines()[-1]}]
    assert "effective batch stays the same" in answer["remedies"][0]
    assert 0.9 < answer["confidence"] <= 1
    assert answer["digest"].startswith("Verdict: failed, exit code 1")


def test_people_get_a_report(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--log", str(log), "--exit-code", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("out_of_gpu_memory (mended by: resources), confidence 96%\n")
    assert "  - halve the micro-batch" in text


def test_the_log_may_come_through_a_pipe() -> None:
    command = [sys.executable, "-m", "services.cli", "diagnose", "--log", "-", "--exit-code", "0", "--json"]
    done = subprocess.run(command, input=b"step 1 loss 0.5\n", capture_output=True, check=True)
    assert json.loads(done.stdout)["class"] == "none"


def test_a_pod_tells_how_it_ended(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = tmp_path / "pod.json"
    status = {"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}
    pod.write_text(json.dumps({"status": status}))
    log.write_text("step 1\n")
    assert main(["diagnose", "--log", str(log), "--pod", str(pod), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "out_of_memory"


def test_what_is_no_pod_is_bad_usage(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = tmp_path / "pod.json"
    pod.write_text("nothing")
    assert main(["diagnose", "--log", str(log), "--pod", str(pod)]) == 2
    assert "is no pod in JSON" in capsys.readouterr().err


def test_it_needs_none_of_the_services_libraries() -> None:
    heavy = ("redis", "fastapi", "litellm", "kubernetes", "celery")
    program = (
        "import sys; from services.cli.commands import diagnose; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n")
