"""How often a fault is met."""

from services.scripted.faults import FaultLedger, StatusFault

BUSY = StatusFault(kind="status", status=429, times=2)


def test_a_fault_is_met_as_often_as_it_says() -> None:
    ledger = FaultLedger()

    assert [ledger.take(BUSY, "p", "s", "goal") for _ in range(3)] == [BUSY, BUSY, None]


def test_playbooks_states_and_conversations_meet_it_apart() -> None:
    ledger = FaultLedger()
    apart = [("p", "s", "a"), ("p", "s", "b"), ("p", "t", "a"), ("q", "s", "a")]

    assert [ledger.take(BUSY, *one) for one in apart * 3] == [BUSY] * 8 + [None] * 4


def test_no_fault_is_none() -> None:
    assert FaultLedger().take(None, "p", "s", "goal") is None


def test_what_is_remembered_is_bounded() -> None:
    ledger = FaultLedger(limit=2)
    for goal in ("a", "a", "b", "c"):
        ledger.take(BUSY, "p", "s", goal)

    assert ledger.take(BUSY, "p", "s", "a") is BUSY
