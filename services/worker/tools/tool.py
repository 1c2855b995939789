"""What a tool is: a typed function, with what it may do and how it replays after a crash.

A tool never writes to the run's log. It returns what should be written, and the engine commits that in one append:
the answer, the changed files, the further events. So a tool that died half-way has changed nothing, `bash` excepted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.errors import CohortError
from services.core.ledger import Ledger
from services.core.logs import LogStore
from services.core.pools import Pools
from services.core.records import FileRef, RunState, Wait
from services.core.workspace import Change, Workspace
from services.worker.research import Researches
from services.worker.shells import Shell
from services.worker.web.outside import Outside


class ToolError(CohortError):
    """The call cannot be done as asked. The text goes to the model and says what to do instead."""


class Replay(StrEnum):
    """What to do with a call whose intent is recorded and whose outcome is not."""

    PURE = "pure"
    """Reads only: do it again."""
    IDEMPOTENT = "idempotent"
    """Its whole effect is the record: do it again, the first one left nothing behind."""
    UNSAFE = "unsafe"
    """It acts on the world: never again. Ask the world what became of it, or say that nobody knows."""


class Effect(StrEnum):
    """What a tool may do to the world, and to the run's budget."""

    READS = "reads"
    """It looks at something."""
    WRITES = "writes"
    """It changes something: files of the workspace, the run's plan, something outside."""
    SPENDS = "spends"
    """It costs money besides the model's: a step, a research, a sandbox."""


class Parameters(BaseModel):
    """A tool's arguments. Unknown ones are refused, so that a misspelt option is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Finished:
    """The run's result, every claim checked."""

    summary: str
    metrics: dict[str, float]
    artifacts: tuple[FileRef, ...]


@dataclass(frozen=True)
class Result:
    """What a call answers and what it changes.

    `data` is the answer as JSON, for who calls a tool from a program. `asked` stops the run until a person answers that
    question; `incomplete` ends it without success, for this reason.
    """

    text: str
    success: bool = True
    data: Any = None
    events: tuple[ev.EventData, ...] = ()
    changes: tuple[Change, ...] = ()
    finished: Finished | None = None
    asked: str = ""
    incomplete: str = ""


@dataclass(frozen=True)
class Park:
    """The answer is not there yet: park the run; the call is made again when it wakes."""

    wait: Wait


@dataclass(frozen=True)
class Desk:
    """What tools work with. Of steps that could cost more than the line the rules ask more; a goal may set its own."""

    workspace: Workspace
    artifacts: ArtifactStore
    attempts: AttemptStore
    logs: LogStore
    ledger: Ledger
    shell: Shell
    pools: Pools
    researches: Researches
    outside: Outside = field(default_factory=Outside)
    cost_line_dollars: float = 5.0


@dataclass(frozen=True)
class Call:
    """One call of a tool. `unread`: a person has said something the model has not seen yet. `recall` finds what the
    history has at a turn and an index, None where there is nothing; `has_met` tells whether another tool has shown it.
    """

    id: str
    state: RunState
    desk: Desk
    unread: bool = False
    stop: Callable[[], bool] = lambda: False
    recall: Callable[[int, int], str | None] = lambda _turn, _index: None
    has_met: Callable[[str], bool] = lambda _text: False
    now: float = field(default_factory=time.time)


P = TypeVar("P", bound=Parameters)
Intent = Callable[[Call, P], tuple[ev.EventData, ...]]


@dataclass(frozen=True)
class Tool(Generic[P]):
    """A tool. `recover` asks the world what became of an unsafe call that was begun; None: nobody knows.

    `is_parallel`: calls beside each other in one reply may run at once. `waits`: it changes no files and may park, so
    such neighbours wait at once. What only reads, a research may use. `is_of_a_run`: it works on its run's files, steps
    or record, so nobody can call it without one. `source` is where it comes from: Cohort itself, a plugin, a server.

    `intent` are the events that must be on record before it runs, made of the newest state; () where they are.
    """

    name: str
    description: str
    parameters: type[P]
    run: Callable[[Call, P], Result | Park]
    replay: Replay
    effects: frozenset[Effect]
    is_parallel: bool = False
    waits: bool = False
    is_of_a_run: bool = True
    source: str = "cohort"
    intent: Intent[P] | None = None
    recover: Callable[[Call, P], Result | None] | None = None

    @property
    def is_reading(self) -> bool:
        """It changes nothing, and costs nothing."""
        return self.effects == {Effect.READS}

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The tool as a chat API wants it described."""
        schema = self.parameters.model_json_schema()
        schema.pop("title", None)
        for field_schema in schema.get("properties", {}).values():
            field_schema.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


Toolbox = dict[str, Tool[Any]]
"""Tools by name."""
