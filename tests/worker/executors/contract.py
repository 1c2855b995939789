"""What every executor must do, as tests. Its own test file derives from `ExecutorContract` and gives a `world`.

Programs are shell scripts, since that is what every world can run.
"""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from services.core.records import FileRef
from services.worker.executors import AttemptBusy, AttemptSpec, Executor, Observed, Phase
from tests.runner.ingest import Kept
from tests.runner.rig import wait_until

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
ENDLESS = "echo ready; exec sleep 600"


class World(Protocol):
    """An executor with a real place to run things and a real server to report to."""

    executor: Executor
    # Whether a dead sidecar comes back by itself. Where it does not, the executor has to say so, and `submit` does it.
    revives_sidecars: bool

    def spec(self, script: str, **changes: object) -> AttemptSpec:
        """An attempt that runs `sh -c script` on an empty workspace; a fresh name for each."""
        ...

    def snapshot(self, files: dict[str, bytes]) -> str:
        """A workspace snapshot with these files."""
        ...

    def output(self, path: str, data: bytes) -> FileRef:
        """An output of an earlier step."""
        ...

    def kept(self, attempt: str) -> Kept:
        """What the server was told of the attempt."""
        ...

    def another_executor(self) -> Executor:
        """A second executor over the same world, as after a restart."""
        ...

    def kill_sidecar(self, attempt: str) -> None:
        """SIGKILL it and wait until it is dead."""
        ...

    def kill_shim(self, attempt: str) -> None:
        """SIGKILL the program's shim and wait until it is dead."""
        ...

    def survivors(self, attempt: str) -> Sequence[int]:
        """Processes of the attempt's program that are still alive."""
        ...


def until(world: World, attempt: str, wanted: Callable[[Observed], bool]) -> Observed:
    """Ask the executor until the answer is as wanted."""
    answers: list[Observed] = []

    def ask() -> bool:
        answers.append(world.executor.inspect(attempt))
        return wanted(answers[-1])

    wait_until(ask, message=attempt)
    return answers[-1]


def until_over(world: World, attempt: str) -> Observed:
    return until(world, attempt, lambda seen: seen.phase.is_over)


def until_settled(world: World, attempt: str) -> Kept:
    """Wait until the server has accepted the end."""
    wait_until(lambda: world.kept(attempt).accepted, message=f"{attempt} never finished")
    return world.kept(attempt)


def until_said(world: World, attempt: str, words: bytes) -> None:
    wait_until(lambda: words in world.kept(attempt).log, message=f"{attempt} never said {words!r}")


