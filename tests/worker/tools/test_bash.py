"""`bash`: real commands under the real shim, in a copy of the run's workspace."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.core.errors import CohortError
from services.core.store import RunStore
from services.worker.shells import Interrupted
from services.worker.tools.bash import TOOL, Bash
from services.worker.tools.bounds import ANSWER_CHARS
from services.worker.tools.tool import Result
from tests.worker.bench import Bench


@pytest.fixture(params=["local", "sandbox"])
def bench(request: pytest.FixtureRequest, store: RunStore) -> Bench:
    """A run whose commands run on this machine, and one whose commands run in a sandbox."""
    return Bench(request.getfixturevalue("desk" if request.param == "local" else "sandbox_desk"), store)


@pytest.mark.parametrize(
    ("command", "exit_code", "body"),
    [
        ("echo hello", 0, "hello"),
        ("true", 0, "(no output)"),
        ("false", 1, "(no output)"),
        ("echo out; echo err >&2; exit 7", 7, "out\nerr"),
        ("no-such-program", 127, "not found"),
        ("echo 'unclosed", 2, "nterminated quoted string"),
        ("kill -9 $$", 137, "ended by: signalled"),
        ("printf 'caf\\351 \\360\\237\\231\\202'", 0, "caf\ufffd 🙂"),
        ("echo مرحبا", 0, "مرحبا"),
    ],
)
def test_the_exit_code_is_always_shown(bench: Bench, command: str, exit_code: int, body: str) -> None:
    result = bench.use("bash", command=command)

    assert result.text.startswith(f"exit code: {exit_code}\n")
    assert body in result.text
    assert result.success is (exit_code == 0)


def test_files_are_there_and_changes_are_kept(bench: Bench) -> None:
    bench.put("data/train.csv", "1,2\n")
    bench.put("old.txt", "x")

    bench.use("bash", command="cp data/train.csv copy.csv; rm old.txt; echo 3,4 >> data/train.csv; chmod +x copy.csv")

    assert bench.content("copy.csv") == "1,2\n"
    assert bench.content("data/train.csv") == "1,2\n3,4\n"
    files = {entry.path: entry.mode for entry in bench.desk.workspace.list(bench.state.snapshot)}
    assert files == {"copy.csv": 0o755, "data/train.csv": 0o644}


def test_the_next_command_finds_what_the_tools_did_meanwhile(bench: Bench) -> None:
    bench.use("bash", command="echo one > a.txt")
    bench.use("write", path="a.txt", content="two\n")

    assert "two" in bench.use("bash", command="cat a.txt").text


def test_what_cannot_be_kept_is_said(bench: Bench) -> None:
    result = bench.use("bash", command="ln -s /etc/passwd link; mkfifo pipe; truncate -s 33M big; echo x > small")

    assert "not kept in the workspace: link (a symbolic link" in result.text
    assert "not kept in the workspace: pipe (neither a file nor a directory" in result.text
    assert re.search(r"not kept in the workspace: big \(.*(large|bytes|MiB)", result.text)
    assert [entry.path for entry in bench.desk.workspace.list(bench.state.snapshot)] == ["small"]


def test_a_long_output_keeps_head_and_tail_and_the_rest_can_be_read(bench: Bench) -> None:
    result = bench.use("bash", command="seq 1 20000; exit 3")

    assert result.text.startswith("exit code: 3\n1\n2\n")
    assert result.text.endswith("19999\n20000\n")
    assert len(result.text) < ANSWER_CHARS + 300
    pointer = re.search(r"read\(path='(output:[0-9a-f]{64})'\)", result.text)
    assert pointer
    assert bench.use("read", path=pointer[1], offset=10_000, limit=2).text.startswith("10000\t10000\n10001\t10001\n")


def test_an_output_of_one_endless_line_can_be_read_to_its_end(bench: Bench) -> None:
    result = bench.use("bash", command="printf 'a%.0s' $(seq 1 9000); printf 'b%.0s' $(seq 1 9000)")
    pointer = re.search(r"output:[0-9a-f]{64}", result.text)
    assert pointer

    shown = [line.partition("\t")[2] for line in bench.use("read", path=pointer[0]).text.splitlines()]

    assert "".join(shown) == "a" * 9_000 + "b" * 9_000


def test_a_huge_output_says_how_much_of_it_is_lost(bench: Bench) -> None:
    result = bench.use("bash", command="head -c 40000000 /dev/zero | tr '\\0' 'x'; echo; echo the end")

    assert "the first 6445577 bytes of the output are not kept" in result.text
    assert result.text.rstrip().endswith("the end")


def test_a_command_that_takes_too_long_is_stopped_with_all_it_started(bench: Bench) -> None:
    started = time.monotonic()

    result = bench.use("bash", command="echo $$; sleep 60 & sleep 61", timeout_seconds=0.3)

    assert time.monotonic() - started < 10
    assert "stopped after 0.3 s; run long work as a step" in result.text
    assert not result.success
    shell = int(re.search(r"^(\d+)$", result.text, re.MULTILINE)[1])  # type: ignore[index]
    assert not alive_in_session(shell)


def alive_in_session(session: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry))
    return found


def test_what_a_command_leaves_in_the_background_ends_with_it(bench: Bench) -> None:
    result = bench.use("bash", command="sleep 60 & echo $$")

    shell = int(re.search(r"^(\d+)$", result.text, re.MULTILINE)[1])  # type: ignore[index]
    assert not alive_in_session(shell)


def test_the_environment_holds_nothing_of_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_MODEL_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sk-secret")

    result = bench.use("bash", command="env; cat /proc/self/environ; cat /proc/$PPID/environ | tr '\\0' '\\n'")

    assert "sk-secret" not in result.text
    names = {line.partition("=")[0] for line in result.text.splitlines() if "=" in line}
    assert not {name for name in names if name.startswith(("COHORT", "OPENAI", "AWS", "REDIS"))}
    assert "PATH" in names


def test_the_input_is_empty(bench: Bench) -> None:
    assert bench.use("bash", command="cat; echo end").text == "exit code: 0\nend\n"


def test_python_is_ours(bench: Bench) -> None:
    assert "numpy" in bench.use("bash", command="python -c 'import numpy; print(numpy.__name__)'").text


def test_commands_beside_each_other_take_as_long_as_one(bench: Bench) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        commands = [f"echo {name} > {name}; sleep 1; cat {name}" for name in "abcd"]
        results = list(pool.map(lambda command: bench.outcome("bash", command=command), commands))

    assert time.monotonic() - started < 3.5
    assert [result.text for result in results] == [f"exit code: 0\n{name}\n" for name in "abcd"]  # type: ignore[union-attr]


def test_a_command_whose_caller_must_stop_is_left_to_the_next(bench: Bench) -> None:
    arguments = {"command": "echo begun; sleep 0.5; echo done > result.txt; echo ended"}

    polls = iter([False, False, True])
    with pytest.raises(Interrupted):
        bench.carry_out("bash", bench.call(stop=lambda: next(polls, True)), **arguments)

    recovered = recover(bench, arguments)
    assert recovered is not None
    assert recovered.text == "exit code: 0\nbegun\nended\n"
    assert [change.path for change in recovered.changes] == ["result.txt"]


@pytest.mark.parametrize("bench", ["local"], indirect=True)
def test_a_command_nobody_here_has_begun_has_no_outcome(bench: Bench) -> None:
    assert recover(bench, {"command": "true"}) is None


@pytest.mark.parametrize("bench", ["local"], indirect=True)
def test_this_machine_gives_no_gpus(bench: Bench) -> None:
    with pytest.raises(CohortError, match="leave gpus out"):
        bench.use("bash", command="nvidia-smi", gpus=1)


@pytest.mark.parametrize("bench", ["sandbox"], indirect=True)
def test_a_command_nobody_has_taken_is_begun_by_who_asks_what_became_of_it(bench: Bench) -> None:
    recovered = recover(bench, {"command": "echo ran"})
    assert recovered is not None
    assert recovered.text == "exit code: 0\nran\n"


def recover(bench: Bench, arguments: dict[str, str]) -> Result | None:
    assert TOOL.recover is not None
    return TOOL.recover(bench.call(), Bash.model_validate(arguments))
