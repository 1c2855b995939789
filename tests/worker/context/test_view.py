"""What the model is shown: whole while it is short, and however long the run, never more than fits."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.core.records import Cuts, Window
from services.core.store import Talk
from services.scripted.conversation import read_conversation
from services.worker.context.tokens import tokens_of
from services.worker.context.view import Parts, View, budget_of, fit
from services.worker.conversation import NOTE, NUDGE, REPLY, SAID, ordered, reply_message, tool_message, user_message
from services.worker.reply import RawCall

GOAL = "train a model to 97 %"
OPENING = [{"role": "system", "content": "Be an engineer."}, {"role": "user", "content": GOAL}]


def turn_of(number: int, *answers: int, argument: int = 20, text: str = "") -> list[Talk]:
    """A turn whose calls have answers of so many characters."""
    arguments = json.dumps({"command": "x" * argument})
    calls = [RawCall(f"call_{number}_{index}", "bash", arguments) for index in range(len(answers))]
    told = [
        Talk(number, index, tool_message(f"call_{number}_{index}", _text(size))) for index, size in enumerate(answers)
    ]
    return [Talk(number, REPLY, reply_message(text or f"Turn {number}.", calls)), *told]


def _text(size: int) -> str:
    return ("epoch=1 loss=0.25\n" * (size // 18 + 1))[:size]


def fitted(talk: list[Talk], budget: int, cuts: Cuts | None = None, brief: str = "") -> View:
    view = fit(Parts(OPENING, ordered(talk), brief), cuts or Cuts(), budget)
    assert view is not None
    return view


def told(view: View) -> str:
    return json.dumps(view.messages)


def test_a_short_history_is_shown_whole() -> None:
    talk = [entry for number in range(1, 21) for entry in turn_of(number, 500)]

    view = fitted(talk, 100_000)

    assert view.messages == [*OPENING, *(entry.message for entry in talk)]
    assert (view.cuts, view.tokens) == (Cuts(), view.whole_tokens)


def test_old_answers_become_a_line_with_a_pointer_and_new_ones_stay() -> None:
    talk = [entry for number in range(1, 31) for entry in turn_of(number, 3_000)]

    view = fitted(talk, 100_000)

    assert view.cuts == Cuts(masked=21)
    answers = [message["content"] for message in view.messages if message["role"] == "tool"]
    assert answers[0] == "[bash answered 3000 characters; read(path='talk:1:0') shows them] epoch=1 loss=0.25"
    assert [len(answer) for answer in answers[20:]] == [3_000] * 10


def test_long_arguments_of_old_calls_are_masked_and_stay_json() -> None:
    talk = [entry for number in range(1, 31) for entry in turn_of(number, 10, argument=3_000)]

    view = fitted(talk, 100_000)

    first = next(message for message in view.messages if message["role"] == "assistant")
    arguments = json.loads(first["tool_calls"][0]["function"]["arguments"])
    assert arguments["command"].startswith("[… 3000 characters] xxx")


def test_the_cut_moves_five_turns_at_once_so_that_the_prefix_stays_in_the_cache() -> None:
    talk = [entry for number in range(1, 21) for entry in turn_of(number, 6_000)]
    cuts, before = Cuts(), fitted(talk, 100_000)
    moves = 0
    for number in range(21, 41):
        cuts = before.cuts
        talk += turn_of(number, 6_000)
        view = fitted(talk, 100_000, cuts)
        if view.cuts == cuts:
            assert view.messages[: len(before.messages)] == before.messages
        else:
            moves += 1
        before = view
    assert moves == 4


def test_a_cut_never_moves_back() -> None:
    talk = [entry for number in range(1, 21) for entry in turn_of(number, 3_000)]

    view = fitted(talk, 100_000, Cuts(masked=18, outlined=9))

    assert view.cuts == Cuts(masked=18, outlined=9)


def test_turns_long_past_become_an_outline() -> None:
    talk = [entry for number in range(1, 301) for entry in turn_of(number, 400, text=f"I look at part {number}.")]

    view = fitted(talk, 8_000)

    assert view.cuts.outlined > 200
    outline = view.messages[1]["content"]
    assert outline.startswith(GOAL)
    assert "turns 1 to " in outline
    assert f"turn {view.cuts.outlined - 1}: I look at part {view.cuts.outlined - 1}.; bash(command=xxx" in outline


def test_what_a_person_said_long_ago_is_kept() -> None:
    talk = [Talk(1, SAID, user_message("Never touch test.csv."))]
    talk += [entry for number in range(1, 301) for entry in turn_of(number, 400)]

    view = fitted(talk, 8_000)

    assert view.cuts.outlined > 1
    assert "a person said: Never touch test.csv." in view.messages[1]["content"]


def test_the_newest_answer_is_shortened_where_it_alone_is_too_long() -> None:
    view = fitted(turn_of(1, 24_000, 24_000), 6_000)

    answers = [message["content"] for message in view.messages if message["role"] == "tool"]
    assert all("read(path='talk:1:" in answer and len(answer) > 1_000 for answer in answers)


def test_a_goal_that_does_not_fit_has_no_view() -> None:
    opening = [{"role": "system", "content": "x"}, {"role": "user", "content": "y" * 30_000}]

    assert fit(Parts(opening, []), Cuts(), 5_000) is None


def test_the_state_of_things_is_the_last_word() -> None:
    view = fitted([*turn_of(1, 10), Talk(1, SAID, user_message("Hurry."))], 10_000, brief="Left: 3 turns.")

    assert view.messages[-1] == {"role": "user", "content": "Hurry.\n\nLeft: 3 turns."}


def test_a_hundred_turns_with_long_outputs_fit_into_a_small_window() -> None:
    """Each output has some 10,000 tokens, the window 32,000, and what is shown is the work so far."""
    talk: list[Talk] = []
    cuts, budget = Cuts(), budget_of(32_000, 8_192, Window())
    for number in range(1, 101):
        talk += turn_of(number, 24_000)
        view = fitted(talk, budget, cuts, brief="Left: some turns.")
        cuts = view.cuts
        assert view.tokens <= budget
        read_conversation(view.messages)
    assert GOAL in told(view)


@pytest.mark.parametrize(
    ("window", "known", "budget"),
    [
        (100_000, Window(), 87_217),
        (8_000, Window(), 5_700),
        (100_000, Window(tokens_per_estimated=2.0), 43_608),
        (100_000, Window(most=9_000), 9_000),
    ],
)
def test_a_budget_is_what_the_reply_leaves_of_the_window(window: int, known: Window, budget: int) -> None:
    assert budget_of(window, 8_192, known) == budget


# --- Whatever the history ---------------------------------------------------------------------------------------------

sizes = st.lists(st.integers(0, 9_000), max_size=3)
words = st.text(max_size=400)


@st.composite
def histories(draw: st.DrawFn) -> list[Talk]:
    talk: list[Talk] = []
    for number in range(1, draw(st.integers(1, 40))):
        talk += turn_of(number, *draw(sizes), argument=draw(st.integers(0, 3_000)), text=draw(words))
        extra = draw(st.sampled_from([None, NOTE, NUDGE, SAID]))
        if extra is not None:
            talk.append(Talk(number, extra, user_message(draw(words))))
    return talk


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(4_000, 60_000))
def test_a_view_fits_is_in_order_and_has_the_goal(talk: list[Talk], budget: int) -> None:
    cuts, seen = Cuts(), 0
    turns = sorted({entry.turn for entry in talk})
    for turn in turns[:: max(1, len(turns) // 4)]:
        so_far = [entry for entry in talk if entry.turn <= turn]
        view = fitted(so_far, budget, cuts, "Left: 1 turn.")

        assert view.tokens <= budget and view.tokens == tokens_of(view.messages)
        assert view.messages[0] == OPENING[0]
        assert view.messages[1]["content"].startswith(GOAL)
        _check_roles(view.messages)
        assert view.cuts.masked >= cuts.masked and view.cuts.outlined >= cuts.outlined
        assert fitted(so_far, budget, cuts, "Left: 1 turn.") == view
        cuts, seen = view.cuts, seen + 1
    assert seen or not talk


def _check_roles(messages: list[dict[str, Any]]) -> None:
    """As strict as a provider: every call answered, no answer without its call, no two words of a user in a row."""
    read_conversation(messages)
    roles = [message["role"] for message in messages]
    assert ("user", "user") not in pairwise(roles)
