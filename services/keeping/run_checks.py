"""What has to hold between a run's log, its fields and the indexes. Pure."""

from collections.abc import Iterator

from services.core.keys import Keys
from services.core.records import RunState
from services.keeping.facts import Facts
from services.keeping.findings import Finding, Kind

# A lease is renewed every few seconds: none reaches this far ahead but by a clock that was set back.
_LONGEST_LEASE_MS = 3_600_000


def ends_of_log(facts: Facts) -> Finding | None:
    """Whether the log begins at 1, ends at seq, and has as many entries: ids rise, so then none is missing."""
    expected = ("1-0", f"{facts.seq}-0", facts.seq)
    if facts.seq > 0 and (facts.first, facts.last, facts.length) == expected:
        return None
    text = (
        f"its log has {facts.length} events, from {facts.first or 'none'} to {facts.last or 'none'}; seq is {facts.seq}"
    )
    return Finding(Kind.LOG, facts.run, text)


def placed(facts: Facts, state: RunState, keys: Keys, now_ms: int) -> Iterator[Finding]:
    """What is wrong with the run's fields and indexes. `state` is the fold of its log."""
    if facts.fields.get("status") != state.status:
        yield Finding(
            Kind.STATUS, facts.run, f"its status is {facts.fields.get('status')}, its log says {state.status}"
        )
    if facts.fields.get("tenant") != state.tenant:
        yield Finding(Kind.LOG, facts.run, f"its tenant is {facts.fields.get('tenant')}, its log says {state.tenant}")
    yield from listed(facts, state, keys)
    yield from _due(facts, state)
    yield from _over(facts, state)
    yield from _lease(facts, now_ms)


def expected_listings(state: RunState, keys: Keys) -> dict[str, float]:
    """Where a run that stands so is listed, with its score."""
    listing, tag = keys.researches if state.parent else keys.tenant, keys.tag(state.run)
    created = float(int(state.created * 1000))
    return {listing(tag, state.tenant): created, listing(tag, state.tenant, state.status): created}


def listed(facts: Facts, state: RunState, keys: Keys) -> Iterator[Finding]:
    """Where the listings and the run disagree."""
    expected = expected_listings(state, keys)
    for key in sorted(expected.keys() - facts.listed.keys()):
        yield Finding(Kind.INDEX, facts.run, f"{key} does not list it")
    for key in sorted(facts.listed.keys() - expected.keys()):
        yield Finding(Kind.INDEX, facts.run, f"{key} lists it, and should not")
    for key in sorted(expected.keys() & facts.listed.keys()):
        if facts.listed[key] != expected[key]:
            yield Finding(
                Kind.INDEX, facts.run, f"{key} lists it at {facts.listed[key]:.0f}, not at {expected[key]:.0f}"
            )


def _due(facts: Facts, state: RunState) -> Iterator[Finding]:
    is_due = facts.due is not None
    never = facts.fields.get("wake_at") == "0"
    if not state.status.is_final and not is_due and not (never and state.status.is_parked):
        yield Finding(Kind.DUE, facts.run, f"it is {state.status} and not due")


def _over(facts: Facts, state: RunState) -> Iterator[Finding]:
    is_noted = facts.ended is not None or facts.archived is not None
    if state.status.is_final and not is_noted:
        yield Finding(Kind.UNARCHIVED, facts.run, "it is over, and neither archived nor to be archived")
    if not state.status.is_final and is_noted:
        yield Finding(Kind.INDEX, facts.run, "it is on the list of runs that are over, and is not")


def _lease(facts: Facts, now_ms: int) -> Iterator[Finding]:
    try:
        until, generation = float(facts.fields["lease_until"]), int(facts.fields["generation"])
    except (KeyError, ValueError):
        yield Finding(Kind.LEASE, facts.run, "its lease cannot be read")
        return
    if generation < 0 or until > now_ms + _LONGEST_LEASE_MS:
        yield Finding(Kind.LEASE, facts.run, f"its lease, of generation {generation}, ends only at {until:.0f} ms")
