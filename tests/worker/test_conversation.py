"""The conversation as a provider is sent it, whatever the order in which it was recorded."""

import itertools
import json
from typing import Any

import pytest

from services.core.needs import Needs
from services.core.pools import GpuQuota, Pool, Pools
from services.core.records import Limits
from services.core.rules import Terms
from services.core.step_secrets import StepSecret
from services.core.store import Talk
from services.worker.conversation import (
    NOTE,
    arguments_of,
    call_arguments,
    choices_text,
    goal_text,
    has_said,
    has_unread,
    is_text_only,
    opening,
    ordered,
    reply_message,
    user_message,
)
from services.worker.reply import RawCall
from tests.worker.states import answered, replied, said, state_of


def sent(*talk: Talk) -> list[str]:
    """The messages after the goal, in a word each."""
    return [_word(entry.message) for entry in ordered(talk)]


def _word(message: dict[str, Any]) -> str:
    if message["role"] == "tool":
        return str(message["tool_call_id"])
    return f"{message['role']}: {message['content']}"


def test_it_begins_with_the_system_prompt_and_the_goal() -> None:
    first, second = opening("Be an engineer.", state_of(goal="train a model"), [])

    assert first == {"role": "system", "content": "Be an engineer."}
    assert second["role"] == "user"
    assert second["content"].startswith("train a model\n\nLimits: 300 turns, 1440 minutes.")


def test_the_goal_tells_its_limits_and_inputs() -> None:
    limits = Limits(turns=5, minutes=7.5, tokens=1_000, dollars=2.5, attempts=3)
    text = goal_text(state_of(limits=limits), ["a.csv", "b.csv"])

    assert "Limits: 5 turns, 7.5 minutes, 1000 tokens, $2.5. A step may fail 3 times" in text
    assert text.endswith("Input files:\n- a.csv\n- b.csv")


def test_a_long_list_of_inputs_is_cut_and_counted() -> None:
    text = goal_text(state_of(), [f"f{number}" for number in range(250)])

    assert "- f199\n- … and 50 more" in text
    assert "f200" not in text


def test_no_inputs_are_said_to_be_none() -> None:
    assert goal_text(state_of(), []).endswith("Input files:\n- (none)")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_answers_stand_in_call_order_whatever_the_order_they_came_in(order: tuple[int, ...]) -> None:
    talk = [replied(1, "", "read", "bash", "read"), *(answered(1, index) for index in order)]

    assert sent(*talk) == ["assistant: None", "call_1_0", "call_1_1", "call_1_2"]


def test_what_people_say_in_the_middle_of_a_turn_comes_after_its_answers() -> None:
    talk = [said(1, "first"), replied(1, "", "bash", "bash"), answered(1, 1), said(1, "second"), answered(1, 0)]

    assert sent(*talk) == ["assistant: None", "call_1_0", "call_1_1", "user: first", "user: second"]


def test_what_was_said_before_the_first_turn_comes_before_it() -> None:
    assert sent(replied(1, "Hello."), said(0, "by the way")) == ["user: by the way", "assistant: Hello."]


def test_a_note_of_ours_stands_before_what_people_say() -> None:
    note = Talk(1, NOTE, user_message("cut"))

    assert sent(said(1, "hi"), note, replied(1, "Hel")) == ["assistant: Hel", "user: cut", "user: hi"]


def test_turns_follow_each_other() -> None:
    talk = [replied(2, "Done."), answered(1, 0), replied(1, "", "read")]

    assert sent(*talk) == ["assistant: None", "call_1_0", "assistant: Done."]


# --- The assistant's message ------------------------------------------------------------------------------------------


def test_a_reply_of_text_alone_has_no_calls() -> None:
    assert reply_message("Hello.", []) == {"role": "assistant", "content": "Hello."}
    assert reply_message("", []) == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ('{"path": "a"}', {"path": "a"}),
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ('{"path": "a"', {}),
        ("[1, 2]", {}),
        ("null", {}),
        ('"text"', {}),
        ("7", {}),
        ('{"lr": NaN}', {}),
    ],
)
def test_arguments_in_the_history_are_always_an_object(arguments: str, kept: dict[str, Any]) -> None:
    [call] = reply_message("", [RawCall("call_1_0", "read", arguments)])["tool_calls"]

    assert json.loads(call["function"]["arguments"]) == kept


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"path": "ملف 🙂"}', {"path": "ملف 🙂"}),
        ('{"nested": {"list": [1, 2.5, null, true]}}', {"nested": {"list": [1, 2.5, None, True]}}),
        ("", {}),
        ("\n", {}),
    ],
)
def test_arguments_are_a_json_object(arguments: str, value: dict[str, Any]) -> None:
    assert arguments_of(RawCall("c", "read", arguments)) == value


