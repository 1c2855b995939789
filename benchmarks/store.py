"""Appending to logs of 100 to 100,000 events: it must not matter how long a log is."""

import time

from benchmarks.figures import Figure, figure
from benchmarks.stand import accepted, up
from services.core import events as ev
from services.core.lifecycle import Status
from services.core.store import Draft, Lease, RunStore

_LENGTHS = (100, 1_000, 10_000, 100_000)
_SAMPLES = 500
_FILL = 200


def measure() -> list[Figure]:
    with up() as stand:
        store = stand.store
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
        return figures


def _take(store: RunStore, run: str) -> Lease:
    """A lease far longer than the measurement; the stack's own worker may have had it for a moment first."""
    while True:
        claimed = store.claim(run, "bench", 600)
        if isinstance(claimed, Lease):
            return claimed
        if claimed.why == "final":
            raise RuntimeError("the worker finished the run before it could be measured")
