from collections.abc import Sequence

import httpx

from services.api.turns import TurnView, turns
from services.core import events as ev
from services.core.records import MICRODOLLARS
from services.core.store import Draft, Lease
from tests.api.conftest import Api
from tests.core.submitted import accept_run, close_attempt, submit_attempt


def call(tokens: int = 100, cost: float = 0.25, seconds: float = 2.0) -> ev.LlmCall:
    return ev.LlmCall(
        call="c",
        model="anthropic/x",
        latency_ms=int(seconds * 1000),
        finish_reason="stop",
        cost_usd=cost,
        prompt_tokens=tokens,
        completion_tokens=10,
        total_tokens=tokens + 10,
        cache_read_tokens=tokens // 2,
    )


def told(*rows: tuple[int, float, ev.EventData]) -> list[TurnView]:
    events = [ev.Event("r", seq, time, turn, data) for seq, (turn, time, data) in enumerate(rows, start=1)]
    return list(turns(events))


def figures(rows: Sequence[TurnView], *names: str) -> list[tuple[object, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in rows]


QUIET = ev.Processing()
BASH = ev.ToolCall(tool="bash", arguments={}, tool_call_id="1")
WRITE = ev.ToolCall(tool="write", arguments={}, tool_call_id="2")
WRONG = ev.ToolOutput(tool="bash", tool_call_id="1", output="no", success=False)
FAILED = ev.LlmFailed(call="c", model="anthropic/x", failure="timeout", detail="", cost_usd=0.5)


def test_a_turn_lasts_until_the_next_begins_and_the_last_until_its_last_event() -> None:
    rows = told((0, 1.0, QUIET), (1, 10.0, call()), (1, 11.0, BASH), (2, 40.0, call()), (2, 43.5, WRITE))
    assert figures(rows, "turn", "started", "seconds", "tools") == [(1, 10.0, 30.0, "bash"), (2, 40.0, 3.5, "write")]


def test_what_a_turn_used_is_summed_and_what_the_run_has_spent_grows() -> None:
    rows = told(
        (1, 1.0, FAILED), (1, 2.0, call(tokens=100)), (1, 3.0, call(tokens=50)), (1, 4.0, WRONG), (2, 5.0, call())
    )
    assert figures(rows, "model_calls", "failed_calls", "failed_tools", "prompt_tokens", "cached_tokens") == [
        (2, 1, 1, 150, 75),
        (1, 0, 0, 100, 50),
    ]
    assert figures(rows, "cost_usd", "spent_usd", "model_seconds") == [(1.0, 1.0, 4.0), (0.25, 1.25, 2.0)]


def test_what_was_spent_before_the_first_turn_counts() -> None:
    assert figures(told((0, 1.0, FAILED), (1, 2.0, call())), "cost_usd", "spent_usd") == [(0.25, 0.75)]


def test_a_run_without_a_turn_has_no_row() -> None:
    assert told() == told((0, 1.0, QUIET)) == []


def test_the_turns_of_a_run_are_read_from_its_log(api: Api, http: httpx.Client) -> None:
    store = api.parts.store
    run = accept_run(store)
    assert http.get(f"/v1/runs/{run}/turns").json() == {"items": []}
    lease = store.claim(run, "worker", 30.0)
    assert isinstance(lease, Lease)
    for _ in range(3):
        request = ev.LlmRequest(call="c", model="m", reserved_microdollars=0, messages=1, prompt_sha256="")
        store.append(lease, store.state(run), Draft((request,)))
        store.append(lease, store.state(run), Draft((call(), BASH)))
    close_attempt(store, submit_attempt(store, run=run), cost_usd=2.0)
    rows = http.get(f"/v1/runs/{run}/turns").json()["items"]
    assert [(row["turn"], row["tools"]) for row in rows] == [(1, "bash"), (2, "bash"), (3, "bash")]
    assert rows[-1]["spent_usd"] == 2.75 == store.state(run).spend.microdollars / MICRODOLLARS
    assert http.get(f"/v1/runs/{run}/turns", params={"limit": 1}).json()["items"] == rows[-1:]


def test_another_tenants_turns_are_not_shown(api: Api) -> None:
    run = accept_run(api.parts.store)
    with api.client(tenant="other") as other:
        assert other.get(f"/v1/runs/{run}/turns").status_code == 404
