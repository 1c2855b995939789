import json
import subprocess
import sys

import pytest

from services.core.errors import BadRequest
from services.core.settings import SharedSettings
from services.core.spans import Span, span_id, trace_id
from services.core.traced import traced
from services.core.tracing import Tracing
from tests.collector import Collector
from tests.servers import bound_to_us, free_port


def span(run: str = "r1", **more: object) -> Span:
    return Span(trace=run, key=f"run:{run}", parent="", name="run", start=100.0, end=101.5, **more)  # type: ignore[arg-type]


def test_a_span_arrives_as_it_was_said() -> None:
    link = f"00-{'a' * 32}-{'b' * 16}-01"
    with Collector() as collector:
        tracing = Tracing(collector.url, {"x-scope": "a team"}, "worker", 1.0)
        tracing.send(span(error="timeout", attributes={"cohort.turns": 3}, link=link, kind="server"))
        tracing.send(Span("r1", "turn:r1:1", "run:r1", "turn", 100.0, 100.5, service="runner"))
        tracing.close()
    [run, turn] = collector.spans
    assert (run.service, run.name, run.error, run.attributes) == ("worker", "run", "timeout", {"cohort.turns": 3})
    assert (run.trace, run.id, run.parent) == (f"{trace_id('r1'):032x}", f"{span_id('run:r1'):016x}", "")
    assert (run.start, run.end) == (100_000_000_000, 101_500_000_000)
    assert run.links == (f"{'a' * 32}-{'b' * 16}",)
    assert (turn.service, turn.trace, turn.parent) == ("runner", run.trace, run.id)
    assert collector.headers[0]["x-scope"] == "a team"


def test_a_part_of_the_runs_is_traced_whole_and_the_same_by_every_process() -> None:
    runs = [f"r{number}" for number in range(400)]
    with Collector() as collector:
        for service in ("api", "worker"):
            tracing = Tracing(collector.url, {}, service, 0.25)
            for run in runs:
                tracing.send(span(run))
            tracing.close()
    by_service = {
        service: {one.trace for one in collector.spans if one.service == service} for service in ("api", "worker")
    }
    assert by_service["api"] == by_service["worker"]
    assert 60 < len(by_service["api"]) < 140


def test_a_collector_that_is_away_costs_a_log_line_that_names_no_secret() -> None:
    program = f"""
from services.core.logging import configure
from services.core.spans import Span
from services.core.tracing import Tracing
configure("worker", "info", "json")
tracing = Tracing("http://127.0.0.1:{free_port()}/v1/traces", {{"authorization": "hunter2"}}, "worker", 1.0)
tracing.send(Span("r1", "run:r1", "", "run", 1.0, 2.0))
tracing.close()
print("went on")
"""
    command = bound_to_us([sys.executable, "-c", program])
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "went on\n"
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    assert any("export" in line["event"] for line in told)
    assert "hunter2" not in ended.stderr


def test_nothing_is_sent_and_nothing_imported_unless_an_address_is_set() -> None:
    with traced(SharedSettings(), "worker") as spans:
        assert spans.onlookers == ()
        spans.trace(span())


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"traces_url": "collector:4318"}, "COHORT_TRACES_URL"),
        ({"traces_url": "ftp://collector"}, "COHORT_TRACES_URL"),
        ({"traces_url": "http://collector:4318/v1/traces", "traces_headers": "hunter2"}, "COHORT_TRACES_HEADERS"),
    ],
)
def test_an_address_or_a_header_that_is_none_is_refused_at_the_start(settings: dict[str, str], field: str) -> None:
    with pytest.raises(BadRequest) as refused, traced(SharedSettings(**settings), "worker"):  # type: ignore[arg-type]
        pass
    assert refused.value.field == field
    assert "hunter2" not in str(refused.value)