@pytest.mark.parametrize(
    "arguments",
    [
        '{"command": "echo unfinished',
        "[1, 2]",
        "null",
        '"{}"',
        "{'path': 'a'}",
        '{"lr": NaN}',
        '{"lr": -Infinity}',
        '{"lr": 1e999}',
        '{"content": "half a smile \\ud83d"}',
        '{"n": ' + "9" * 5_000 + "}",
        '{"a": ' + "[" * 100 + "]" * 100 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_cannot_be_kept_or_sent_is_no_arguments(arguments: str) -> None:
    assert arguments_of(RawCall("c", "read", arguments)) is None


def test_the_arguments_of_a_call_are_found_in_the_reply_that_made_it() -> None:
    reply = reply_message("", [RawCall("call_3_0", "read", '{"path": "a"}'), RawCall("call_3_1", "bash", "{}")])
    talk = [replied(1, "", "read"), Talk(3, -1, reply)]

    assert call_arguments(talk, "call_3_0") == {"path": "a"}
    assert call_arguments(talk, "call_3_1") == {}
    assert call_arguments(talk, "call_9_9") == {}


# --- Who has spoken last ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("talk", "text_only", "unread"),
    [
        ([], False, False),
        ([replied(1, "What now?")], True, False),
        ([replied(1, "What now?"), said(1)], False, True),
        ([said(1), replied(1, "What now?")], False, True),
        ([said(0), replied(1, "What now?")], True, False),
        ([replied(1, "", "read"), answered(1, 0)], False, False),
        ([replied(1, "", "read"), answered(1, 0), said(1)], False, True),
        ([replied(1, "")], True, False),
        ([replied(1, "Hel"), Talk(1, NOTE, user_message("cut"))], False, True),
    ],
)
def test_who_has_the_last_word(talk: list[Talk], text_only: bool, unread: bool) -> None:
    assert (is_text_only(talk), has_unread(talk)) == (text_only, unread)


@pytest.mark.parametrize(
    ("talk", "turn", "expected"),
    [
        ([said(2)], 2, True),
        ([said(1)], 2, False),
        ([Talk(2, NOTE, user_message("cut"))], 2, False),
        ([answered(2, 0)], 2, False),
        ([], 0, False),
    ],
)
def test_only_a_person_says_something(talk: list[Talk], turn: int, expected: bool) -> None:
    assert has_said(talk, turn) is expected


def test_the_goal_tells_what_a_step_gets_and_which_pools_there_are_for_it() -> None:
    text = goal_text(state_of(resources=Needs(gpus=1, pool=("a100", "h100"))), [])
    told = "A step that does not say it otherwise gets: gpus 1, pool a100 or h100. No other pool may be used.\n"
    assert told in text
    assert "No other pool" not in goal_text(state_of(resources=Needs(gpus=1)), [])


def test_what_is_kept_for_evaluation_is_said_with_the_goal() -> None:
    text = goal_text(state_of(rules=Terms(evaluation_data=("test.csv",))), [])

    assert "never to be changed: test.csv." in text


def test_without_a_pools_file_nothing_is_said_of_pools() -> None:
    assert choices_text(Pools.local(2.0), "acme") == ""


def test_the_agent_is_told_what_it_can_choose_from_and_what_it_costs() -> None:
    pools = Pools(
        pools=(
            Pool(name="cpu", max_cpu=16.0, max_memory=64 << 30, price_per_hour=0.5),
            Pool(
                name="a100-spot",
                gpus_per_node=8,
                nodes=4,
                gpu_product="NVIDIA\nA100",
                gpu_memory=40 << 30,
                price_per_hour=1.25,
                spot=True,
            ),
            Pool(name="odd", gpus_per_node=1, max_cpu=4.0),
        ),
        quota=GpuQuota(gpus=8, tenants={"research": 32}),
    )
    assert choices_text(pools, "research").splitlines() == [
        "Pools that steps can run on; a step that names none goes to the cheapest that fits:",
        "- cpu: no GPUs, up to 16 cores and 64Gi for a step, $0.50 an hour",
        "- a100-spot: 8 GPUs a node (NVIDIA A100, 40Gi each), 4 nodes at most, $1.25 an hour for each GPU; spot: may "
        "be taken away at any time, so save checkpoints",
        "- odd: 1 GPUs a node, 1 nodes at most, up to 4 cores for a step, $0.00 an hour for each GPU",
        "All steps together hold 32 GPUs at most; what comes later waits its turn.",
    ]


def test_the_agent_is_told_which_secrets_its_steps_may_have() -> None:
    secrets = (
        StepSecret(name="hub", env="HF_TOKEN", secret="hf", key="token"),
        StepSecret(name="lab", env="LAB_TOKEN", secret="lab", key="token", tenants=("research",)),
    )
    pools = Pools(pools=(Pool(name="local"),), secrets=secrets)
    assert choices_text(pools, "acme") == (
        "Secrets that a step's program can be given: hub (as $HF_TOKEN). Never print one.\n"
    )
    assert "lab (as $LAB_TOKEN)" in choices_text(pools, "research")
    assert choices_text(pools.model_copy(update={"runs_images": False}), "research") == ""


def test_very_many_pools_are_not_all_told() -> None:
    product = "x" * 100
    pools = Pools(pools=tuple(Pool(name=f"p{n}", gpus_per_node=8, gpu_product=product, spot=True) for n in range(200)))
    text = choices_text(pools, "acme")
    assert "- p29: " in text and "- p30: " not in text
    assert "- … and 170 more\n" in text
    assert len(text) < 10_000
