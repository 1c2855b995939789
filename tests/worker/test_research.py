"""What a research may use of what its run has left."""

import pytest

from services.core.errors import BudgetSpent
from services.core.records import Limits, Spend
from services.worker.research import ResearchTerms, limits_of, research_id
from tests.worker.states import state_of

TERMS = ResearchTerms(turns=5, minutes=10, tokens=1_000)


@pytest.mark.parametrize(
    ("limits", "spend", "own", "tokens", "dollars"),
    [
        (Limits(), Spend(), None, 1_000, None),
        (Limits(), Spend(), 2.0, 1_000, 2.0),
        (Limits(dollars=3), Spend(), None, 1_000, 1.5),
        (Limits(dollars=3), Spend(), 2.0, 1_000, 1.5),
        (Limits(dollars=3), Spend(), 1.0, 1_000, 1.0),
        (Limits(dollars=3), Spend(microdollars=1_000_000, holds={"a": 500_000}), None, 1_000, 0.75),
        (Limits(tokens=10_000), Spend(), None, 1_000, None),
        (Limits(tokens=1_000), Spend(prompt_tokens=400, completion_tokens=100), None, 250, None),
    ],
)
def test_a_research_gets_half_of_what_is_left_and_no_more_than_its_own(
    limits: Limits, spend: Spend, own: float | None, tokens: int, dollars: float | None
) -> None:
    terms = ResearchTerms(turns=5, minutes=10, tokens=1_000, dollars=own)

    found = limits_of(state_of(limits=limits, spend=spend), terms)

    assert found == Limits(turns=5, minutes=10, tokens=tokens, dollars=dollars)


@pytest.mark.parametrize(
    ("limits", "spend"),
    [
        (Limits(dollars=1), Spend(microdollars=1_000_000)),
        (Limits(dollars=1), Spend(holds={"a": 999_999})),
        (Limits(tokens=100), Spend(prompt_tokens=99)),
        (Limits(tokens=100), Spend(prompt_tokens=150)),
    ],
)
def test_who_has_nothing_left_has_nothing_found_out(limits: Limits, spend: Spend) -> None:
    with pytest.raises(BudgetSpent, match="too little left"):
        limits_of(state_of(limits=limits, spend=spend), TERMS)


def test_the_same_call_has_the_same_research_and_another_has_another() -> None:
    assert research_id("r1", "call_1_0") == research_id("r1", "call_1_0")
    assert len({research_id(run, call) for run in ("r1", "r2") for call in ("call_1_0", "call_1_1")}) == 4
