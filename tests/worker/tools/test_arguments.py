"""What every tool says about arguments that are missing, unknown or wrong, and how it is described to a model."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.worker.calls import problems
from services.worker.tools import TOOLS
from services.worker.tools.tool import Replay

STEP = {"name": "train", "command": "python train.py"}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("read", {"path": "a.txt"}),
        ("read", {"path": "a.txt", "offset": 3, "limit": 10}),
        ("write", {"path": "a.txt", "content": ""}),
        ("edit", {"path": "a.txt", "old": "x", "new": ""}),
        ("bash", {"command": "ls"}),
        ("bash", {"command": "ls", "timeout_seconds": 1_800}),
        ("plan", {"items": []}),
        ("plan", {"items": [{"id": "1", "content": "look", "status": "pending"}]}),
        ("submit_step", STEP),
        ("submit_step", {**STEP, "name": "t"}),
        ("submit_step", {**STEP, "name": "a" * 24, "env": {"SEED": "1"}, "memory": "4GiB", "uses": []}),
        ("wait_for_steps", {"steps": ["train"]}),
        ("step_log", {"step": "train", "offset": -100, "limit": 100}),
        ("step_metrics", {"step": "train", "name": "loss"}),
        ("cancel_step", {"step": "train"}),
        ("finish", {"summary": "Done.", "metrics": {"accuracy": 0.98}, "artifacts": ["train/model.pkl"]}),
    ],
)
def test_arguments_as_described_are_taken(tool: str, arguments: dict[str, Any]) -> None:
    TOOLS[tool].parameters.model_validate(arguments)


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("read", {}, "path"),
        ("read", {"path": 7}, "path"),
        ("read", {"path": "a", "offset": 0}, "offset"),
        ("read", {"path": "a", "limit": 0}, "limit"),
        ("read", {"path": "a", "lines": 3}, "lines"),
        ("write", {"path": "a"}, "content"),
        ("write", {"path": "a", "content": None}, "content"),
        ("write", {"path": "a", "content": "x", "mode": 7}, "mode"),
        ("write", {"path": "a", "content": "x" * 2_000_001}, "content"),
        ("edit", {"path": "a", "old": "", "new": "x"}, "old"),
        ("edit", {"path": "a", "old": "x"}, "new"),
        ("edit", {"path": "a", "old": "x", "new": "y", "all": True}, "all"),
        ("bash", {}, "command"),
        ("bash", {"command": ""}, "command"),
        ("bash", {"command": ["ls"]}, "command"),
        ("bash", {"command": "ls", "timeout_seconds": 0}, "timeout_seconds"),
        ("bash", {"command": "ls", "timeout_seconds": 1_801}, "timeout_seconds"),
        ("bash", {"command": "ls", "cwd": "/"}, "cwd"),
        ("plan", {}, "items"),
        ("plan", {"items": [{"id": "1", "content": "look", "status": "done"}]}, "items.0.status"),
        ("plan", {"items": [{"content": "look", "status": "pending"}]}, "items.0.id"),
        ("plan", {"items": [{"id": "1", "content": "look", "status": "pending", "note": "x"}]}, "items.0.note"),
        ("submit_step", {"command": "x"}, "name"),
        ("submit_step", {"name": "train"}, "command"),
        *(
            ("submit_step", {**STEP, "name": name}, "name")
            for name in ("", "Train", "1st", "-a", "a-", "a_b", "a" * 25, "a\n", "é")
        ),
        ("submit_step", {**STEP, "command": "a\0b"}, "command"),
        ("submit_step", {**STEP, "command": "x" * 20_001}, "command"),
        ("submit_step", {**STEP, "deadline_minutes": 0}, "deadline_minutes"),
        ("submit_step", {**STEP, "deadline_minutes": 60 * 24 * 15}, "deadline_minutes"),
        ("submit_step", {**STEP, "env": {"COHORT_TOKEN": "x"}}, "env"),
        ("submit_step", {**STEP, "env": {"A-B": "x"}}, "env"),
        ("submit_step", {**STEP, "env": {"1A": "x"}}, "env"),
        ("submit_step", {**STEP, "env": {"": "x"}}, "env"),
        ("submit_step", {**STEP, "env": {"A": "x\0"}}, "env"),
        ("submit_step", {**STEP, "env": {"A": 1}}, "env.A"),
        ("submit_step", {**STEP, "gpu": 8}, "gpu"),
        ("wait_for_steps", {"steps": []}, "steps"),
        ("wait_for_steps", {"steps": "train"}, "steps"),
        ("wait_for_steps", {"steps": ["train"], "until": "first"}, "until"),
        ("wait_for_steps", {"steps": ["train"], "max_minutes": 0}, "max_minutes"),
        ("step_log", {}, "step"),
        ("step_log", {"step": "train", "attempt": 0}, "attempt"),
        ("step_log", {"step": "train", "limit": 12_001}, "limit"),
        ("step_log", {"step": "train", "search": ""}, "search"),
        ("step_metrics", {"step": "train", "attempt": "last"}, "attempt"),
        ("cancel_step", {}, "step"),
        ("cancel_step", {"step": "train", "force": True}, "force"),
        ("finish", {}, "summary"),
        ("finish", {"summary": ""}, "summary"),
        ("finish", {"summary": "x", "metrics": {"accuracy": "high"}}, "metrics.accuracy"),
        ("finish", {"summary": "x", "metrics": {f"m{n}": 1.0 for n in range(101)}}, "metrics"),
        ("finish", {"summary": "x", "artifacts": "model.pkl"}, "artifacts"),
    ],
)
def test_other_arguments_are_refused_by_the_field(tool: str, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TOOLS[tool].parameters.model_validate(arguments)

    said = problems(refused.value)
    assert said.startswith(f"{field}: ")
    assert said.endswith("; nothing was done")


def test_every_problem_is_told_up_to_ten() -> None:
    with pytest.raises(ValidationError) as refused:
        TOOLS["bash"].parameters.model_validate({f"x{number}": 1 for number in range(30)})

    assert problems(refused.value).count("; ") == 10


def test_every_tool_is_described_with_its_parameters() -> None:
    for name, tool in TOOLS.items():
        function = tool.schema["function"]
        assert (tool.schema["type"], function["name"]) == ("function", name)
        assert len(function["description"]) > 20
        assert function["parameters"]["additionalProperties"] is False
        assert all("description" in field for field in function["parameters"]["properties"].values()), name
        assert "title" not in str(function["parameters"].get("properties"))


def test_only_the_tool_that_acts_on_the_world_is_unsafe() -> None:
    assert [name for name, tool in TOOLS.items() if tool.replay is Replay.UNSAFE] == ["bash"]
    assert TOOLS["bash"].recover is not None
