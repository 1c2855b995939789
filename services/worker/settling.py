"""Settling what died unsettled: a tenant's account brought in line with the log of one of its runs.

Money is settled right after the outcome is on record. Whoever dies between the two leaves a hold behind, which would
count against the tenant's cap for ever.
"""

from services.core import events as ev
from services.core.ledger import Ledger
from services.core.records import MICRODOLLARS, RunState
from services.core.store import RunStore


def settle_leftovers(ledger: Ledger, store: RunStore, state: RunState) -> None:
    """Settle every hold of the run whose outcome is on record, and drop the others if the run is over.

    What is still under way (a pending model call, live attempts) is left alone.
    """
    left = set(ledger.holds(state.tenant, state.run)) - set(_under_way(state))
    if not left:
        return
    costs = _costs(store, state.run)
    for name in left:
        if name in costs or state.status.is_final:
            ledger.settle(state.tenant, name, costs.get(name, 0))


def _under_way(state: RunState) -> list[str]:
    pending = [f"model:{state.model_call.call}"] if state.model_call else []
    return pending + [f"step:{attempt.id}" for attempt in state.live_attempts()]


def _costs(store: RunStore, run: str) -> dict[str, int]:
    costs, after = {}, 0
    while batch := store.events(run, after):
        for event in batch:
            match event.data:
                case ev.LlmCall() | ev.LlmFailed():
                    costs[f"model:{event.data.call}"] = round(event.data.cost_usd * MICRODOLLARS)
                case ev.AttemptFinished():
                    costs[f"step:{event.data.attempt}"] = round(event.data.cost_usd * MICRODOLLARS)
        after = batch[-1].seq
    return costs
