"""Money that a dying worker left held: it is settled from the log, or given back when the run is over."""

from collections.abc import Callable

import pytest

from services.core import events as ev
from services.core.lifecycle import Status
from services.worker.settling import settle_leftovers
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop


class Dead(BaseException):
    """The worker is gone at this line."""


def die() -> None:
    raise Dead


@pytest.fixture
def workshop(open_workshop: OpenWorkshop) -> Workshop:
    return open_workshop(price_prompt=3.0, price_completion=15.0, model_max_tokens=200)


@pytest.fixture
def dying(workshop: Workshop, moments: Moments) -> Callable[[str], str]:
    """A run whose worker dies at a boundary."""

    def died(boundary: str) -> str:
        run = workshop.accept("hello")
        moments.once(boundary, die)
        with pytest.raises(Dead):
            workshop.advance(run)
        workshop.lose_lease(run)
        return run

    return died


@pytest.mark.parametrize(
    ("boundary", "unknown"),
    [
        ("worker.reserved", 0),
        ("worker.model_requested", 1),
        ("worker.model_replied", 1),
        ("worker.reply_recorded", 0),
        ("worker.tool_recorded", 0),
    ],
)
def test_wherever_a_worker_dies_the_account_is_the_log(
    workshop: Workshop, dying: Callable[[str], str], boundary: str, unknown: int
) -> None:
    run = dying(boundary)

    state = workshop.drive(run)

    assert (state.status, len(workshop.events(run, ev.LlmFailed))) == (Status.SUCCEEDED, unknown)
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


@pytest.mark.parametrize("boundary", ["worker.reserved", "worker.model_requested", "worker.reply_recorded"])
def test_a_run_that_is_ended_then_holds_nothing(workshop: Workshop, dying: Callable[[str], str], boundary: str) -> None:
    run = dying(boundary)
    workshop.cancel(run)
    state = workshop.drive(run)

    settle_leftovers(workshop.ledger, workshop.store, state)

    assert state.status is Status.CANCELLED
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


def test_what_is_under_way_keeps_its_hold(workshop: Workshop, dying: Callable[[str], str]) -> None:
    run = dying("worker.model_requested")
    before = workshop.ledger.account("acme")

    settle_leftovers(workshop.ledger, workshop.store, workshop.state(run))

    assert workshop.ledger.account("acme") == before
    assert before[1] > 0


def test_settling_twice_changes_nothing(workshop: Workshop, dying: Callable[[str], str]) -> None:
    run = dying("worker.reply_recorded")
    for _ in range(2):
        settle_leftovers(workshop.ledger, workshop.store, workshop.state(run))

        assert workshop.ledger.account("acme")[:2] == (workshop.state(run).spend.microdollars, 0)