class ExecutorContract:
    """Derive from this and define the fixture `world`."""

    @pytest.mark.parametrize(
        ("script", "code", "number", "reason"),
        [
            ("true", 0, None, "exited"),
            ("exit 1", 1, None, "exited"),
            ("exit 143", 143, None, "exited"),
            ("kill -KILL $$", 137, 9, "signalled"),
        ],
    )
    def test_a_program_runs_to_its_end_and_its_end_is_seen(
        self, world: World, script: str, code: int, number: int | None, reason: str
    ) -> None:
        spec = world.spec(f"echo hello; {script}")
        world.executor.submit(spec)
        seen = until_over(world, spec.attempt)
        assert (seen.phase, seen.reason) == (Phase.FINISHED, reason)
        assert seen.exit
        assert (seen.exit.exit_code, seen.exit.signal) == (code, number)
        kept = until_settled(world, spec.attempt)
        assert kept.log == b"hello\n"
        assert kept.accepted
        assert (kept.accepted["exit_code"], kept.accepted.get("signal")) == (code, number)

    def test_an_attempt_that_was_never_submitted_is_absent(self, world: World) -> None:
        spec = world.spec("true")
        assert world.executor.inspect(spec.attempt).phase is Phase.ABSENT
        assert world.executor.list() == []
        world.executor.cancel(spec.attempt)
        world.executor.remove(spec.attempt)
        assert world.executor.inspect(spec.attempt).phase is Phase.ABSENT

    def test_a_program_that_runs_is_seen_running_and_tended(self, world: World) -> None:
        spec = world.spec(ENDLESS)
        world.executor.submit(spec)
        seen = until(world, spec.attempt, lambda seen: seen.phase is Phase.RUNNING and seen.tended)
        assert seen.exit is None
        assert world.executor.list() == [spec.attempt]

    def test_the_program_runs_on_its_snapshot_with_its_inputs_and_writes_outputs(self, world: World) -> None:
        snapshot = world.snapshot(
            {"src/train.sh": b"cat $COHORT_INPUT_DIR/prepare/data/x.csv; echo w > $COHORT_OUTPUT_DIR/w"}
        )
        inputs = {"prepare": [world.output("data/x.csv", b"1,2,3\n")]}
        spec = world.spec("sh src/train.sh", snapshot=snapshot, inputs=inputs)
        world.executor.submit(spec)
        kept = until_settled(world, spec.attempt)
        assert kept.log == b"1,2,3\n"
        assert kept.outputs == {"w": b"w\n"}

    def test_the_program_goes_on_from_its_checkpoint_and_leaves_another(self, world: World) -> None:
        restores = world.snapshot({"epoch-1/weights": b"one\n"})
        script = "cat $COHORT_CHECKPOINT_DIR/epoch-1/weights; mkdir $COHORT_CHECKPOINT_DIR/epoch-2; "
        spec = world.spec(f"{script} echo two > $COHORT_CHECKPOINT_DIR/epoch-2/weights", restores=restores)
        world.executor.submit(spec)
        kept = until_settled(world, spec.attempt)
        assert kept.log == b"one\n"
        paths = [[file["path"] for file in version["files"]] for version in kept.versions]
        assert paths == [["epoch-1/weights", "epoch-2/weights"]]

    def test_the_program_sees_its_environment_and_no_credential(self, world: World) -> None:
        spec = world.spec("env", env={"LEARNING_RATE": "0.1", "COHORT_RUN": "forged"})
        world.executor.submit(spec)
        log = bytes(until_settled(world, spec.attempt).log).decode()
        lines = dict(line.partition("=")[::2] for line in log.splitlines())
        assert lines["LEARNING_RATE"] == "0.1"
        assert (lines["COHORT_RUN"], lines["COHORT_STEP"]) == (spec.run, spec.step)
        assert lines["COHORT_ATTEMPT"] == spec.attempt
        assert lines["PYTHONUNBUFFERED"] == "1"
        assert spec.token.get_secret_value() not in log
        assert "COHORT_API_URL" not in lines
        assert spec.token.get_secret_value() not in repr(spec)

    def test_submitting_again_and_at_once_runs_the_program_once(self, world: World) -> None:
        spec = world.spec("echo ran; sleep 0.3")
        executors = [world.executor, *(world.another_executor() for _ in range(3))]
        with ThreadPoolExecutor(len(executors)) as pool:
            for submitted in [pool.submit(executor.submit, spec) for executor in executors]:
                submitted.result()
        until_over(world, spec.attempt)
        world.executor.submit(spec)
        kept = until_settled(world, spec.attempt)
        world.executor.submit(spec)
        assert kept.log == b"ran\n"

    def test_another_executor_adopts_what_runs(self, world: World) -> None:
        spec = world.spec("echo started; while [ ! -e $COHORT_OUTPUT_DIR/../go ]; do sleep 0.05; done")
        world.executor.submit(spec)
        until_said(world, spec.attempt, b"started")
        other = world.another_executor()
        other.submit(spec)
        assert other.inspect(spec.attempt).phase is Phase.RUNNING
        other.cancel(spec.attempt)
        assert until_over(world, spec.attempt).reason == "cancelled"
        assert until_settled(world, spec.attempt).log.count(b"started") == 1

    def test_a_dead_sidecar_is_noticed_and_replaced(self, world: World) -> None:
        spec = world.spec("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.3; done")
        world.executor.submit(spec)
        until_said(world, spec.attempt, b"1\n")
        world.kill_sidecar(spec.attempt)
        if not world.revives_sidecars:
            until(world, spec.attempt, lambda seen: not seen.tended)
            world.executor.submit(spec)
        until(world, spec.attempt, lambda seen: seen.tended)
        assert until_settled(world, spec.attempt).log == b"1\n2\n3\n4\n5\n6\n7\n8\n"

    def test_a_sidecar_that_died_after_the_program_is_replaced_too(self, world: World) -> None:
        if world.revives_sidecars:
            pytest.skip("nothing could keep it dead until the program ends")
        spec = world.spec("sleep 0.5; echo said")
        world.executor.submit(spec)
        until(world, spec.attempt, lambda seen: seen.phase is Phase.RUNNING)
        world.kill_sidecar(spec.attempt)
        seen = until_over(world, spec.attempt)
        assert not seen.tended
        assert not world.kept(spec.attempt).accepted
        world.executor.submit(spec)
        assert until_settled(world, spec.attempt).log == b"said\n"

    def test_a_cancelled_program_ends_within_its_grace_with_all_it_started(self, world: World) -> None:
        spec = world.spec(f'(setsid sh -c "{STUBBORN}" &) ; ({STUBBORN}) & {STUBBORN}', grace_seconds=0.3)
        world.executor.submit(spec)
        until(world, spec.attempt, lambda _: world.kept(spec.attempt).log.count(b"ready") == 3)
        world.executor.cancel(spec.attempt)
        seen = until_over(world, spec.attempt)
        assert (seen.phase, seen.reason) == (Phase.FINISHED, "cancelled")
        assert seen.exit
        assert seen.exit.signal == signal.SIGKILL
        assert world.survivors(spec.attempt) == []

    def test_cancelling_what_is_over_changes_nothing(self, world: World) -> None:
        spec = world.spec("exit 3")
        world.executor.submit(spec)
        before = until_over(world, spec.attempt)
        world.executor.cancel(spec.attempt)
        assert world.executor.inspect(spec.attempt).exit == before.exit

    def test_a_program_past_its_deadline_is_ended(self, world: World) -> None:
        spec = world.spec(ENDLESS, deadline_seconds=0.5)
        world.executor.submit(spec)
        assert until_over(world, spec.attempt).reason == "deadline"

    def test_a_command_that_cannot_start_is_told_from_one_that_failed(self, world: World) -> None:
        spec = world.spec("", command=("no-such-program",))
        world.executor.submit(spec)
        seen = until_over(world, spec.attempt)
        assert (seen.phase, seen.reason) == (Phase.FINISHED, "start_failed")
        assert b"no-such-program" in until_settled(world, spec.attempt).log

    def test_an_attempt_whose_shim_died_is_lost_and_nothing_of_it_lives(self, world: World) -> None:
        spec = world.spec("(setsid sleep 600 &); sleep 600 & echo ready; wait")
        world.executor.submit(spec)
        until_said(world, spec.attempt, b"ready")
        world.kill_shim(spec.attempt)
        seen = until_over(world, spec.attempt)
        assert (seen.phase, seen.reason) == (Phase.LOST, "shim_lost")
        assert world.survivors(spec.attempt) == []
        world.executor.submit(spec)
        assert world.executor.inspect(spec.attempt).phase is Phase.LOST
        assert until_settled(world, spec.attempt).log == b"ready\n"

    def test_a_second_execution_elsewhere_never_runs_the_program(self, world: World) -> None:
        spec = world.spec("echo ran")
        world.kept(spec.attempt).pod_uid = "an-execution-elsewhere"
        world.executor.submit(spec)
        seen = until_over(world, spec.attempt)
        assert (seen.phase, seen.reason) == (Phase.FINISHED, "not_claimed")
        assert world.kept(spec.attempt).log == b""

    def test_what_a_program_wrote_remains_where_it_ran(self, world: World) -> None:
        spec = world.spec("echo one; echo two >&2; exit 3")
        assert world.executor.remains(spec.attempt) is None
        world.executor.submit(spec)
        until_over(world, spec.attempt)
        remains = wait_until(lambda: world.executor.remains(spec.attempt))
        assert (remains.data, remains.before, remains.size) == (b"one\ntwo\n", 0, 8)

    def test_only_what_is_over_and_settled_is_removed_and_its_name_is_free_again(self, world: World) -> None:
        spec = world.spec("echo ran")
        busy = world.spec(ENDLESS)
        for each in (spec, busy):
            world.executor.submit(each)
        until(world, busy.attempt, lambda seen: seen.phase is Phase.RUNNING)
        with pytest.raises(AttemptBusy):
            world.executor.remove(busy.attempt)
        until_settled(world, spec.attempt)
        wait_until(lambda: removed(world, spec.attempt))
        assert world.executor.inspect(spec.attempt).phase is Phase.ABSENT
        assert world.executor.list() == [busy.attempt]


def removed(world: World, attempt: str) -> bool:
    try:
        world.executor.remove(attempt)
    except AttemptBusy:
        return False
    return True
