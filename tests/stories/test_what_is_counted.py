"""What Prometheus is told of a house full of stories: as much as their logs say, added up over all processes."""

import time
from collections import Counter
from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.cli.home import read_json
from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import RunState
from tests.architecture.test_monitoring import declared
from tests.servers import wait_until
from tests.stories.house import House

Values = Mapping[tuple[str, ...], float]
# Seconds and dollars are added up in another order there.
NEARLY = 1e-6


def scraped(house: House, *parts: str) -> Values:
    """The sums over these parts, by name and the labels' values in the order of the labels' names."""
    found: Counter[tuple[str, ...]] = Counter()
    for part, url in read_json(house.home.stack_file)["metrics"].items():
        if part in parts:
            text = httpx.get(url, trust_env=False, timeout=30).text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    labels = (sample.labels[label] for label in sorted(sample.labels))
                    found[sample.name.removeprefix("cohort_"), *labels] += sample.value
    return found


def said(logs: list[list[ev.EventData]], states: list[RunState]) -> Values:
    """The same from the event logs, one event at a time."""
    found: Counter[tuple[str, ...]] = Counter()
    for events, state in zip(logs, states, strict=True):
        found["turns_total",] += state.turn
        for event in events:
            found["events_total", event.event_type] += 1
            _count(found, event, state)
    return found


def _count(found: Counter[tuple[str, ...]], event: ev.EventData, state: RunState) -> None:  # noqa: C901, a table
    match event:
        case ev.RunAccepted():
            found["runs_submitted_total", event.tenant] += 1
        case ev.StatusChanged() if event.target.is_final:
            found["runs_ended_total", event.reason, event.target] += 1
            found["run_seconds_count", event.target] += 1
        case ev.StatusChanged() if event.source is Status.QUEUED:
            found["run_queue_seconds_count",] += 1
        case ev.LlmCall():
            found["model_calls_total", event.model, "ok"] += 1
            found["model_tokens_total", "prompt", event.model] += event.prompt_tokens
            found["model_tokens_total", "completion", event.model] += event.completion_tokens
            found["model_tokens_total", "cache_read", event.model] += event.cache_read_tokens
            found["model_tokens_total", "cache_write", event.model] += event.cache_creation_tokens
        case ev.ToolOutput():
            found["tool_calls_total", "ok" if event.success else "error", event.tool] += 1
        case ev.RuleRefused():
            found["rules_refused_total", event.rule] += 1
        case ev.AgentNudged():
            found["agent_nudges_total",] += 1
        case ev.CompletionQuestioned():
            found["completions_questioned_total",] += 1
        case ev.StepSubmitted():
            found["steps_submitted_total", event.cause, event.pool] += 1
        case ev.AttemptWarned():
            found["attempt_warnings_total", event.kind] += 1
        case ev.AttemptFinished():
            _count_end(found, event, state)


def _count_end(found: Counter[tuple[str, ...]], event: ev.AttemptFinished, state: RunState) -> None:
    attempt = next(one for one in state.steps[event.step].attempts if one.id == event.attempt)
    found["attempts_ended_total", event.outcome, attempt.pool] += 1
    found["attempt_seconds_sum", event.outcome, attempt.pool] += event.seconds
    found["step_dollars_total", attempt.pool, state.tenant] += event.cost_usd
    found["log_gap_bytes_total",] += event.gap_bytes
    if event.outcome in {"failed", "lost"}:
        failure = event.diagnosis.failure if event.diagnosis else "unknown"
        found["attempt_failures_total", failure] += 1
    # Whatever it was on the way, each has come to run.
    found["attempt_stage_seconds_count", attempt.pool, "to_running"] += event.seconds > 0


def test_all_parts_together_have_counted_what_the_logs_say(house: House) -> None:
    for story in list(house.runs):
        house.rest(story)

    def differences() -> dict[tuple[str, ...], tuple[float, float]]:
        states = [house.state(story) for story in house.runs]
        expected = said([house.events(story) for story in house.runs], states)
        counted = scraped(house, "api", "worker", "controller")
        names = {name for name, *_ in expected}
        keys = expected.keys() | {key for key in counted if key[0] in names}
        pairs = {key: (expected.get(key, 0.0), counted.get(key, 0.0)) for key in keys}
        return {key: (one, other) for key, (one, other) in pairs.items() if abs(one - other) > NEARLY}

    # Whatever is still to come of a run that rests comes within moments.
    end = time.monotonic() + 20
    wait_until(lambda: not differences() or time.monotonic() > end, 60, pause=0.5)
    assert differences() == {}


def test_the_state_that_is_told_is_that_of_the_runs(house: House) -> None:
    states = [house.rest(story) for story in list(house.runs)]
    live = Counter(state.status for state in states if not state.status.is_final)
    wait_until(lambda: scraped(house, "controller")["runs_unarchived",] == 0, 60, "all that ended is archived")
    told = scraped(house, "controller")
    for status in (Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING):
        assert told["runs", status] == told["tenant_runs", status, "local"] == live[status], status
    assert told["attempts_live",] == sum(len(state.live_attempts()) for state in states)
    assert told["runs_ready",] == told["runs_due_lag_seconds",] == 0
    assert told["redis_up",] == told["redis_aof_ok",] == told["controller_leading",] == 1
    assert told["archived_runs_total",] == sum(state.status.is_final for state in states)


def test_the_log_of_every_program_arrived_with_its_lag_measured(house: House) -> None:
    for story in list(house.runs):
        house.rest(story)
    told = scraped(house, "api")
    assert told["log_lag_seconds_count",] > len(house.runs)
    assert 0 <= told["log_lag_seconds_sum",] / told["log_lag_seconds_count",] < 60
    assert told["log_ingest_bytes_total",] > 0
    assert told["observations_total", "metrics"] > 0


def test_every_series_of_a_part_is_in_its_scrape(house: House) -> None:
    house.play("healthy")
    urls = read_json(house.home.stack_file)["metrics"]
    for part, series in declared().items():
        text = httpx.get(urls[part], trust_env=False, timeout=30).text
        helps = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")}
        expected = {one.name for one in series if not one.name.startswith("cohort_kubernetes_")}
        assert expected <= helps, part
