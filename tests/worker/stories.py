"""The playbooks that the engine's tests play, each as small as its point."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

State = dict[str, Any]


def says(text: str, **more: Any) -> State:
    return {"say": text, **more}


def asks(question: str) -> State:
    return calls("ask", question=question)


def calls(tool: str, /, *others: Mapping[str, Any], fault: Mapping[str, Any] | None = None, **arguments: Any) -> State:
    """A reply that calls a tool, and `others` beside it."""
    state: State = {"call": [{"tool": tool, "arguments": arguments}, *others]}
    return state if fault is None else {**state, "fault": fault}


def call(tool: str, /, **arguments: Any) -> Mapping[str, Any]:
    return {"tool": tool, "arguments": arguments}


def story(*states: State, loops: bool = False) -> dict[str, Any]:
    """States one after the other, whatever comes back; the last leads to itself if it `loops`."""
    named = {f"s{number}": dict(state) for number, state in enumerate(states)}
    names = list(named)
    for name, following in pairwise(names):
        named[name].setdefault("next", following)
    if loops:
        named[names[-1]]["next"] = names[-1]
    return {"about": "For a test of the engine.", "start": "s0", "states": named}


PLAN = calls("plan", items=[{"id": "1", "content": "go on", "status": "completed"}])
FINISH = calls("finish", summary="Done.", metrics={}, artifacts=[])


def after(fault_kind: str, **fault: Any) -> dict[str, Any]:
    """A fault on the first reply, which has text and a call, then the end."""
    return story({**PLAN, "say": "I begin with a plan.", "fault": {"kind": fault_kind, **fault}}, FINISH)


def refused(status: int, times: int = 100, **more: Any) -> dict[str, Any]:
    return after("status", status=status, times=times, **more)


STORIES: dict[str, dict[str, Any]] = {
    "hello": story(
        {**calls("bash", command="echo hello from the workspace > said; cat said"), "say": "A command first."}, FINISH
    ),
    "asks": story(asks("Which data?"), asks("Still: which data?"), FINISH),
    "wordy": story(says("All done!"), says("Really: all done."), says("I said that it is done."), FINISH),
    "repeats": story(calls("bash", command="echo no"), loops=True),
    "to-and-fro": story(calls("bash", command="echo a"), calls("bash", command="echo b"), loops=True),
    "hasty": story(calls("plan", items=[{"id": "1", "content": "train", "status": "pending"}]), *[FINISH] * 3),
    "busy": story(PLAN, loops=True),
    "ten": story(*[PLAN] * 9, FINISH),
    "limited": refused(429, times=2, retry_after=0.4),
    "shaky": refused(500, times=3),
    "away": refused(503),
    "unauthorised": refused(401),
    "unpaid": refused(402),
    "forbidden": refused(403),
    "unknown": refused(404),
    "fussy": refused(400, times=1),
    "stubborn": refused(400),
    "too-long": refused(
        400, code="context_length_exceeded", message="This model's maximum context length is 8192 tokens."
    ),
    "hangs": after("hang"),
    "stalls": after("stall"),
    "closes": after("close"),
    "rubbish": after("rubbish", times=100),
    "rubbish-twice": after("rubbish", times=2),
    "empty": after("empty", times=2),
    "unfinished": after("bad_arguments", times=1),
    "listed": after("bad_arguments", arguments="[1, 2]", times=1),
    "cut": after("length", times=1),
    "parallel": story(
        calls(
            "bash",
            call("bash", command="echo second; sleep 0.7"),
            call("read", path="missing.txt"),
            call("bash", command="echo fourth; sleep 0.7"),
            command="sleep 0.9; echo first",
        ),
        FINISH,
    ),
    "mixed": story(
        calls(
            "write",
            call("bash", command="cat a.txt; echo two > a.txt"),
            call("read", path="a.txt"),
            path="a.txt",
            content="one\n",
        ),
        FINISH,
    ),
    "wrong": story(calls("bash", call("read", path="a", lines=3), command=""), FINISH),
    "explodes": story(calls("explode", call("plan", items=[]), call("explode")), FINISH),
    "sleeps": story(calls("bash", command="echo $$ > /tmp/nothing; sleep 60"), FINISH),
    "dawdles": story({**FINISH, "fault": {"kind": "slow_first_byte", "seconds": 60.0, "times": 100}}),
    "deletes": story(
        calls("write", path="a.txt", content="x"),
        calls("bash", call("bash", command="sleep 0.2; rm -f a.txt"), command="rm -f a.txt"),
        FINISH,
    ),
    "big": story(calls("write", path="big.txt", content="x" * 20_000), FINISH),
    "peeks": story(
        calls("submit_step", name="train", command="python train.py", deadline_minutes=6),
        calls("wait_for_steps", steps=["train"], max_minutes=0.005),
        calls("wait_for_steps", steps=["train"], max_minutes=5),
        FINISH,
    ),
    "splurges": story(
        calls("submit_step", name="train", command="python train.py", deadline_minutes=60),
        calls("submit_step", name="smoke", command="python train.py --tiny", smoke=True),
        calls("wait_for_steps", steps=["smoke"]),
        calls("submit_step", name="train", command="python train.py", deadline_minutes=60),
        calls("wait_for_steps", steps=["train"]),
        FINISH,
    ),
    "litters": story(calls("bash", command="touch a b c d; echo littered"), FINISH),
    "trains": story(
        calls("submit_step", name="train", command="python train.py", deadline_minutes=6),
        calls("wait_for_steps", steps=["train"]),
        FINISH,
    ),
    "retrains": story(
        *[
            calls("submit_step", name="train", command="python train.py", deadline_minutes=6),
            calls("wait_for_steps", steps=["train"]),
        ]
        * 3,
        FINISH,
    ),
    "claims": story(
        calls("finish", summary="Great.", metrics={"accuracy": 1.0}, artifacts=["model.pkl"]),
        FINISH,
    ),
}


def write_stories(directory: Path) -> Path:
    """The stories as a directory of playbooks."""
    for name, playbook in STORIES.items():
        place = directory / name
        place.mkdir(parents=True)
        (place / "playbook.yaml").write_text(yaml.safe_dump(playbook, allow_unicode=True))
    return directory
