"""Runs with live attempts, as the store has them once the agent has submitted a step."""

from services.core import events as ev
from services.core.keys import attempt_id, new_run_id, run_of_attempt, step_of_attempt
from services.core.records import Limits
from services.core.resources import Resources
from services.core.store import Draft, RunStore

EMPTY = "0" * 64


def accept_run(store: RunStore, tenant: str = "acme", goal: str = "train a model", **fields: object) -> str:
    """A queued run; returns its id."""
    run = new_run_id()
    values: dict[str, object] = {"model": "m", "limits": Limits(), "labels": {}, "snapshot": EMPTY, **fields}
    accepted = ev.RunAccepted.model_validate({"tenant": tenant, "goal": goal, **values})
    store.create(run, "hash", accepted)
    return run


def submit_attempt(
    store: RunStore, step: str = "train", run: str = "", number: int = 1, nodes: int = 1, **fields: object
) -> str:
    """A live attempt, of a new run if none is named; returns its id."""
    run = run or accept_run(store)
    attempt = attempt_id(run, step, number)
    values: dict[str, object] = {
        "step": step,
        "attempt": attempt,
        "number": number,
        "command": "python train.py",
        "snapshot": EMPTY,
        "uses": [],
        "env": {},
        "deadline_seconds": 60.0,
        "resources": Resources(nodes=nodes),
        **fields,
    }
    submitted = ev.StepSubmitted.model_validate(values)
    store.record(run, f"submitted:{attempt}", lambda _: Draft((submitted,)))
    return attempt


def close_attempt(store: RunStore, attempt: str, outcome: str = "succeeded", **fields: object) -> None:
    """End an attempt in its run's log."""
    values: dict[str, object] = {
        "step": step_of_attempt(attempt),
        "attempt": attempt,
        "outcome": outcome,
        "exit_code": 0,
        "reason": "exited",
        "seconds": 1.0,
        "cost_usd": 0.0,
        "log_bytes": 0,
        "log_complete": True,
        **fields,
    }
    finished = ev.AttemptFinished.model_validate(values)
    store.record(run_of_attempt(attempt), f"finished:{attempt}", lambda _: Draft((finished,)))
