"""The shim, as a process of its own running real programs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.runner.shim import leave_last_words
from tests.runner.rig import Rig, is_alive, wait_for_file, wait_until

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("code", [0, 1, 3, 137, 143])
def test_the_exit_code_of_the_program_is_reported_and_mirrored(rig: Rig, code: int) -> None:
    assert rig.shim("sh", "-c", f"exit {code}").wait() == code
    report = rig.report()
    assert (report["exit_code"], report["signal"], report["reason"]) == (
        code,
        None,
        "exited",
    )


def test_a_variable_of_the_programs_own_goes_past_the_shim(rig: Rig) -> None:
    script = 'echo "$MINE"; tr "\\0" "\\n" < /proc/$PPID/environ | grep -c MINE'
    rig.shim("sh", "-c", script, past="MINE=b=c d").wait()
    assert rig.log == b"b=c d\n0\n"


@pytest.mark.parametrize(("name", "number"), [("KILL", 9), ("TERM", 15), ("SEGV", 11)])
def test_a_program_ended_by_a_signal_is_told_from_one_that_exits_with_its_code(
    rig: Rig, name: str, number: int
) -> None:
    assert rig.shim("sh", "-c", f"kill -{name} $$").wait() == 128 + number
    report = rig.report()
    assert (report["exit_code"], report["signal"], report["reason"]) == (
        128 + number,
        number,
        "signalled",
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"no newline at the end", id="no trailing newline"),
        pytest.param(b"\0\0a\0\n\xff\xfe\xc3(\r\r\n\x1b[31m", id="NUL and invalid UTF-8"),
        pytest.param(os.urandom(1 << 20), id="random"),
        pytest.param(b"x" * 5_000_000, id="one line of 5 MB"),
    ],
)
def test_the_log_is_what_the_program_wrote_byte_for_byte(rig: Rig, data: bytes) -> None:
    (rig.work / "data").write_bytes(data)
    assert rig.shim("cat", "data").wait() == 0
    assert rig.log == data
    assert rig.report()["bytes"] == len(data)


def test_both_streams_go_into_one_log_in_the_order_they_were_written(rig: Rig) -> None:
    rig.shim("sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done").wait()
    assert rig.log == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_fast_output_is_kept_whole(rig: Rig) -> None:
    assert rig.python("import os\nfor i in range(50): os.write(1, bytes([i]) * (1 << 20))").wait() == 0
    assert rig.log == b"".join(bytes([i]) * (1 << 20) for i in range(50))


def test_the_log_is_copied_to_the_shims_own_stdout(rig: Rig) -> None:
    process = rig.shim("sh", "-c", "echo hello; echo there >&2", stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"hello\nthere\n"


def test_a_reader_of_stdout_that_never_reads_holds_nobody_up(rig: Rig) -> None:
    process = rig.python(
        "import os\nfor _ in range(20): os.write(1, b'x' * (1 << 20))",
        stdout=subprocess.PIPE,
    )
    assert process.wait() == 0
    assert len(rig.log) == 20 << 20
    assert rig.report()["stdout_left_out_bytes"] > 10 << 20


def test_a_reader_of_stdout_that_went_away_holds_nobody_up(rig: Rig) -> None:
    process = rig.shim(
        "sh",
        "-c",
        "read x < go; echo more; exit 4",
        claimed=None,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    os.mkfifo(rig.work / "go")
    rig.spool.grant("uid")
    (rig.work / "go").write_text("go\n")
    assert process.wait() == 4
    assert rig.log == b"more\n"


def test_a_grandchild_that_keeps_the_pipe_open_is_ended_with_the_program(
    rig: Rig,
) -> None:
    assert rig.shim("sh", "-c", "sleep 600 & echo $! > pid; echo said").wait(timeout=60) == 0
    assert not is_alive(int((rig.work / "pid").read_text()))
    assert rig.log == b"said\n"


def test_a_worker_left_behind_gets_its_last_words_into_the_log(rig: Rig) -> None:
    worker = "trap 'echo last words; exit' TERM; echo ready > ready; while :; do sleep 0.05; done"
    rig.shim("sh", "-c", f"({worker}) & while [ ! -s ready ]; do sleep 0.05; done").wait(timeout=60)
    assert rig.log.endswith(b"last words\n")


DAEMON = """
import os, signal, time
if os.fork():
    while not os.path.exists("pid"): time.sleep(0.01)
    os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for fd in (0, 1, 2): os.close(fd)
