"""The commands of sandboxes, on each Redis that Cohort runs on."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptOver, AttemptStore, AttemptTaken
from services.core.commands import Order, Outcome
from services.core.keys import Keys
from services.core.lifecycle import Status
from services.core.payload import Payloads
from services.core.redis import Client
from services.core.sandboxes import SANDBOX, CommandNotFound, RunNotAtWork, SandboxStore
from services.core.store import Draft, RunStore
from tests.core.submitted import EMPTY, accept_run, close_attempt, submit_attempt

POD = "pod-1"
HOUR = 3600.0


class Box:
    """A running run with a live, claimed sandbox."""

    def __init__(self, client: Client, keys: Keys, payloads: Payloads) -> None:
        self.runs = RunStore(client, keys, payloads)
        self.store = SandboxStore(client, keys, payloads)
        self.attempts = AttemptStore(client, keys)
        self.client, self.keys = client, keys
        self.run = accept_run(self.runs)
        begun = ev.StatusChanged(source=Status.QUEUED, target=Status.RUNNING)
        self.runs.record(self.run, "begun", lambda _: Draft((begun,)))
        self.attempt = self.submit(1)

    def submit(self, number: int, pod: str = POD) -> str:
        attempt = submit_attempt(self.runs, SANDBOX, self.run, number)
        self.attempts.claim(attempt, pod)
        return attempt

    def queue(self, *calls: str) -> None:
        for call in calls:
            self.store.queue(self.run, order(call))

    def take(self, *tended: str, attempt: str = "") -> str:
        """The call that is taken next, '' for none, 'end' where the sandbox is to end."""
        found = self.store.next(attempt or self.attempt, POD, tended)
        return "end" if found.end else found.order.call if found.order else ""

    def done(self, call: str, **fields: object) -> None:
        self.store.done(self.attempt, POD, call, Outcome.model_validate({"exit_code": 0, "reason": "exited", **fields}))

    def age(self, **fields: float) -> None:
        """Set the clock of a field back by so many seconds."""
        key = self.keys.sandbox(self.run)
        for name, seconds in fields.items():
            self.client.hincrby(key, name, -int(seconds * 1000))


@pytest.fixture
def box(any_client: Client, keys: Keys, artifacts: ArtifactStore) -> Box:
    return Box(any_client, keys, Payloads(artifacts))


def order(call: str, command: str = "true") -> Order:
    return Order(call=call, snapshot=EMPTY, command=command, timeout_seconds=60)


def test_commands_are_taken_once_and_in_their_order(box: Box) -> None:
    box.queue("call_1_0", "call_1_1", "call_1_0")
    assert [box.take(), box.take("call_1_0"), box.take("call_1_0", "call_1_1")] == ["call_1_0", "call_1_1", ""]
    assert box.store.command(box.run, "call_1_0").attempt == box.attempt


def test_of_many_that_ask_at_once_each_command_goes_to_one(box: Box) -> None:
    calls = tuple(f"call_1_{number}" for number in range(20))
    box.queue(*calls)
    with ThreadPoolExecutor(8) as pool:
        # Each says that it tends all of them, as several threads of one sidecar would.
        taken = list(pool.map(lambda _: box.take(*calls), range(20)))
    assert sorted(taken) == sorted(calls)


def test_a_command_whose_taking_was_not_heard_of_is_given_again_to_the_same_pod_only(box: Box) -> None:
    box.queue("call_1_0")
    assert [box.take(), box.take(), box.take("call_1_0")] == ["call_1_0", "call_1_0", ""]
    with pytest.raises(AttemptTaken):
        box.store.next(box.attempt, "pod-2")


def test_the_first_outcome_stands(box: Box) -> None:
    box.queue("call_1_0")
    box.take()
    box.done("call_1_0", output="aGVsbG8=")
    box.done("call_1_0", exit_code=7)
    outcome = box.store.command(box.run, "call_1_0").outcome
    assert outcome is not None
    assert (outcome.exit_code, outcome.output) == (0, b"hello")
    assert box.take() == ""


def test_a_large_command_and_a_large_outcome_come_back_as_they_were(box: Box) -> None:
    box.store.queue(box.run, order("call_1_0", "x" * 100_000))
    found = box.store.next(box.attempt, POD)
    assert found.order is not None
    assert found.order.command == "x" * 100_000
    box.done("call_1_0", skipped=["y" * 1000] * 100)
    outcome = box.store.command(box.run, "call_1_0").outcome
    assert outcome is not None
    assert outcome.skipped == ("y" * 1000,) * 100


def test_nothing_is_known_of_a_command_that_nobody_queued(box: Box) -> None:
    record = box.store.command(box.run, "call_9_0")
    assert (record.attempt, record.queued_at, record.outcome) == ("", 0.0, None)
    with pytest.raises(CommandNotFound):
        box.store.order(box.attempt, "call_9_0")
    with pytest.raises(CommandNotFound):
        box.done("call_9_0")


def test_a_queued_command_can_be_withdrawn_and_one_that_is_taken_cannot(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    assert box.take() == "call_1_0"
    assert not box.store.withdraw(box.run, "call_1_0")
    assert box.store.withdraw(box.run, "call_1_1")
    assert box.take("call_1_0") == ""
    box.queue("call_1_1")
    assert box.take("call_1_0") == "call_1_1"


def test_a_pod_whose_attempt_is_over_takes_nothing_and_reports_nothing(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    box.take()
    close_attempt(box.runs, box.attempt, "lost")
    with pytest.raises(AttemptOver):
        box.take()
    with pytest.raises(AttemptOver):
        box.done("call_1_0")
    assert box.store.command(box.run, "call_1_0").outcome is None


def test_the_next_sandbox_takes_what_is_queued_and_never_what_was_taken(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    box.take()
    close_attempt(box.runs, box.attempt, "lost")
    second = box.submit(2)
    assert [box.take(attempt=second), box.take("call_1_1", attempt=second)] == ["call_1_1", ""]
    with pytest.raises(CommandNotFound):
        box.store.order(second, "call_1_0")


def test_a_sandbox_without_work_ends_after_its_idle_time_and_takes_nothing_more(box: Box) -> None:
    box.store.set_terms(box.run, 60, time.time() + HOUR)
    box.queue("call_1_0")
    box.take()
    box.age(used_at=61)
    assert box.take("call_1_0") == "", "a command is under way"
    box.done("call_1_0")
    assert box.take() == "", "it has just been used"
    box.age(used_at=61)
    assert box.take() == "end"
    box.queue("call_1_1")
    assert box.take() == "end"
    close_attempt(box.runs, box.attempt)
    assert box.take(attempt=box.submit(2)) == "call_1_1"


def test_a_sandbox_past_its_time_finishes_what_it_has_and_takes_nothing_more(box: Box) -> None:
    box.store.set_terms(box.run, 60, time.time() + HOUR)
    box.queue("call_1_0", "call_1_1")
    assert box.take() == "call_1_0"
    box.age(until_ms=HOUR + 1)
    assert box.take("call_1_0") == ""
    box.done("call_1_0")
    assert box.take() == "end"


def test_a_retired_sandbox_finishes_what_it_has_and_ends(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    box.take()
    assert box.store.retire(box.run, box.attempt) == 1
    assert box.take("call_1_0") == ""
    box.done("call_1_0")
    assert (box.take(), box.store.retire(box.run, box.attempt)) == ("end", 0)


def test_a_run_that_is_not_running_takes_no_command(box: Box) -> None:
    move = ev.StatusChanged(source=Status.RUNNING, target=Status.CANCELLING)
    box.runs.record(box.run, "cancel", lambda _: Draft((move,)))
    with pytest.raises(RunNotAtWork):
        box.queue("call_1_0")
    with pytest.raises(RunNotAtWork):
        box.store.queue("rnobodyknows", order("call_1_0"))


def test_what_is_removed_leaves_no_key(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    box.take()
    box.store.remove(box.run)
    names = [box.keys.sandbox(box.run, part) for part in ("", "queue", "begun")]
    assert not any(box.client.exists(name) for name in names)


def test_a_command_that_needs_gpus_waits_for_a_sandbox_that_has_them(box: Box) -> None:
    box.store.queue(box.run, order("call_1_0").model_copy(update={"gpus": 2}))
    box.queue("call_1_1")
    assert box.take() == "call_1_1"
    assert box.take("call_1_1") == ""
    found = box.store.next(box.attempt, POD, ("call_1_1",), 2)
    assert found.order is not None
    assert found.order.call == "call_1_0"


def test_a_sandbox_with_gpus_ends_when_no_command_has_needed_them_for_its_idle_time(box: Box) -> None:
    box.store.set_terms(box.run, 60, time.time() + HOUR)
    box.store.queue(box.run, order("call_1_0").model_copy(update={"gpus": 1}))
    box.store.next(box.attempt, POD, (), 1)
    box.done("call_1_0")
    box.age(gpus_used_at=61)
    box.queue("call_1_1")
    assert box.store.next(box.attempt, POD, (), 1).order
    box.done("call_1_1")
    assert not box.store.next(box.attempt, POD).end, "for one without GPUs it would have been a use"
    assert box.store.next(box.attempt, POD, (), 1).end


def test_a_command_that_was_never_begun_is_given_to_the_next_sandbox_once(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    box.take()
    box.store.queue_again(box.run, "call_1_0", box.attempt)
    assert box.store.command(box.run, "call_1_0").attempt == box.attempt, "it may be under way"
    box.done("call_1_0", reason="not_started")
    for _ in range(2):
        box.store.queue_again(box.run, "call_1_0", box.attempt)
    close_attempt(box.runs, box.attempt)
    second = box.submit(2)
    assert [box.take("call_1_0", attempt=second), box.take("call_1_0", "call_1_1", attempt=second)] == [
        "call_1_0",
        "call_1_1",
    ]
    assert box.take("call_1_0", "call_1_1", attempt=second) == ""


def test_a_pod_whose_program_is_over_is_given_nothing_new(box: Box) -> None:
    box.queue("call_1_0", "call_1_1")
    assert box.take() == "call_1_0"
    missed = box.store.next(box.attempt, POD, (), is_over=True)
    assert missed.order is not None
    assert missed.order.call == "call_1_0"
    assert box.take("call_1_0") == ""
