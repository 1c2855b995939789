"""What stops a run that does not come on: words without deeds, circles, claims that nothing bears out."""

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import Limits
from services.worker.conversation import ordered
from tests.worker.conftest import OpenWorkshop
from tests.worker.workshop import Workshop


def test_words_alone_are_nudged_twice_and_then_a_person_is_asked(workshop: Workshop) -> None:
    run = workshop.accept("wordy")

    state = workshop.drive(run)

    assert (state.status, state.reason, state.turn) == (Status.NEEDS_HUMAN, Reason.ASKED, 3)
    assert state.detail == "I said that it is done."
    assert len(workshop.events(run, ev.AgentNudged)) == 2
    nudges = [message["content"] for message in workshop.history(run) if message["role"] == "user"][1:]
    assert len(nudges) == 2 and all("finish" in nudge for nudge in nudges)


@pytest.mark.parametrize(("story", "what"), [("repeats", "echo no"), ("to-and-fro", "echo")])
def test_who_goes_in_circles_is_nudged_once_and_then_stopped(workshop: Workshop, story: str, what: str) -> None:
    run = workshop.accept(story, limits=Limits(turns=30))

    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.NEEDS_HUMAN, Reason.IN_CIRCLES)
    [nudge] = workshop.events(run, ev.AgentNudged)
    assert what in nudge.text
    assert what in state.detail
    assert state.turn < 15


def test_a_message_resumes_who_went_in_circles(workshop: Workshop) -> None:
    run = workshop.accept("repeats", limits=Limits(turns=30))
    stopped = workshop.drive(run)

    workshop.say(run, "Look at the data instead.")
    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.NEEDS_HUMAN, Reason.IN_CIRCLES)
    assert state.turn > stopped.turn + 1, "what was before the message counts no more"


def test_a_finish_with_an_open_plan_is_questioned_twice_and_then_no_success(workshop: Workshop) -> None:
    run = workshop.accept("hasty")

    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.FAILED, Reason.INCOMPLETE)
    assert state.exit_code != 0
    assert len(workshop.events(run, ev.CompletionQuestioned)) == 2
    assert all("train" in answer for answer in workshop.answers(run)[1:3])


# --- The context ----------------------------------------------------------------------------------------------------


def test_a_hundred_turns_of_long_outputs_end_well_in_a_small_window(open_workshop: OpenWorkshop) -> None:
    window, turns = 32_000, 100
    workshop = open_workshop(model_window_tokens=window, slice_turns=1_000, model_max_tokens=4_000)
    run = workshop.accept("long", goal=f"Print: turns={turns} chars=40000")

    state = workshop.drive(run, timeout=120)

    assert (state.status, state.turn) == (Status.SUCCEEDED, turns + 1)
    assert state.summary == f"Took {turns} turns."
    calls = workshop.events(run, ev.LlmCall)
    assert max(call.prompt_tokens for call in calls) + 4_000 <= window
    assert not workshop.events(run, ev.LlmFailed)
    # Nothing is lost: what was masked is all there, and the cuts moved some turns at once.
    talk = ordered(workshop.store.talk(run))
    assert sum(len(str(entry.message.get("content") or "")) for entry in talk) > turns * 7_500
    assert 3 < len(workshop.events(run, ev.Compacted)) < turns / 3


def test_a_window_that_the_provider_says_is_smaller_is_tried_thrice_and_then_given_up(workshop: Workshop) -> None:
    run = workshop.accept("too-long")

    state = workshop.drive(run)

    assert (state.status, state.reason) == (Status.FAILED, Reason.CONTEXT_EXCEEDED)
    assert len(workshop.events(run, ev.LlmFailed)) <= 4
