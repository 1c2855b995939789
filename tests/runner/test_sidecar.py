"""The sidecar with a real shim on one side and a real HTTP server on the other.

As a process of its own where processes are the point, else on a thread.
"""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from services.core.observations import Metric
from services.runner.metrics import MetricReader
from services.runner.spool import Settlement, take
from tests.runner.ingest import TOKEN, HalfAnAnswer, Ingest
from tests.runner.rig import PYTHONPATH, Rig, is_alive, wait_for_file, wait_until

CHATTY = """
import os, time
for i in range(200):
    os.write(1, b"%d " % i + os.urandom(5000) + b"\\n")
    time.sleep(0.005)
"""


def test_a_programs_log_and_end_arrive(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo hello; exit 3", claimed=None)
    assert rig.sidecar().wait(timeout=60) == 0
    assert bytes(rig.kept.log) == b"hello\n"
    accepted = rig.kept.accepted
    assert (accepted["exit_code"], accepted.get("signal"), accepted["reason"]) == (3, None, "exited")
    assert accepted["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    assert accepted["peaks"]["rss_bytes"] > 0
    assert rig.kept.pod_uid == "uid-1"
    assert rig.spool.settlement() is Settlement.FINISHED


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\xff\xfe\xc3(\r\n\x1b[31m without an end", id="binary"),
        pytest.param(b"x" * 5_000_000, id="one line of 5 MB"),
        pytest.param((b"x" * 1000 + b"\n") * 10_000, id="10 MB"),
    ],
)
def test_the_log_arrives_byte_for_byte(rig: Rig, data: bytes) -> None:
    (rig.work / "data").write_bytes(data)
    rig.shim("cat", "data", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.log == data
    assert rig.kept.accepted["bytes"] == len(data)


def test_the_log_arrives_while_the_program_runs(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo one; read x < go; echo two", claimed=None)
    os.mkfifo(rig.work / "go")
    tended = rig.tend()
    wait_until(lambda: rig.kept.log == b"one\n")
    (rig.work / "go").write_text("go\n")
    assert tended.result(60) is Settlement.FINISHED
    assert rig.kept.log == b"one\ntwo\n"


def test_a_sidecar_killed_again_and_again_loses_and_doubles_nothing(rig: Rig) -> None:
    rig.python(CHATTY, claimed=None)
    for size in (1, 200_000, 400_000):
        sidecar = rig.sidecar()
        wait_until(lambda size=size: len(rig.kept.log) >= size)  # type: ignore[misc]
        sidecar.kill()
        sidecar.wait()
    assert rig.sidecar().wait(timeout=60) == 0
    assert rig.kept.log == rig.log
    assert rig.kept.accepted["bytes"] == len(rig.log) > 1_000_000


@pytest.mark.parametrize(
    ("boundary", "count"),
    [
        ("runner.claimed", 1),
        ("runner.granted", 1),
        ("runner.before_put", 2),
        ("runner.after_put", 1),
        ("runner.before_finish", 1),
        ("runner.after_finish", 1),
    ],
)
def test_a_sidecar_killed_at_a_boundary_is_continued_by_the_next(rig: Rig, boundary: str, count: int) -> None:
    (rig.work / "data").write_bytes(b"y" * (3 << 20))
    (rig.out / "model").write_bytes(b"weights")
    rig.shim("sh", "-c", "echo >> runs; cat data", claimed=None)
    dying = Path(__file__).with_name("dying.py")
    assert rig.sidecar(command=(str(dying), boundary, str(count))).wait(timeout=60) == -signal.SIGKILL
    assert rig.sidecar().wait(timeout=60) == 0
    assert rig.kept.log == b"y" * (3 << 20)
    assert rig.kept.accepted["exit_code"] == 0
    assert rig.kept.outputs == {"model": b"weights"}
    assert (rig.work / "runs").read_text() == "\n"


def test_an_api_that_is_down_for_a_while_costs_nothing(rig: Rig, ingest: Ingest) -> None:
    rig.python(CHATTY, claimed=None)
    tended = rig.tend()
    wait_until(lambda: len(rig.kept.log) > 100_000)
    ingest.stop()
    wait_until(lambda: rig.spool.exit())
    ingest.start()
    assert tended.result(60) is Settlement.FINISHED
    assert rig.kept.log == rig.log


def test_failures_of_the_api_are_retried(rig: Rig, ingest: Ingest) -> None:
    for kind in ("claim", "log", "outputs", "finish", "heartbeat"):
        ingest.instead[kind] += [Response(status_code=500)]
        ingest.afterwards[kind] += [HalfAnAnswer()]
    (rig.out / "model").write_bytes(b"weights")
    rig.shim("sh", "-c", "echo one; sleep 0.4; echo two", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.log == b"one\ntwo\n"
    assert rig.kept.outputs == {"model": b"weights"}
    assert not any(ingest.afterwards[kind] for kind in ("claim", "log", "outputs", "finish"))


def test_a_server_that_lost_its_tail_gets_it_again(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo one; echo two; read x < go; echo three", claimed=None)
    os.mkfifo(rig.work / "go")
    tended = rig.tend()
    wait_until(lambda: rig.kept.log == b"one\ntwo\n")
    del rig.kept.log[2:]
    (rig.work / "go").write_text("go\n")
    assert tended.result(60) is Settlement.FINISHED
    assert rig.kept.log == b"one\ntwo\nthree\n"


def test_a_server_that_has_more_than_the_sidecar_knows_is_believed(rig: Rig) -> None:
    rig.kept.log += b"one\n"
    rig.shim("sh", "-c", "echo one; echo two", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.log == b"one\ntwo\n"
    assert rig.kept.offsets == [4]


def test_a_log_whose_digest_is_refused_is_sent_again_from_the_start(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo one; read x < go; echo two", claimed=None)
    os.mkfifo(rig.work / "go")
    tended = rig.tend()
    wait_until(lambda: rig.kept.log == b"one\n")
    rig.kept.log[:] = b"0ne\n"
    (rig.work / "go").write_text("go\n")
    assert tended.result(60) is Settlement.FINISHED
    assert rig.kept.log == b"one\ntwo\n"
    assert len(rig.kept.finishes) == 2


def test_bodies_the_api_finds_too_large_are_halved(rig: Rig, ingest: Ingest) -> None:
    ingest.largest_body = 100_000
    (rig.work / "data").write_bytes(os.urandom(300_000))
    rig.shim("cat", "data", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.log == rig.log


def test_bytes_damaged_on_the_way_are_sent_again(rig: Rig, ingest: Ingest) -> None:
    ingest.instead["log"] += [JSONResponse({"title": "damaged"}, 400)] * 2
    rig.shim("echo", "hello", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.log == b"hello\n"


def test_bytes_that_wait_for_the_api_are_told_to_be_older_each_time(rig: Rig, ingest: Ingest) -> None:
    ingest.instead["log"] += [JSONResponse({}, 503, headers={"Retry-After": "1"})] * 2
    rig.shim("echo", "hello", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    first, second, third = rig.kept.ages
    assert first >= 0
    assert first + 1 <= second and second + 1 <= third < 60


def test_a_fenced_sidecar_has_the_program_cancelled_and_kills_nothing_itself(rig: Rig) -> None:
    shim = rig.shim("sh", "-c", "echo one; exec sleep 600", claimed=None)
    tended = rig.tend()
    wait_until(lambda: rig.kept.log == b"one\n")
    rig.kept.fenced = True
    assert tended.result(60) is Settlement.FENCED
    assert shim.wait(timeout=60) == 143
    assert rig.report()["reason"] == "cancelled"
    assert rig.spool.settlement() is Settlement.FENCED
    assert rig.kept.finishes == []


def test_a_program_whose_attempt_is_over_never_starts(rig: Rig) -> None:
    rig.kept.fenced = True
    shim = rig.shim("touch", "ran", claimed=None)
    assert rig.tend().result(60) is Settlement.FENCED
    shim.wait(timeout=60)
    assert not (rig.work / "ran").exists()


def test_of_two_executions_only_the_one_that_claims_first_runs_the_program(rig: Rig) -> None:
    rig.kept.pod_uid = "somebody-else"
    shim = rig.shim("touch", "ran", claimed=None)
    assert rig.tend().result(60) is Settlement.CLAIM_TAKEN
    assert shim.wait(timeout=60) == 75
    assert not (rig.work / "ran").exists()
    assert rig.spool.settlement() is Settlement.CLAIM_TAKEN
    assert rig.kept.finishes == []


def test_a_cancel_comes_with_a_heartbeat_and_brings_its_grace_period(rig: Rig) -> None:
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    shim = rig.shim("sh", "-c", stubborn, claimed=None, grace=600)
    tended = rig.tend()
    wait_until(lambda: rig.kept.log == b"ready\n")
    rig.kept.cancel = True
    assert shim.wait(timeout=60) == 137
    assert tended.result(60) is Settlement.FINISHED
    assert rig.kept.accepted["reason"] == "cancelled"


def test_a_program_whose_shim_is_killed_is_lost_with_all_it_started(rig: Rig) -> None:
    shim = rig.shim("sh", "-c", "sleep 600 & echo $! > pid; echo started; wait", claimed=None)
    tended = rig.tend()
    grandchild = int(wait_for_file(rig.work / "pid"))
    wait_until(lambda: rig.kept.log == b"started\n")
    shim.kill()
    assert tended.result(60) is Settlement.FINISHED
    assert not is_alive(grandchild)
    accepted = rig.kept.accepted
    assert (accepted.get("exit_code"), accepted["reason"]) == (None, "shim_lost")
    assert accepted["bytes"] == len(b"started\n")


def test_outputs_are_uploaded_with_their_directories_and_nothing_else_is(rig: Rig) -> None:
    rig.shim("true", claimed=None)
    (rig.out / "deep" / "er").mkdir(parents=True)
    (rig.out / "deep" / "er" / "model.bin").write_bytes(b"weights" * 500_000)
    (rig.out / "a name with %41 ? # and ü").write_bytes(b"")
    (rig.out / "link").symlink_to("/etc/passwd")
    (rig.out / "linked").symlink_to("/etc")
    os.mkfifo(rig.out / "pipe")
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.outputs == {
        "deep/er/model.bin": b"weights" * 500_000,
        "a name with %41 ? # and ü": b"",
    }
    assert {file["path"] for file in rig.kept.accepted["outputs"]} == set(rig.kept.outputs)
    told = [warning["text"] for each in rig.kept.observations for warning in each["warnings"]]
    assert told == ["link: a symbolic link", "linked: a symbolic link", "pipe: not a regular file"]


def test_an_output_the_api_will_not_have_does_not_cost_the_others(rig: Rig, ingest: Ingest) -> None:
    ingest.instead["outputs"].append(JSONResponse({"title": "too large"}, 413))
    (rig.out / "a").write_bytes(b"a")
    (rig.out / "b").write_bytes(b"b")
    rig.shim("true", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.outputs == {"b": b"b"}


def test_memory_and_cpu_of_the_program_are_observed(rig: Rig) -> None:
    rig.shim("sleep", "1.2", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    samples = [sample for each in rig.kept.observations for sample in each["samples"]]
    assert samples
    assert samples[0]["rss_bytes"] > 0


def test_metrics_are_posted_once_even_if_the_sidecar_is_replaced(rig: Rig) -> None:
    losses = "for i in $(seq 1 1500); do echo step $i loss: $i.5; done"
    rig.shim("sh", "-c", f"{losses}; read x < go; printf 'step 1501 loss: nan'", claimed=None)
    os.mkfifo(rig.work / "go")
    rig.tend()
    wait_until(lambda: sum(len(each["metrics"]) for each in rig.kept.observations) == 1500)
    rig.halt_all()
    (rig.work / "go").write_text("go\n")
    assert rig.tend().result(60) is Settlement.FINISHED
    metrics: list[dict[str, Any]] = []
    for each in rig.kept.observations:
        assert each["first"] <= len(metrics)
        metrics[each["first"] : each["first"] + len(each["metrics"])] = each["metrics"]
    assert [metric["value"] for metric in metrics] == [*(i + 0.5 for i in range(1, 1501)), "NaN"]
    assert [metric["step"] for metric in metrics] == list(range(1, 1502))


def test_the_progress_of_the_program_is_posted(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo epoch 1/4; echo epoch 3/4; echo and so on", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    told = [each["progress"] for each in rig.kept.observations if "progress" in each]
    assert told[-1] == {"fraction": 0.75, "text": "epoch 3/4", "best": []}


class BrokenReader(MetricReader):
    """Fails at a line nobody thought of."""

    def feed(self, data: bytes) -> list[Metric]:
        if b"surprise" in data:
            raise ZeroDivisionError
        return super().feed(data)


def test_a_line_that_breaks_the_metrics_costs_nothing_else(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo a surprise; echo and more", claimed=None)
    assert rig.tend(BrokenReader()).result(60) is Settlement.FINISHED
    assert rig.kept.log == b"a surprise\nand more\n"
    told = [warning["kind"] for each in rig.kept.observations for warning in each["warnings"]]
    assert told == ["metrics_given_up"]


def test_a_second_sidecar_leaves_the_work_to_the_first(rig: Rig) -> None:
    assert take(rig.spool.sidecar_lock)
    assert rig.sidecar().wait(timeout=60) == 75


def test_a_settled_attempt_is_left_alone(rig: Rig) -> None:
    rig.shim("true", claimed=None)
    assert rig.tend().result(60) is Settlement.FINISHED
    rig.kept.finishes.clear()
    assert rig.tend().result(60) is Settlement.FINISHED
    assert rig.kept.finishes == []


def test_a_wrong_token_ends_the_sidecar_and_leaves_the_program_to_the_next(rig: Rig) -> None:
    shim = rig.shim("echo", "hello", claimed=None)
    assert rig.sidecar(token="of-yesterday").wait(timeout=60) == 77
    assert shim.poll() is None
    assert rig.sidecar().wait(timeout=60) == 0
    assert rig.kept.log == b"hello\n"


@pytest.mark.parametrize("settings", [{"COHORT_HEARTBEAT_SECONDS": "-1"}, {"COHORT_SPOOLDIR": "typo"}])
def test_wrong_settings_end_the_sidecar_before_it_does_anything(rig: Rig, settings: dict[str, str]) -> None:
    assert rig.sidecar(**settings).wait(timeout=60) == 78
    assert rig.kept.pod_uid == ""


def test_a_sidecar_without_a_token_does_nothing(rig: Rig) -> None:
    assert rig.sidecar(token="").wait(timeout=60) == 78


def test_the_token_may_come_from_a_file(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    rig.shim("echo", "hello", claimed=None)
    assert rig.sidecar(token="", COHORT_TOKEN_FILE=str(tmp_path / "token")).wait(timeout=60) == 0


def test_the_token_is_in_no_argument_and_no_environment(rig: Rig) -> None:
    rig.shim("sh", "-c", "env; tr '\\0' '\\n' < /proc/$PPID/environ; exec sleep 600", claimed=None)
    sidecar = rig.sidecar()
    wait_until(lambda: len(rig.kept.log) > 0)
    seen = Path(f"/proc/{sidecar.pid}/cmdline").read_bytes() + Path(f"/proc/{sidecar.pid}/environ").read_bytes()
    assert TOKEN.encode() not in seen
    assert TOKEN.encode() not in rig.log


def test_the_runner_needs_nothing_of_the_other_services() -> None:
    foreign = ("redis", "celery", "fastapi", "litellm", "kubernetes", "fsspec", "services.api", "services.worker")
    source = f"import sys, services.runner.__main__; print([n for n in {foreign} if n in sys.modules])"
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, env={"PYTHONPATH": PYTHONPATH}, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_sidecar_that_stays_ends_when_it_is_told_to(rig: Rig) -> None:
    rig.shim("sh", "-c", "echo hello", claimed=None)
    sidecar = rig.sidecar(COHORT_STAY="true")
    wait_until(lambda: rig.spool.settlement() is Settlement.FINISHED)
    with pytest.raises(subprocess.TimeoutExpired):
        sidecar.wait(timeout=0.3)
    sidecar.terminate()
    assert sidecar.wait(timeout=60) == 0


def test_a_sidecar_told_to_end_ships_what_a_program_left(rig: Rig) -> None:
    rig.shim(
        "sh", "-c", "echo hello; echo out > $OUT/model", claimed=True, env={**os.environ, "OUT": str(rig.out)}
    ).wait(timeout=60)
    rig.ingest.instead["claim"].extend([JSONResponse({}, 503)] * 3)
    sidecar = rig.sidecar(COHORT_STAY="true")
    wait_until(lambda: not rig.ingest.instead["claim"])
    sidecar.terminate()
    assert sidecar.wait(timeout=60) == 0
    assert (bytes(rig.kept.log), rig.kept.outputs) == (b"hello\n", {"model": b"out\n"})
    assert rig.kept.accepted["exit_code"] == 0


def test_a_sidecar_told_to_end_before_any_program_came_waits_for_none(rig: Rig) -> None:
    sidecar = rig.sidecar(COHORT_STAY="true")
    wait_until(rig.spool.is_claimed)
    sidecar.terminate()
    assert sidecar.wait(timeout=60) == 75
    assert rig.kept.accepted is None
