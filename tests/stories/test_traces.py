"""The trace of a run that several processes had a part in."""

from collections import Counter

from services.core.lifecycle import Status
from services.core.spans import attempt_key, run_key, span_id, trace_id
from tests.servers import wait_until
from tests.stories.house import CLIENT_TRACE, House


def test_one_trace_holds_all_of_a_run_from_the_request_to_the_program(house: House) -> None:
    state = house.rest("shape-error")
    assert state.status is Status.SUCCEEDED, house.account("shape-error")
    trace = trace_id(state.run)
    last = {"run": 1, "attempt": 2, "runner": 2, "program": 2}

    def have_come() -> bool:
        """Each service sends what it has when it likes to."""
        come = Counter(one.name for one in house.collector.of(trace))
        return all(come[name] == count for name, count in last.items())

    wait_until(have_come, 30, "the spans of all services")
    spans = {one.id: one for one in house.collector.of(trace)}

    [root] = [one for one in spans.values() if not one.parent]
    assert (root.name, root.id) == ("run", f"{span_id(run_key(state.run)):016x}")
    assert all(one.parent in spans for one in spans.values() if one.parent)
    assert {"api", "worker", "controller", "runner"} <= {one.service for one in spans.values()}
    named = [one.name for one in spans.values()]
    assert named.count("turn") == named.count("chat scripted/shape-error") == state.turn
    [request] = [one for one in spans.values() if one.name == "POST /v1/runs"]
    assert request.links == ("-".join(CLIENT_TRACE.split("-")[1:3]),)
    for attempt in state.steps["train"].attempts:
        span = spans[f"{span_id(attempt_key(attempt.id)):016x}"]
        assert (span.error == "") == (attempt.status == "succeeded")
        [program] = [
            one for one in spans.values() if one.name == "program" and one.attributes["cohort.attempt"] == attempt.id
        ]
        assert program.attributes["process.exit.code"] == attempt.exit_code
        assert span.start <= program.start <= program.end <= span.end
    for one in spans.values():
        assert one.start <= one.end
        assert one.attributes.get("cohort.run", state.run) == state.run
