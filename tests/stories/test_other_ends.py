"""Stories of agents that must be stopped, or that stop by themselves: none of them ends as a success it was not."""

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from tests.stories import told
from tests.stories.house import House


@pytest.mark.parametrize("story", told.STOPPED)
def test_a_story_ends_with_its_own_reason(house: House, story: str) -> None:
    state = house.rest(story)

    expected = told.STOPPED[story]
    assert (state.status, state.reason) == (expected.status, expected.reason), house.account(story)
    told.went_as(expected, house.events(story))


@pytest.mark.parametrize(
    ("story", "repeated"),
    [("same-again", "your steps fail with code_error"), ("ladder", "your steps fail with out_of")],
)
def test_who_goes_in_circles_is_told_once_and_then_a_person_is_told_what_was_tried(
    house: House, story: str, repeated: str
) -> None:
    state = house.rest(story)

    nudges = [event.text for event in house.events(story) if isinstance(event, ev.AgentNudged)]
    assert len(nudges) == 1 and repeated in nudges[0]
    assert state.detail.startswith(f"the agent goes in circles: {repeated}")
    assert "4 times in a row" in state.detail
    assert "submit_step" in state.detail and "train.py" in state.detail


def test_the_ladder_kept_the_effective_batch_and_was_stopped_all_the_same(house: House) -> None:
    house.rest("ladder")

    events = house.events("ladder")
    told.nothing_was_repeated(events)
    batches = [one.command.split()[-3::2] for one in told.submitted(events)]
    assert batches == [["32", "1"], ["16", "2"], ["8", "4"], ["4", "8"]]


def test_after_five_failures_a_person_is_told_of_the_last(house: House) -> None:
    state = house.rest("five-failures")

    told.nothing_was_repeated(house.events("five-failures"))
    assert "step train failed 5 times" in state.detail
    assert not [event for event in house.events("five-failures") if isinstance(event, ev.AgentNudged)]


@pytest.mark.parametrize(
    ("story", "problem"),
    [("open-plan", "the plan has an open item: Evaluate it"), ("unproven", "0.97 was never printed")],
)
def test_what_does_not_hold_is_questioned_twice_and_then_ends_as_incomplete(
    house: House, story: str, problem: str
) -> None:
    state = house.rest(story)

    questions = [event for event in house.events(story) if isinstance(event, ev.CompletionQuestioned)]
    assert len(questions) == 2 and all(problem in " ".join(one.problems) for one in questions)
    assert problem in state.detail
    assert not state.metrics and not state.artifacts
    assert state.exit_code not in {0, None}


def test_who_comes_short_of_the_goal_says_so_and_ends_as_a_person_allows(house: House) -> None:
    state = house.until("gives-up", lambda state: state.reason is Reason.ASKED)
    assert state.detail == "Short of the goal: Train to an accuracy of 0.97, and it came to 0.81. Is that enough?"

    house.say("gives-up", "Yes, that is enough.")

    state = house.until("gives-up", lambda state: state.status.is_final)
    assert state.status is Status.SUCCEEDED and state.metrics == {"accuracy": 0.81}


def test_a_word_of_a_person_ends_the_circle(house: House) -> None:
    house.until("same-again", lambda state: state.reason is Reason.IN_CIRCLES)

    house.say("same-again", "It will not get longer: leave the check out.")

    state = house.until("same-again", lambda state: state.status.is_final)
    assert state.status is Status.SUCCEEDED, house.account("same-again")
    assert [one.status for one in state.steps["train"].attempts] == ["failed"] * 4 + ["succeeded"]
