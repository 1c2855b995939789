"""Appending to logs of 100 to 100,000 events: it must not matter how long a log is, nor that somebody counts."""

import time

from benchmarks.figures import Figure, figure
from benchmarks.stand import accepted, up
from services.core import events as ev
from services.core.appended import Appended
from services.core.lifecycle import Status
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.records import RunState
from services.core.store import Draft, Lease, RunStore

_LENGTHS = (100, 1_000, 10_000, 100_000)
_SAMPLES = 500
_FILL = 200


def measure() -> list[Figure]:
    with up() as stand:
        registry = Registry("worker")
        counting = Counting(registry, stand.store.client, Vocabulary(tools=("bench",)))
        store = RunStore(stand.store.client, stand.store.keys, Payloads(stand.artifacts), [counting])
        run = "rbenchappend0"
        store.create(run, "bench", accepted("turns=1", "echo"))
        lease = _take(store, run)
        state = store.state(run)
        state = store.append(lease, state, Draft((ev.StatusChanged(source=state.status, target=Status.RUNNING),))).state
        figures = []
        for length in _LENGTHS:
            while state.seq < length:
                filling = min(_FILL, length - state.seq)
                state = store.append(lease, state, Draft((ev.ToolLog(tool="bench", log="x" * 80),) * filling)).state
            samples = []
            for _ in range(_SAMPLES):
                output = ev.ToolOutput(tool="bench", tool_call_id="c", output="y" * 400, success=True)
                started = time.perf_counter()
                state = store.append(lease, state, Draft((output,))).state
                samples.append((time.perf_counter() - started) * 1000)
            figures.append(figure(f"append at {length:,} events", "ms", samples, bar=5, of="p99"))
        return [*figures, *_counting(counting, state)]


def _counting(counting: Counting, state: RunState) -> list[Figure]:
    """What it costs to count an event, without Redis."""
    call = ev.LlmCall(
        call="c",
        model="scripted/echo",
        latency_ms=900,
        finish_reason="stop",
        cost_usd=0.01,
        prompt_tokens=1000,
        completion_tokens=10,
        total_tokens=1010,
        first_token_ms=200,
    )
    figures = []
    for data in (ev.ToolOutput(tool="bench", tool_call_id="c", output="y", success=True), call):
        event = ev.Event(run=state.run, seq=state.seq, time=time.time(), turn=1, data=data)
        appended, samples = Appended(state, (event,), state), []
        for _ in range(_SAMPLES * 4):
            started = time.perf_counter()
            counting(appended)
            samples.append((time.perf_counter() - started) * 1e6)
        figures.append(figure(f"counting a {data.event_type}", "µs", samples, bar=50))
    return figures


def _take(store: RunStore, run: str) -> Lease:
    """A lease far longer than the measurement; the stack's own worker may have had it for a moment first."""
    while True:
        claimed = store.claim(run, "bench", 600)
        if isinstance(claimed, Lease):
            return claimed
        if claimed.why == "final":
            raise RuntimeError("the worker finished the run before it could be measured")
