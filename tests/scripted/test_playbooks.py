"""The small playbooks that tests and benchmarks use, each along the ways it knows."""

import json
from typing import Any

import pytest

from services.scripted.replay import next_reply
from tests.scripted.conversations import answers, shipped, states, talk, user


@pytest.mark.parametrize(
    ("name", "goal", "rounds", "visited"),
    [
        ("hello", "Say hello.", ["exit code: 0\nhello from the workspace"], ["greet", "finish"]),
        ("hello", "Say hello.", ["exit code: 127\nsh: not found", "again"], ["greet", "failed", "greet"]),
        ("echo", "turns=2", ["noted", "noted"], ["plan", "plan", "finish"]),
        ("echo", "no number", ["noted"], ["plan", "finish"]),
        ("echo", "turns=0", [], ["finish"]),
        ("ask", "Wait for me.", ["not yet", "now go!"], ["ask", "ask-again", "finish"]),
        ("ask", "Wait for me.", ["Go on"], ["ask", "finish"]),
        (
            "train-fast",
            "Run `python train.py`.",
            ["submitted attempt 1 of step train", "Step train, attempt 1: running", "Step train, attempt 1: succeeded"],
            ["submit", "wait", "wait", "finish"],
        ),
        (
            "train-fast",
            "Run `false`.",
            ["submitted attempt 1", "Step train, attempt 1: failed\nexit 1", "again"],
            ["submit", "wait", "failed", "submit"],
        ),
        (
            "fleet",
            "Ten steps.",
            ["submitted attempt 1 of step s0", "Step s0, attempt 1: succeeded\n\nStep s1, attempt 1: succeeded"],
            ["submit", "wait", "finish"],
        ),
        (
            "fleet",
            "Ten steps.",
            ["submitted attempt 1 of step s0", "Step s0, attempt 1: succeeded\n\nStep s1, attempt 1: lost", "again"],
            ["submit", "wait", "failed", "wait"],
        ),
        ("fleet", "Ten steps.", ["the run has $0.00 left", "again"], ["submit", "not-submitted", "submit"]),
        ("train-fast", "Run `x`.", ["the run has $0.00 left"], ["submit", "not-submitted"]),
        ("train-fast", "Run it.", ["Run `true`."], ["no-command", "submit"]),
        (
            "hello",
            "Say hello.",
            ["hello you", "not finished, these claims do not hold"],
            ["greet", "finish", "not-accepted"],
        ),
    ],
)
def test_a_playbook_goes_its_way(name: str, goal: str, rounds: list[str], visited: list[str]) -> None:
    assert states(shipped(name), goal, *rounds) == visited


def test_train_fast_submits_the_command_that_the_goal_quotes() -> None:
    call = next_reply(shipped("train-fast"), [user("Run `python -c 'print(1)'` please.")]).calls[0]

    assert json.loads(call.arguments)["command"] == "python -c 'print(1)'"


def test_echo_takes_hundreds_of_turns_each_with_ids_of_its_own() -> None:
    replies = talk(shipped("echo"), "turns=300", lambda reply: answers(reply, "noted"), 301)

    ids = [call.id for reply in replies for call in reply.calls]
    last: dict[str, Any] = json.loads(replies[-1].calls[0].arguments)
    assert len(set(ids)) == len(ids) == 301
    assert last["summary"] == "Took 300 turns."
