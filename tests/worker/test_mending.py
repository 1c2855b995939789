"""What changes about a run after a failed model call, as a table."""

import pytest

from services.core import events as ev
from services.core.lifecycle import Reason
from services.worker.failures import Failure
from services.worker.mending import Mend, mend_of
from services.worker.retry import GiveUp, Retry
from tests.worker.states import state_of

REFUSED = GiveUp(Reason.MODEL_REFUSED)
AWAY = GiveUp(Reason.MODEL_UNAVAILABLE)
OTHER = {"fallback_model": "openai/other"}
LOW = {"effort": "low"}


def changed(why: str) -> ev.ModelChanged:
    return ev.ModelChanged(source="scripted/hello", target="openai/other", why=why)


DROPPED = ev.EffortDropped(model="scripted/hello", effort="low", why="detail")


@pytest.mark.parametrize(
    ("fields", "failure", "verdict", "mend"),
    [
        (OTHER, Failure.NO_MODEL, REFUSED, changed("no_model: detail")),
        (OTHER, Failure.OVERLOADED, AWAY, changed("overloaded: detail")),
        (OTHER, Failure.UNREACHABLE, AWAY, changed("unreachable: detail")),
        (LOW, Failure.REFUSED, REFUSED, DROPPED),
        (LOW | OTHER, Failure.REFUSED, REFUSED, DROPPED),
        (LOW | OTHER, Failure.NO_MODEL, REFUSED, changed("no_model: detail")),
        (OTHER, Failure.OVERLOADED, Retry(5.0), None),
        (OTHER, Failure.REFUSED, REFUSED, None),
        (OTHER, Failure.AUTH, GiveUp(Reason.MODEL_AUTH), None),
        (OTHER, Failure.CREDIT, GiveUp(Reason.MODEL_CREDIT), None),
        (OTHER, Failure.RUBBISH, GiveUp(Reason.MODEL_RUBBISH), None),
        (OTHER, Failure.CONTEXT, GiveUp(Reason.CONTEXT_EXCEEDED), None),
        ({}, Failure.NO_MODEL, REFUSED, None),
        ({}, Failure.REFUSED, REFUSED, None),
        ({"fallback_model": "scripted/hello"}, Failure.NO_MODEL, REFUSED, None),
    ],
)
def test_a_run_is_changed_only_where_that_helps(
    fields: dict[str, str], failure: Failure, verdict: Retry | GiveUp, mend: Mend | None
) -> None:
    assert mend_of(state_of(**fields), failure, verdict, "detail") == mend