os.environ.clear()
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
time.sleep(600)
"""


def test_a_daemon_that_left_the_session_is_killed_with_the_program(rig: Rig) -> None:
    assert rig.python(DAEMON).wait(timeout=60) == 0
    assert not is_alive(int((rig.work / "pid").read_text()))


def test_a_program_past_its_deadline_is_ended(rig: Rig) -> None:
    assert rig.shim("sh", "-c", STUBBORN, deadline=0.3).wait(timeout=60) == 137
    report = rig.report()
    assert (report["reason"], report["signal"]) == ("deadline", signal.SIGKILL)
    assert rig.log == b"ready\n"


def test_a_cancelled_program_may_end_by_itself(rig: Rig) -> None:
    process = rig.shim(
        "sh",
        "-c",
        "trap 'echo saved; exit 0' TERM; echo > ready; while :; do sleep 0.05; done",
    )
    wait_for_file(rig.work / "ready")
    rig.spool.cancel()
    assert process.wait(timeout=60) == 0
    assert rig.report()["reason"] == "cancelled"
    assert rig.log.endswith(b"saved\n")


def test_a_cancelled_program_that_ignores_it_is_killed_after_the_grace_period(
    rig: Rig,
) -> None:
    process = rig.shim("sh", "-c", STUBBORN, grace=600)
    wait_until(lambda: rig.log == b"ready\n")
    rig.spool.cancel(grace_seconds=0.2)
    assert process.wait(timeout=60) == 137
    assert rig.report()["reason"] == "cancelled"


def test_a_stopped_program_can_be_cancelled(rig: Rig) -> None:
    process = rig.shim("sleep", "600", grace=600)
    group = rig.until_running()
    os.killpg(group, signal.SIGSTOP)
    rig.spool.cancel()
    assert process.wait(timeout=60) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_handed_on_to_the_whole_group(rig: Rig, number: signal.Signals) -> None:
    inner = f"trap 'echo inner; exit' {number}; echo > inner; while :; do sleep 0.05; done"
    outer = f"trap 'wait; echo outer; exit 7' {number}; ({inner}) & echo > outer; while :; do sleep 0.05; done"
    process = rig.shim("bash", "-c", outer, grace=600)
    wait_for_file(rig.work / "inner")
    wait_for_file(rig.work / "outer")
    process.send_signal(number)
    assert process.wait(timeout=60) == 7
    assert [line for line in rig.log.split() if line in (b"inner", b"outer")] == [b"inner", b"outer"]


def test_a_terminated_shim_kills_a_program_that_ignores_it(rig: Rig) -> None:
    process = rig.shim("sh", "-c", STUBBORN, grace=0.2)
    wait_until(lambda: rig.log == b"ready\n")
    process.terminate()
    assert process.wait(timeout=60) == 137
    assert rig.report()["reason"] == "signalled"


def test_a_second_shim_is_refused_while_the_first_lives_and_after(rig: Rig) -> None:
    first = rig.shim("sh", "-c", "echo first; read x < go")
    os.mkfifo(rig.work / "go")
    rig.until_running()
    assert rig.shim("sh", "-c", "echo second; touch second").wait(timeout=60) == 75
    assert first.poll() is None
    (rig.work / "go").write_text("go\n")
    assert first.wait(timeout=60) == 0
    report = rig.report()
    assert rig.shim("sh", "-c", "echo third; touch third").wait(timeout=60) == 75
    assert rig.log == b"first\n"
    assert rig.report() == report
    assert sorted(path.name for path in rig.work.iterdir()) == ["go"]


def test_a_shim_that_died_before_its_program_started_may_be_followed_by_another(
    rig: Rig,
) -> None:
    first = rig.shim("touch", "ran", claimed=None)
    wait_until(rig.spool.shim)
    first.kill()
    first.wait()
    assert rig.shim("touch", "ran").wait(timeout=60) == 0
    assert (rig.work / "ran").exists()


def test_a_program_without_a_claim_never_starts(rig: Rig) -> None:
    assert rig.shim("touch", "ran", claimed=None, claim=0.2).wait(timeout=60) == 75
    assert rig.report()["reason"] == "not_claimed"
    assert rig.report()["exit_code"] is None
    assert not (rig.work / "ran").exists()


def test_a_program_whose_claim_was_denied_never_starts(rig: Rig) -> None:
    assert rig.shim("touch", "ran", claimed=False).wait(timeout=60) == 75
    assert rig.report()["reason"] == "not_claimed"
    assert not (rig.work / "ran").exists()


def test_a_program_cancelled_before_its_start_never_starts(rig: Rig) -> None:
    rig.spool.cancel()
    rig.shim("touch", "ran").wait(timeout=60)
    assert rig.report()["reason"] == "cancelled"
    assert not (rig.work / "ran").exists()


def test_a_shim_terminated_while_it_waits_for_the_claim_reports_that(rig: Rig) -> None:
    process = rig.shim("touch", "ran", claimed=None)
    wait_until(rig.spool.shim)
    process.terminate()
    assert process.wait(timeout=60) == 75
    assert rig.report()["reason"] == "not_claimed"


@pytest.mark.parametrize(("command", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/", 126)])
def test_a_command_that_cannot_start_is_reported_and_explained_in_the_log(rig: Rig, command: str, code: int) -> None:
    assert rig.shim(command).wait(timeout=60) == code
    assert rig.report()["reason"] == "start_failed"
    assert rig.report()["bytes"] == len(rig.log)
    assert command.encode() in rig.log


def test_the_program_dies_with_its_shim(rig: Rig) -> None:
    process = rig.shim("sleep", "600")
    program = rig.until_running()
    process.kill()
    process.wait()
    wait_until(lambda: not is_alive(program))


def test_the_program_finds_a_quiet_stdin_and_no_descriptors_of_ours(rig: Rig) -> None:
    source = (
        "import os, sys; print(os.listdir('/proc/self/fd')[:-1], repr(sys.stdin.read()), os.getsid(0) == os.getpid())"
    )
    read, write = os.pipe()
    os.set_inheritable(write, True)
    rig.python(source, preexec_fn=lambda: os.dup2(write, 9)).wait()
    os.close(read)
    os.close(write)
    assert rig.log == b"['0', '1', '2'] '' True\n"


def test_the_program_gets_the_callers_environment_and_directory(rig: Rig) -> None:
    rig.shim("/bin/sh", "-c", "env | sort; pwd", env={"GREETING": "hello", "LC_ALL": "C.UTF-8"}).wait()
    assert rig.log.decode().split() == ["GREETING=hello", "LC_ALL=C.UTF-8", f"PWD={rig.work}", str(rig.work)]


def test_memory_beyond_the_limit_is_refused_to_the_program_and_no_core_is_dumped(
    rig: Rig,
) -> None:
    source = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)); b'x' * (1 << 30)"
    assert rig.python(source, memory=512 << 20).wait() == 1
    assert b"(0, 0)" in rig.log
    assert b"MemoryError" in rig.log


def test_the_memory_of_all_the_programs_processes_is_measured(rig: Rig) -> None:
    hungry = "x = bytearray(60 << 20); x[::4096] = b'x' * len(x[::4096]); open('{0}', 'w').write('x'); input()"
    programs = " & ".join(f'{sys.executable} -c "{hungry.format(name)}" < go' for name in ("one", "two"))
    process = rig.shim("sh", "-c", f"{programs} & wait")
    os.mkfifo(rig.work / "go")
    with open(rig.work / "go", "w") as go:
        wait_for_file(rig.work / "one")
        wait_for_file(rig.work / "two")
        used = wait_until(lambda: (usage := rig.spool.usage()) and usage.rss_bytes > 120 << 20 and usage)
        assert used.processes == 3
        assert used.cpu_seconds > 0
        go.write("go\n" * 2)
    assert process.wait(timeout=60) == 0
    assert rig.report()["peaks"]["rss_bytes"] > 120 << 20


def limit_files_to_a_megabyte() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_a_log_the_disk_refuses_is_counted_and_the_program_runs_on(rig: Rig) -> None:
    source = "import os\nfor _ in range(3): os.write(1, b'x' * (1 << 20))\nopen('done', 'w')"
    assert rig.python(source, preexec_fn=limit_files_to_a_megabyte).wait() == 0
    assert (rig.work / "done").exists()
    assert len(rig.log) == 1 << 20
    assert rig.report()["gaps"] == [{"offset": 1 << 20, "bytes": 2 << 20}]


@pytest.mark.skipif(
    os.geteuid() != 0,
    reason="mounting a small file system takes root; the test before needs none",
)
def test_a_full_disk_does_not_cost_the_report(rig: Rig) -> None:
    disk = str(rig.spool.directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        source = "import os\nfor _ in range(3): os.write(1, b'x' * (1 << 20))\nopen('done', 'w')"
        assert rig.python(source).wait() == 0
        report = rig.report()
        assert (rig.work / "done").exists()
        assert report["reason"] == "exited"
        assert sum(gap["bytes"] for gap in report["gaps"]) + len(rig.log) == 3 << 20
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_the_times_of_the_program_are_reported(rig: Rig) -> None:
    before = time.time()
    rig.shim("sleep", "0.2").wait()
    report = rig.report()
    assert before <= report["started"] <= report["finished"] - 0.2
    assert report["finished"] <= time.time()


def test_its_report_is_left_where_the_kubelet_reads_it(rig: Rig, tmp_path: Path) -> None:
    last_words = tmp_path / "termination-log"
    last_words.write_text("something longer than the report" * 100)
    inode = last_words.stat().st_ino
    assert rig.shim("sh", "-c", "exit 3", termination_log=last_words).wait(timeout=60) == 3
    assert json.loads(last_words.read_text()) == rig.report()
    assert last_words.stat().st_ino == inode
    assert last_words.stat().st_size <= 4096


def test_last_words_that_nobody_takes_are_no_trouble(rig: Rig, tmp_path: Path) -> None:
    assert rig.shim("sh", "-c", "exit 3", termination_log=tmp_path / "no" / "file").wait(timeout=60) == 3
    assert rig.report()["exit_code"] == 3


def test_a_report_with_many_gaps_still_fits(tmp_path: Path) -> None:
    last_words = tmp_path / "termination-log"
    leave_last_words(str(last_words), {"exit_code": 1, "gaps": [{"offset": 10**15, "bytes": 10**15}] * 200})
    assert json.loads(last_words.read_text()) == {"exit_code": 1, "gaps": []}


@pytest.mark.parametrize("by", ["shim", "program"])
def test_a_shim_told_to_end_is_told_from_a_program_that_ends_itself(rig: Rig, by: str) -> None:
    process = rig.shim("sh", "-c", "trap 'exit 0' TERM; echo > ready; while :; do sleep 0.05; done", grace=600)
    wait_for_file(rig.work / "ready")
    if by == "shim":
        process.terminate()
    else:
        os.kill(rig.until_running(), signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert (rig.report()["reason"], rig.report()["terminated"]) == ("exited", by == "shim")
