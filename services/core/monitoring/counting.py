"""Counting what this process appends to the runs' logs, whichever process of the install it is."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from services.core import events as ev
from services.core.appended import Appended
from services.core.early_warnings import Kind as Warning
from services.core.events import KINDS
from services.core.lifecycle import FINAL, Reason, Status, ending
from services.core.monitoring import run_series as of
from services.core.monitoring.instruments import Counter, Histogram, Registry, Starts
from services.core.monitoring.rosters import Roster
from services.core.monitoring.series import OTHER, Kind, Series
from services.core.monitoring.tally import BEFORE_RUNNING, ERROR, OK, TO_RUNNING, TOKENS, UNDIAGNOSED, tally
from services.core.redis import Client
from services.core.rules import Rule
from services.core.taxonomy import Failure

OUTCOMES = ("succeeded", "failed", "cancelled", "lost")
WASTED = tuple(outcome for outcome in OUTCOMES if outcome != "succeeded")
# Why runs end that do not finish. For what they wait or ask, none ends; and a research that ends with its parent is no
# goal.
_ENDS = tuple(
    reason
    for reason in Reason
    if reason
    not in {
        Reason.NONE,
        Reason.FINISHED,
        Reason.ASKED,
        Reason.WAITING_FOR_STEPS,
        Reason.WAITING_FOR_RESEARCH,
        Reason.WAITING_FOR_MODEL,
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.PARENT_ENDED,
    }
)
# Failures of a call that may mean that there is no such model: its name is anybody's invention then.
_STRANGE = frozenset({"no_model", "refused"})


@dataclass(frozen=True)
class Vocabulary:
    """The names this process knows: the pools of the file, the agent's tools, the classes of a model's failures. What
    is none of them counts as `other`."""

    pools: Collection[str] = ()
    tools: Collection[str] = ()
    failures: Collection[str] = ()


class Counting:
    """An `Onlooker` that counts. Threads may share it."""

    def __init__(self, registry: Registry, client: Client, vocabulary: Vocabulary) -> None:
        starts = _starts(registry.service, vocabulary)
        self._instruments: dict[Series, Counter | Histogram] = {
            series: _instrument(registry, series, starts.get(series, ())) for series in of.ALL
        }
        self._tenants = Roster(client, "tenants")
        self._models = Roster(client, "models")
        self._started: set[str] = set()
        self._results = (OK, *vocabulary.failures)
        self._bounds = {
            "tenant": self._tenants.label,
            "model": self._models.seen,
            "pool": _among(vocabulary.pools),
            "tool": _among(vocabulary.tools),
            "result": _among((*self._results, ERROR)),
            "rule": _among(Rule),
            "kind": _among((*TOKENS, *Warning)),
        }

    def __call__(self, appended: Appended) -> None:
        for event in appended.events:
            self._meet(event.data)
        for series, labels, amount in tally(appended):
            instrument = self._instruments[series]
            if labels:
                instrument = instrument.labels(*map(self._bounded, series.labels, labels))
            if isinstance(instrument, Counter):
                instrument.inc(amount)
            else:
                instrument.observe(amount)

    def _bounded(self, label: str, value: str) -> str:
        bound = self._bounds.get(label)
        return value if bound is None else bound(value)

    def _meet(self, data: ev.EventData) -> None:
        """Give a model that there is a place of its own while there is one, and its series a start at 0."""
        if not isinstance(data, ev.LlmCall | ev.LlmFailed):
            return
        if isinstance(data, ev.LlmFailed) and data.failure in _STRANGE:
            return
        label = self._models.label(data.model)
        if label in self._started:
            return
        self._started.add(label)
        for result in self._results:
            self._instruments[of.MODEL_CALLS].labels(label, result)
        for kind in TOKENS:
            self._instruments[of.MODEL_TOKENS].labels(label, kind)


def _instrument(registry: Registry, series: Series, starts: Starts) -> Counter | Histogram:
    return registry.counter(series, starts) if series.kind is Kind.COUNTER else registry.histogram(series, starts)


def _among(values: Iterable[str]) -> Callable[[str], str]:
    known = frozenset(values)
    return lambda value: value if value in known else OTHER


def _starts(part: str, known: Vocabulary) -> Mapping[Series, Starts]:
    """What is there from the start, of what this part of the install appends."""
    events: dict[Series, Starts] = {of.EVENTS: [(kind,) for kind in KINDS]}
    match part:
        case "worker":
            return events | {
                of.RUNS_ENDED: [(Status.SUCCEEDED, Reason.FINISHED), *((ending(reason), reason) for reason in _ENDS)],
                of.RUN_SECONDS: [(status,) for status in FINAL],
                of.TOOL_CALLS: product(known.tools, (OK, ERROR)),
                of.RULES_REFUSED: [(rule,) for rule in Rule],
                of.STEPS_SUBMITTED: product(known.pools, ("agent",)),
            }
        case "controller":
            return events | {
                of.STEPS_SUBMITTED: product(known.pools, ("infrastructure",)),
                of.ATTEMPTS_ENDED: product(known.pools, OUTCOMES),
                of.ATTEMPT_FAILURES: [
                    *((failure,) for failure in Failure if failure is not Failure.NONE),
                    (UNDIAGNOSED,),
                ],
                of.ATTEMPT_SECONDS: product(known.pools, OUTCOMES),
                of.ATTEMPT_STAGE_SECONDS: product(known.pools, (*sorted(BEFORE_RUNNING), TO_RUNNING)),
                of.ATTEMPT_WARNINGS: [(kind,) for kind in Warning],
                of.GPU_WASTED_SECONDS: product(known.pools, WASTED),
            }
        case _:
            return events
