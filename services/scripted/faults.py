"""What a state can do wrong on purpose, and how often it already has.

A fault is declared in the playbook; whether it is due is the one thing that the scripted model
remembers between requests (everything else is derived from the conversation).
"""

from collections import OrderedDict
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

REMEMBERED_CONVERSATIONS = 10_000


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int = Field(default=1, ge=1)
    """How many requests meet the fault; the next one is answered as if there were none."""


class StatusFault(_Fault):
    """An error answer of the provider's, with `Retry-After` if `retry_after` (seconds) is given."""

    kind: Literal["status"]
    status: int = Field(ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    code: str | None = None
    message: str = "This error is scripted by the playbook."


class SlowFault(_Fault):
    """Nothing is sent for `seconds`, then the normal reply."""

    kind: Literal["slow_first_byte"]
    seconds: float = Field(gt=0)


class ConnectionFault(_Fault):
    """`hang` sends nothing until the client goes; `stall` sends half of the reply, then nothing until
    the client goes; `close` sends half of the reply and closes the connection."""

    kind: Literal["hang", "stall", "close"]


class RubbishFault(_Fault):
    """A 200 whose body is not the API's."""

    kind: Literal["rubbish"]
    body: str = "<html><body>It works!</body></html>"


class ArgumentsFault(_Fault):
    """The first tool call's arguments are `arguments` as they stand: not JSON, or JSON that isn't an object."""

    kind: Literal["bad_arguments"]
    arguments: str = '{"command": "echo unfinished'


class ContentFault(_Fault):
    """`length` ends the reply half-way with finish_reason "length" (the last call's arguments are cut, or
    else the text); `empty` replies with neither text nor calls."""

    kind: Literal["length", "empty"]


Fault: TypeAlias = Annotated[
    StatusFault | SlowFault | ConnectionFault | RubbishFault | ArgumentsFault | ContentFault,
    Field(discriminator="kind"),
]


class FaultLedger:
    """Counts the faults given, per playbook, state and conversation.

    A conversation is known by its first user message, so runs with different goals don't disturb each
    other. Keeps the REMEMBERED_CONVERSATIONS latest counts, in the memory of this process.
    """

    def __init__(self, limit: int = REMEMBERED_CONVERSATIONS) -> None:
        self._given: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._limit = limit

    def take(self, fault: Fault | None, playbook: str, state: str, conversation: str) -> Fault | None:
        """Return the fault if this request is to meet it, and count it as given."""
        if fault is None:
            return None
        key = (playbook, state, conversation)
        given = self._given.get(key, 0)
        if given >= fault.times:
            return None
        self._given[key] = given + 1
        self._given.move_to_end(key)
        if len(self._given) > self._limit:
            self._given.popitem(last=False)
        return fault
