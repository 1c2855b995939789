"""A run's turns, one row each: how long it took, what the model used, what it cost. Made from the run's log alone."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.api.auth import Reader
from services.api.parameters import RunId
from services.api.parts import Uses
from services.api.views import answer
from services.core import events as ev
from services.core.store import RunStore

MAX_TURNS = 10_000
router = APIRouter(prefix="/v1/runs/{run}/turns", tags=["runs"])


class TurnView(BaseModel):
    """One turn: one reply of the model and the tool calls in it. A turn that waits for a step lasts as long as that."""

    turn: int
    started: float
    seconds: float
    model: str = Field(examples=["anthropic/claude-sonnet-4-5"])
    model_seconds: float
    model_calls: int
    failed_calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    tools: str = Field(examples=["write, bash"])
    failed_tools: int
    cost_usd: float = Field(description="Model calls, researches and attempts that ended in it.")
    spent_usd: float


class TurnList(BaseModel):
    items: list[TurnView]


@router.get("", response_model=TurnList)
def list_turns(
    caller: Reader,
    parts: Uses,
    run: RunId,
    limit: Annotated[int, Query(ge=1, le=MAX_TURNS, description="The newest so many.")] = 1_000,
) -> Response:
    """What each turn of a run took and cost, in order. `spent_usd` is what the run had cost when the turn was over."""
    parts.store.state_for(caller.tenant, run)
    rows = deque(turns(_events(parts.store, run)), maxlen=limit)
    return answer(TurnList(items=list(rows)))


def turns(events: Iterable[ev.Event]) -> Iterator[TurnView]:
    """One row for each turn in the events of a run's log, in order. What comes before the first has none."""
    turn, spent = None, 0.0
    for event in events:
        if turn is None or event.turn != turn.number:
            if turn is not None:
                yield turn.row(spent, event.time)
            turn = _Turn(event.turn, event.time) if event.turn else None
        spent += getattr(event.data, "cost_usd", 0.0)
        if turn is not None:
            turn.add(event)
    if turn is not None:
        yield turn.row(spent, turn.last)


@dataclass
class _Turn:
    """What is known of a turn while its events are read."""

    number: int
    started: float
    last: float = 0.0
    calls: list[ev.LlmCall] = field(default_factory=list)
    failed_calls: int = 0
    tools: list[str] = field(default_factory=list)
    failed_tools: int = 0
    cost_usd: float = 0.0

    def add(self, event: ev.Event) -> None:
        self.last = event.time
        self.cost_usd += getattr(event.data, "cost_usd", 0.0)
        match event.data:
            case ev.LlmCall() as call:
                self.calls.append(call)
            case ev.LlmFailed():
                self.failed_calls += 1
            case ev.ToolCall() as called:
                self.tools.append(called.tool)
            case ev.ToolOutput() as output:
                self.failed_tools += not output.success
            case _:
                pass

    def row(self, spent: float, until: float) -> TurnView:
        return TurnView(
            turn=self.number,
            started=self.started,
            seconds=max(0.0, until - self.started),
            model=self.calls[-1].model if self.calls else "",
            model_seconds=sum(call.latency_ms for call in self.calls) / 1000,
            model_calls=len(self.calls),
            failed_calls=self.failed_calls,
            prompt_tokens=sum(call.prompt_tokens for call in self.calls),
            completion_tokens=sum(call.completion_tokens for call in self.calls),
            cached_tokens=sum(call.cache_read_tokens for call in self.calls),
            tools=", ".join(self.tools),
            failed_tools=self.failed_tools,
            cost_usd=self.cost_usd,
            spent_usd=spent,
        )


def _events(store: RunStore, run: str) -> Iterator[ev.Event]:
    seq = 0
    while events := store.events(run, after=seq):
        yield from events
        seq = events[-1].seq
