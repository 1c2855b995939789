"""`plan`: the agent's plan, replaced whole."""

from typing import Literal

from pydantic import Field

from services.core import events as ev
from services.core.records import PlanItem
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool

_MARKS = {"pending": "[ ]", "in_progress": "[~]", "completed": "[x]"}


class Item(Parameters):
    id: str = Field(min_length=1, max_length=64, description="A short name that stays the same.")
    content: str = Field(min_length=1, max_length=1_000, description="What is to be done.")
    status: Literal["pending", "in_progress", "completed"]


class Plan(Parameters):
    items: list[Item] = Field(max_length=100, description="Every item of the plan, in order.")


def _run(_: Call, wanted: Plan) -> Result:
    done = sum(item.status == "completed" for item in wanted.items)
    lines = [f"{_MARKS[item.status]} {item.content}" for item in wanted.items]
    return Result(
        f"plan noted, {done} of {len(wanted.items)} done\n" + "\n".join(lines),
        events=(ev.PlanUpdate(plan=[PlanItem(**item.model_dump()) for item in wanted.items]),),
    )


TOOL = Tool(
    name="plan",
    description="Note the plan: every item with its status, one of them in progress. Replaces the plan before.",
    parameters=Plan,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.WRITES}),
)
