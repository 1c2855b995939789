"""What a scrape of the controller costs with ten thousand runs of fifty tenants, of which five hundred are not over."""

import time

import httpx

from benchmarks.figures import Figure, figure
from benchmarks.stand import Stand, accepted, up
from services.cli.home import read_json
from services.core import events as ev, keys as names
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.records import Wait
from services.core.redis import run_script
from services.core.store import Draft, Lease

_RUNS, _LIVE, _TENANTS = 10_000, 500, 50
_SCRAPES = 30


def measure() -> list[Figure]:
    # The workers of the stack must not take what waits to be counted.
    with up({"COHORT_WORKER_SLOTS": "1", "COHORT_SWEEP_SECONDS": "3600"}) as stand:
        for number in range(_RUNS):
            _fill(stand, number)
        urls = read_json(stand.stack.home.stack_file)["metrics"]
        _check(urls["controller"])
        figures = [figure("scrape of the controller at 10,000 runs", "ms", _scrapes(urls["controller"]), bar=50)]
        figures += [figure(f"scrape of the {part}", "ms", _scrapes(urls[part])) for part in ("worker", "api")]
        return figures


def _fill(stand: Stand, number: int) -> None:
    """A run of one of the tenants: one in twenty waits for a person, the others are over."""
    run, store, tenant = f"rscrape{number:06d}", stand.store, f"tenant-{number % _TENANTS}"
    if number < _TENANTS:
        run_script(store.client, "roster_join", [names.roster("tenants")], [tenant, _TENANTS])
        Ledger(store.client).set_cap(tenant, 100.0)
    store.create(run, "bench", accepted("wait", "ask").model_copy(update={"tenant": tenant}))
    while not isinstance(lease := store.claim(run, "bench", 30), Lease):
        time.sleep(0.01)
    state = store.state(run)
    begin = ev.StatusChanged(source=state.status, target=Status.RUNNING)
    if number % (_RUNS // _LIVE) == 0:
        park = ev.StatusChanged(source=Status.RUNNING, target=Status.NEEDS_HUMAN, reason=Reason.ASKED)
        draft = Draft((begin, park, ev.Parked(wait=Wait(kind="message"))))
    else:
        draft = Draft((begin, ev.StatusChanged(source=Status.RUNNING, target=Status.SUCCEEDED, reason=Reason.FINISHED)))
    store.append(lease, state, draft, release=True)


def _check(url: str) -> None:
    """Raises `RuntimeError` where the scrape does not tell of what is there: then its speed is worth nothing."""
    text = httpx.get(url, trust_env=False, timeout=30).text
    for line in (
        f'cohort_runs{{status="needs_human"}} {_LIVE}.0',
        f'cohort_tenant_dollars{{kind="cap",tenant="tenant-{_TENANTS - 1}"}} 100.0',
    ):
        if line not in text:
            raise RuntimeError(f"the scrape does not say {line}")


def _scrapes(url: str) -> list[float]:
    """Milliseconds of each."""
    samples = []
    with httpx.Client(trust_env=False, timeout=30) as client:
        client.get(url).raise_for_status()
        for _ in range(_SCRAPES):
            started = time.perf_counter()
            client.get(url).raise_for_status()
            samples.append((time.perf_counter() - started) * 1000)
    return samples
