"""A tenant's money, across its runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.core.errors import BudgetSpent
from services.core.ledger import Ledger
from services.core.redis import Client

DOLLAR = 1_000_000


@pytest.fixture
def ledger(any_client: Client) -> Ledger:
    return Ledger(any_client)


def test_a_new_tenant_has_spent_nothing_and_has_no_cap(ledger: Ledger) -> None:
    assert ledger.account("acme") == (0, 0, None)


def test_what_is_reserved_is_held_and_what_is_settled_is_spent(ledger: Ledger) -> None:
    ledger.reserve("acme", "call-1", 3 * DOLLAR)
    assert ledger.account("acme") == (0, 3 * DOLLAR, None)
    ledger.settle("acme", "call-1", 2 * DOLLAR)
    assert ledger.account("acme") == (2 * DOLLAR, 0, None)


def test_repeating_a_reservation_or_a_settlement_changes_nothing(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.reserve("acme", "call-1", DOLLAR)
    ledger.reserve("acme", "call-2", 5)
    assert ledger.account("acme") == (0, DOLLAR + 5, None)
    for _ in range(3):
        ledger.settle("acme", "call-1", DOLLAR)
    assert ledger.account("acme") == (DOLLAR, 5, None)


def test_nothing_is_reserved_beyond_the_cap(ledger: Ledger) -> None:
    ledger.set_cap("acme", 3.0)
    ledger.reserve("acme", "call-1", DOLLAR)
    ledger.settle("acme", "call-1", DOLLAR)
    ledger.reserve("acme", "call-2", DOLLAR)
    with pytest.raises(BudgetSpent, match=r"\$1\.00 left .* needs \$2\.00") as error:
        ledger.reserve("acme", "call-3", 2 * DOLLAR)
    assert error.value.scope == "tenant"
    assert ledger.account("acme") == (DOLLAR, DOLLAR, 3 * DOLLAR)
    ledger.reserve("acme", "call-3", DOLLAR)


def test_a_reservation_that_was_granted_is_granted_again_whatever_is_left(ledger: Ledger) -> None:
    ledger.set_cap("acme", 1.0)
    ledger.reserve("acme", "call-1", DOLLAR)
    ledger.reserve("acme", "call-1", DOLLAR)
    ledger.set_cap("acme", 0.5)
    ledger.reserve("acme", "call-1", DOLLAR)
    assert ledger.account("acme") == (0, DOLLAR, DOLLAR // 2)


def test_what_costs_more_than_was_held_is_spent_all_the_same(ledger: Ledger) -> None:
    ledger.set_cap("acme", 1.0)
    ledger.reserve("acme", "call-1", DOLLAR)
    ledger.settle("acme", "call-1", 2 * DOLLAR)
    assert ledger.account("acme") == (2 * DOLLAR, 0, DOLLAR)
    with pytest.raises(BudgetSpent, match=r"\$0\.00 left"):
        ledger.reserve("acme", "call-2", 1)


def test_a_cap_can_be_lifted(ledger: Ledger) -> None:
    ledger.set_cap("acme", 0.0)
    with pytest.raises(BudgetSpent):
        ledger.reserve("acme", "call-1", 1)
    ledger.set_cap("acme", None)
    ledger.reserve("acme", "call-1", 1)


def test_what_is_free_needs_no_reservation(ledger: Ledger) -> None:
    ledger.set_cap("acme", 0.0)
    ledger.reserve("acme", "call-1", 0)
    assert ledger.account("acme") == (0, 0, 0)


def test_tenants_do_not_share_money(ledger: Ledger) -> None:
    ledger.set_cap("acme", 0.0)
    ledger.reserve("other", "call-1", DOLLAR)
    assert ledger.account("acme") == (0, 0, 0)


def test_large_amounts_stay_whole(ledger: Ledger) -> None:
    ledger.reserve("acme", "a", 10**15 + 1)
    ledger.settle("acme", "a", 10**15 + 1)
    ledger.reserve("acme", "b", 1)
    assert ledger.account("acme") == (10**15 + 1, 1, None)


def test_runs_that_reserve_at_once_never_pass_the_cap_together(ledger: Ledger) -> None:
    ledger.set_cap("acme", 10.0)

    def try_to_reserve(number: int) -> bool:
        try:
            ledger.reserve("acme", f"call-{number}", DOLLAR)
        except BudgetSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(try_to_reserve, range(40)))
    assert sum(granted) == 10
    assert ledger.account("acme") == (0, 10 * DOLLAR, 10 * DOLLAR)
