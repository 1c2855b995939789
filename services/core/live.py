"""What the index of live runs says of each: enough to count them without looking at one. Pure."""

from typing import NamedTuple

from services.core.lifecycle import Status
from services.core.records import RunState


class LiveRun(NamedTuple):
    """A run that is not over, and no research. `created` is in seconds since the epoch."""

    status: Status
    created: float
    tenant: str

    @classmethod
    def read(cls, entry: str) -> "LiveRun":
        status, created, tenant = entry.split(" ", 2)
        return cls(Status(status), int(created) / 1000, tenant)


def live_entry(state: RunState) -> str:
    """The run's entry in the index, which `LiveRun.read` understands; '' for one that does not stand in it."""
    if state.parent is not None or state.status.is_final:
        return ""
    return f"{state.status} {int(state.created * 1000)} {state.tenant}"
