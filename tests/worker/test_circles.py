"""Who goes in circles is told so once, and stopped if that does not help; who waits or gets on is left alone."""

from collections.abc import Callable, Sequence

import pytest

from services.core.records import Diagnosis, RunState, Step
from services.core.store import Talk
from services.core.taxonomy import Failure, Owner
from services.worker.circles import circle_of, must_nudge, must_stop
from services.worker.conversation import NOTE, NUDGE, REPLY, reply_message, user_message
from services.worker.reply import RawCall
from tests.worker.states import CREATED, answered, attempt, replied, said, state_of, steps_of

Turn = Callable[[int], Sequence[Talk]]


def does(tool: str, arguments: str = "{}", answer: str = "done") -> Turn:
    """A turn with one call and its answer."""

    def turn(number: int) -> Sequence[Talk]:
        call = RawCall(f"call_{number}_0", tool, arguments)
        return Talk(number, REPLY, reply_message("", [call])), answered(number, 0, answer)

    return turn


A, B, C = does("bash", '{"command": "a"}'), does("bash", '{"command": "b"}'), does("read", '{"path": "c"}')
WAIT, PLAN = does("wait_for_steps"), does("plan")


def cut(number: int) -> Sequence[Talk]:
    return replied(number, "Hel"), Talk(number, NOTE, user_message("cut"))


def talk_of(*turns: Turn) -> list[Talk]:
    return [entry for number, turn in enumerate(turns, 1) for entry in turn(number)]


def played(*turns: Turn, state: RunState | None = None) -> list[str]:
    """Turn by turn what is done about it: `nudge`, `stop` or nothing. What is said is part of the talk."""
    done, talk = [], list[Talk]()
    for number, turn in enumerate(turns, 1):
        talk += turn(number)
        circle = circle_of(state or state_of(), talk)
        stops, nudges = circle and must_stop(circle, talk), circle and must_nudge(circle, talk)
        if circle and nudges and not stops:
            talk.append(Talk(number, NUDGE, user_message(circle.text)))
        done.append("stop" if stops else "nudge" if nudges else "")
    return done


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([A, A], ["", ""]),
        ([A, A, A], ["", "", "nudge"]),
        ([A, A, A, A], ["", "", "nudge", "stop"]),
        ([A, A, A, B, A, A, A], ["", "", "nudge", "", "", "", ""]),
        ([A, A, A, B, A, A, A, A], ["", "", "nudge", "", "", "", "", "stop"]),
        ([A, B, A, B], ["", "", "", "nudge"]),
        ([A, B, A, B, A, B], ["", "", "", "nudge", "", "stop"]),
        ([A, B, C, A, B, C, A, B, C], [*[""] * 5, "nudge", "", "", "stop"]),
        ([A, A, B, B], ["", "", "", ""]),
    ],
)
def test_what_repeats_is_named_and_then_stopped(turns: list[Turn], expected: list[str]) -> None:
    assert played(*turns) == expected


def test_the_nudge_names_what_repeats() -> None:
    circle = circle_of(state_of(), talk_of(A, A, A))

    assert circle is not None
    assert circle.text.startswith('You are going in circles: bash({"command": "a"}) with the same answer each time, 3')


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_cycles_of_two_to_five_turns_are_seen(length: int) -> None:
    cycle = [does("bash", f'{{"command": "{number}"}}') for number in range(length)]

    assert played(*cycle * 3)[-1] == "stop"
    assert "nudge" in played(*cycle * 2)


def test_a_cycle_of_six_is_work() -> None:
    cycle = [does("bash", f'{{"command": "{number}"}}') for number in range(6)]

    assert set(played(*cycle * 3)) == {""}


def test_another_answer_is_no_repetition() -> None:
    polls = [does("bash", '{"command": "nvidia-smi"}', f"{number} %") for number in range(9)]

    assert set(played(*polls)) == {""}


def test_the_order_of_arguments_makes_no_difference() -> None:
    one, other = does("read", '{"path": "a", "limit": 1}'), does("read", '{"limit": 1, "path": "a"}')

    assert played(one, other, one) == ["", "", "nudge"]


def test_waiting_and_planning_are_no_circle() -> None:
    assert set(played(*[WAIT] * 20)) == {""}
    assert set(played(*[PLAN] * 20)) == {""}


def test_waiting_in_between_hides_no_circle() -> None:
    assert played(A, WAIT, A, WAIT, A, WAIT, A)[-1] == "stop"


def test_a_person_begins_the_count_anew() -> None:
    talk = [*talk_of(A, A, A), said(3)]
    assert circle_of(state_of(), talk) is None

    talk += [entry for number in (4, 5) for entry in A(number)]
    assert circle_of(state_of(), talk) is None


def test_text_alone_is_asked_about_each_time_and_stopped_at_the_third() -> None:
    words: list[Turn] = [lambda number: [replied(number, f"Thinking {number}.")]] * 3

    assert played(*words) == ["nudge", "nudge", "stop"]
    assert played(words[0], A, words[0], B, words[0]) == ["nudge", "", "nudge", "", "nudge"]


def test_replies_that_are_cut_off_again_and_again_stop_the_run() -> None:
    assert played(cut, cut, cut) == ["", "nudge", "stop"]


# --- Failures of steps ----------------------------------------------------------------------------------------------


def failed(*classes: Failure | None, summary: str = "", owner: Owner | None = None, forgiven: int = 0) -> RunState:
    """A run whose steps have failed with these classes, in order; None is a success."""
    attempts = [
        attempt(
            1,
            "failed" if found else "succeeded",
            f"s{number}",
            ended=CREATED + number,
            diagnosis=found
            and Diagnosis(failure=found, owner=owner or found.owner, code="x", summary=summary or f"reason {number}"),
        )
        for number, found in enumerate(classes)
    ]
    steps = steps_of(*(Step(name=f"s{number}", attempts=(one,)) for number, one in enumerate(attempts)))
    return state_of(steps=steps, forgiven={f"s{number}": 1 for number in range(forgiven)})


OOM, SHAPE = Failure.OUT_OF_GPU_MEMORY, Failure.SHAPE_MISMATCH


@pytest.mark.parametrize(
    ("state", "times"),
    [
        (failed(OOM, OOM), None),
        (failed(OOM, OOM, OOM), 3),
        (failed(OOM, OOM, OOM, OOM), 4),
        (failed(OOM, SHAPE, OOM, OOM), None),
        (failed(OOM, OOM, None, OOM), None),
        (failed(None, OOM, OOM, OOM), 3),
        (failed(*[OOM] * 4, owner=Owner.PLATFORM), None),
        (failed(*[OOM] * 4, forgiven=2), None),
        # Mistakes of the same broad class are the same only if they say the same.
        (failed(*[Failure.CODE_ERROR] * 4), None),
        (failed(*[Failure.CODE_ERROR] * 4, summary="AttributeError: fit"), 4),
    ],
)
def test_the_same_class_of_failure_again_is_a_circle_whatever_was_changed(state: RunState, times: int | None) -> None:
    circle = circle_of(state, talk_of(A, B))

    assert (circle and circle.times) == times


def test_a_ladder_of_batch_sizes_is_nudged_once_and_stopped() -> None:
    talk = talk_of(A)
    third, fourth = (circle_of(failed(*[OOM] * times), talk) for times in (3, 4))
    assert third is not None and must_nudge(third, talk) and not must_stop(third, talk)

    talk.append(Talk(1, NUDGE, user_message(third.text)))
    assert not must_nudge(third, talk)
    assert fourth is not None and must_stop(fourth, talk)
    assert "out_of_gpu_memory" in fourth.text
