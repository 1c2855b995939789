"""Messages: what a person or a pipeline says to the agent while it works."""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints
from starlette.responses import Response

from services.api.auth import Submitter
from services.api.bodies import Input, json_body, takes
from services.api.parameters import RunId
from services.api.parts import Uses
from services.api.text import Said
from services.api.views import Acknowledged, answer
from services.core import events as ev, faults
from services.core.errors import Conflict
from services.core.lifecycle import Status
from services.core.records import RunState
from services.core.store import Draft, RunStore, Talk

# After the reply and all tool answers of its turn.
_LAST = 10_000
router = APIRouter(prefix="/v1/runs/{run}/messages", tags=["messages"])

MessageId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]


class Message(Input):
    """What is said, under an id that makes a repeated request the same message."""

    content: Said
    message_id: MessageId | None = Field(None, description="Chosen by the sender; one is made up unless told.")


_EXAMPLE = {"content": "Use the validation split in data/val.csv, not a random one.", "message_id": "ci-4711-1"}


@router.post("", status_code=202, response_model=Acknowledged, openapi_extra=takes(Message, _EXAMPLE))
def send(
    caller: Submitter, parts: Uses, run: RunId, message: Annotated[Message, Depends(json_body(Message))]
) -> Response:
    """Say something to the agent. It reads it before its next turn; a run that waits or asks goes on."""
    parts.store.state_for(caller.tenant, run)
    message_id = message.message_id or uuid4().hex
    try:
        state = parts.store.record(
            run, f"message:{message_id}", lambda now: said(now, message_id, message.content, caller.name)
        )
    except Conflict:
        if not _is_recorded(parts.store, run, message_id):
            raise
        state = parts.store.state(run)
    faults.reach("api.message_recorded")
    parts.hints.publish(run)
    return answer(Acknowledged(run=run, status=state.status, message_id=message_id), 202)


def said(state: RunState, message_id: str, content: str, author: str) -> Draft:
    """What a message adds to a run that stands so. Raises `Conflict` where nobody will read it any more."""
    if state.status.is_final or state.status is Status.CANCELLING:
        raise Conflict(f"run {state.run} is {state.status} and takes no more messages; submit a new goal")
    received = ev.MessageReceived(message_id=message_id, content=content, author=author)
    return Draft((received,), (Talk(state.turn, _LAST, {"role": "user", "content": content}),))


def _is_recorded(store: RunStore, run: str, message_id: str) -> bool:
    """Whether the message came before the run was over: then its sender repeats it because the answer was lost."""
    seq = 0
    while events := store.events(run, after=seq):
        if any(isinstance(event.data, ev.MessageReceived) and event.data.message_id == message_id for event in events):
            return True
        seq = events[-1].seq
    return False
