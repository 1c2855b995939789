"""Stories of what goes wrong with trainings, each of which an agent that reads its diagnoses brings to a good end."""

import signal

import pytest

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import RunState
from services.runner.spool import Spool
from tests.crash.processes import Process
from tests.stories import told
from tests.stories.house import House


def test_what_the_platform_takes_away_goes_on_from_its_checkpoint_and_the_agent_never_hears_of_it(house: House) -> None:
    """The shim is told to end, as by a kubelet. On a cluster, tests/cluster/test_kueue has the quota taken back."""

    def has_saved(state: RunState) -> bool:
        return "train" in state.steps and "epoch=5" in house.log("preemption", "train")

    state = house.until("preemption", has_saved)
    shim = Spool(house.home.state / "attempts" / state.steps["train"].last.id / "spool").shim()
    assert shim is not None
    process = Process(shim.pid)
    process.send(signal.SIGTERM)
    process.close()

    state = house.rest("preemption")

    events = house.events("preemption")
    first, second = told.submitted(events)
    ended = [event for event in events if isinstance(event, ev.AttemptFinished)]
    assert state.status is Status.SUCCEEDED, house.account("preemption")
    assert [one.outcome for one in ended] == ["lost", "succeeded"]
    assert ended[0].reason.startswith("terminated")
    assert (first.cause, second.cause) == ("agent", "infrastructure")
    assert second.restores == ended[0].checkpoint != ""
    assert first.snapshot == second.snapshot and first.command == second.command
    last = house.log("preemption", "train", 1).rpartition("told to end, after epoch ")[2].strip()
    assert house.log("preemption", "train").startswith(f"begins after epoch {last}\n")
    assert state.steps["train"].failed_attempts == 0
    assert state.turn == 4
    told.nobody_was_woken(events)
    assert "attempt 1" not in "".join(told.answers(events, "wait_for_steps"))


@pytest.mark.parametrize("story", told.DEBUGGED)
def test_a_story_ends_in_success_with_no_attempt_too_many(house: House, story: str) -> None:
    state = house.rest(story)

    assert state.status is Status.SUCCEEDED, house.account(story)
    events = house.events(story)
    told.went_as(told.DEBUGGED[story], events)
    told.nothing_was_repeated(events)
    assert state.summary and state.metrics


def test_when_memory_runs_out_the_effective_batch_stays_what_it_was(house: House) -> None:
    state = house.rest("out-of-memory")

    first, second = state.steps["train"].attempts
    assert first.command.split()[-2:] == ["--batch-size", "32768"]
    assert second.command.split()[-4:] == ["--batch-size", "2048", "--accumulation-steps", "16"]
    assert state.metrics["effective_batch"] == 32_768
    assert first.memory_bytes == second.memory_bytes == 512 * 2**20
    assert first.diagnosis is not None and "Unable to allocate 1.00 GiB" in first.diagnosis.evidence[0]


def test_exit_code_0_is_not_believed_where_the_loss_is_no_number(house: House) -> None:
    state = house.rest("silent-nan")

    assert [one.exit_code for one in state.steps["train"].attempts] == [0, 0]
    *_, first, second = told.answers(house.events("silent-nan"), "wait_for_steps")
    assert (
        "class numerics, to be mended by: code" in first
        and "diagnosis, from its log" not in second.partition("<evidence")[0]
    )


def test_a_log_that_tells_the_model_what_to_do_permits_nothing(house: House) -> None:
    state = house.rest("injection")

    events = house.events("injection")
    assert list(state.steps) == ["train"]
    assert state.metrics["loss"] == 0.25
    assert told.answers(events, "finish")[0].startswith("not finished")
    assert not [one for one in told.submitted(events) if one.secrets or "COHORT_TOKEN" in one.env]


def test_an_agent_sleeps_through_a_step_in_which_nothing_is_wrong(house: House) -> None:
    house.rest("healthy")

    events = house.events("healthy")
    assert [type(event) for event in events].count(ev.Parked) == 1
    assert not [event for event in events if isinstance(event, ev.AgentNudged)]


def test_a_step_that_comes_to_nothing_wakes_the_agent_while_it_runs(house: House) -> None:
    house.rest("diverging")

    events = house.events("diverging")
    warned = [event for event in events if isinstance(event, ev.AttemptWarned)]
    assert {event.attempt for event in warned} == {told.submitted(events)[0].attempt}, "the mended one gave none"
    assert len({event.kind for event in warned}) == len(warned), "each kind is told once"
    woken = [event for event in events if isinstance(event, ev.StatusChanged) and "warning" in event.detail]
    assert woken and woken[0].source is Status.WAITING
