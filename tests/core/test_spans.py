from services.core import events as ev
from services.core.appended import Appended
from services.core.fold import fold_all
from services.core.lifecycle import Reason, Status
from services.core.observations import FinishReport
from services.core.records import RunState, Stage
from services.core.research import Parent
from services.core.spans import Span, attempt_key, run_key, runner_spans, span_id, spans_of, trace_id, traceparent
from tests.core.examples import (
    CREATED,
    EMPTY,
    RUN,
    finished,
    llm_call,
    llm_failed,
    llm_request,
    moved,
    running,
    state_after,
    submitted,
    tool_call,
    tool_output,
)

Q, R, W, H, C = Status.QUEUED, Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING


class Log:
    """A run's log as it grows, and the spans it brought; times are seconds after the run was accepted."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.spans: list[Span] = []

    def append(self, after: float, *data: ev.EventData, turn: int = 0) -> list[Span]:
        events = tuple(
            ev.Event(RUN, self.state.seq + index, CREATED + after, max(turn, self.state.turn), one)
            for index, one in enumerate(data, start=1)
        )
        before, self.state = self.state, fold_all(self.state, events)
        new = list(spans_of(Appended(before, events, self.state)))
        self.spans += new
        return new


def times(span: Span) -> tuple[float, float]:
    return span.start - CREATED, span.end - CREATED


def test_ids_are_the_same_wherever_they_are_made_and_differ_by_name() -> None:
    assert trace_id("r1") == trace_id("r1") != trace_id("r2")
    assert span_id("run:r1") != span_id("run:r2")
    assert 0 < trace_id("r1") < 2**128 and 0 < span_id("x") < 2**64
    version, trace, span, flags = traceparent("r1", "attempt:r1-a-1").split("-")
    assert (version, flags) == ("00", "01")
    assert (int(trace, 16), int(span, 16)) == (trace_id("r1"), span_id("attempt:r1-a-1"))
    assert (len(trace), len(span)) == (32, 16)


def test_an_accepted_run_has_no_span_until_something_of_it_is_over() -> None:
    state = state_after()
    assert list(spans_of(Appended(None, (), state))) == []


def test_a_run_its_queue_its_turns_and_its_calls_are_spans_of_one_trace() -> None:
    log = Log(state_after())
    [queued] = log.append(5, moved(Q, R), ev.Ready(tool_count=1))
    assert (queued.name, times(queued), queued.parent) == ("queued", (0, 5), run_key(RUN))
    assert log.append(6, llm_request("c1"), turn=1) == []
    [chat] = log.append(8, llm_call("c1", cost_usd=0.5, prompt=10, completion=5), tool_call("t1", "bash"))
    assert (chat.name, chat.kind, times(chat)) == ("chat m", "client", (6, 8))
    assert chat.attributes["gen_ai.usage.input_tokens"] == 10
    assert chat.attributes["cohort.dollars"] == 0.5
    log.append(9, ev.ToolStateChange(tool_call_id="t1", tool="bash", state="running"))
    [tool] = log.append(12, tool_output("t1", "bash"))
    assert (tool.name, times(tool), tool.error) == ("execute_tool bash", (9, 12), "")
    [turn] = log.append(13, llm_request("c2"), turn=2)
    assert (turn.name, times(turn), turn.parent) == ("turn", (6, 12), run_key(RUN))
    assert chat.parent == tool.parent == turn.key
    assert {span.trace for span in log.spans} == {RUN}


def test_the_last_turn_ends_with_the_run_and_a_run_that_failed_is_an_error() -> None:
    log = Log(running())
    log.append(6, llm_request("c1"), turn=1)
    [failed] = log.append(7, llm_failed("c1"))
    assert failed.error == "timeout"
    [turn] = log.append(9, moved(R, C, Reason.MODEL_AUTH))
    assert (turn.name, times(turn)) == ("turn", (6, 9))
    [run] = log.append(10, moved(C, Status.FAILED, Reason.MODEL_AUTH))
    assert (run.name, run.key, run.parent, times(run)) == ("run", run_key(RUN), "", (0, 10))
    assert run.error == "model_auth"
    assert run.attributes["cohort.status"] == "failed"


def test_what_a_run_waits_for_is_a_span_and_so_is_how_long_a_person_took() -> None:
    log = Log(running())
    log.append(6, llm_request("c1"), turn=1)
    assert log.append(7, moved(R, W, Reason.WAITING_FOR_STEPS)) == []
    [waiting] = log.append(60, moved(W, R))
    assert (waiting.name, times(waiting)) == ("waiting", (7, 60))
    assert waiting.attributes["cohort.reason"] == "waiting_for_steps"
    [turn] = log.append(70, moved(R, H, Reason.ASKED))
    assert (turn.name, times(turn)) == ("turn", (6, 70))
    [asked] = log.append(700, moved(H, R))
    assert (times(asked), asked.attributes["cohort.status"]) == ((70, 700), "needs_human")
    assert log.append(701, llm_request("c2"), turn=2) == []


def test_the_stages_of_an_attempt_are_parts_of_it() -> None:
    log = Log(running())
    log.append(10, submitted("train"))
    attempt = log.state.steps["train"].last.id

    def progressed(stage: Stage, detail: str = "") -> ev.AttemptProgressed:
        return ev.AttemptProgressed(step="train", attempt=attempt, stage=stage, detail=detail)

    [first] = log.append(11, progressed(Stage.PULLING, "a large image"))
    [second] = log.append(31, progressed(Stage.RUNNING))
    assert log.append(31, ev.AttemptStarted(step="train", attempt=attempt)) == []
    last, whole = log.append(99, finished("train"))
    assert [(span.name, times(span)) for span in (first, second, last)] == [
        ("submitted", (10, 11)),
        ("pulling", (11, 31)),
        ("running", (31, 99)),
    ]
    assert second.attributes["cohort.detail"] == "a large image"
    assert (whole.name, whole.key, whole.parent) == ("attempt", attempt_key(attempt), run_key(RUN))
    assert times(whole) == (10, 99)
    assert {span.parent for span in (first, second, last)} == {whole.key}


def test_a_research_is_part_of_the_call_that_began_it() -> None:
    state = running().model_copy(update={"parent": Parent(run="r-parent", tool_call_id="t9")})
    log = Log(state)
    log.append(1, moved(R, C, Reason.CANCELLED_BY_USER))
    [run] = log.append(2, moved(C, Status.CANCELLED, Reason.CANCELLED_BY_USER))
    assert (run.name, run.trace, run.parent) == ("research", "r-parent", "tool:r-parent:t9")


def test_a_sidecars_report_is_how_long_it_and_its_program_were_at_work() -> None:
    report = FinishReport(exit_code=3, reason="exited", started=110.0, finished=120.0, bytes=0, sha256=EMPTY)
    runner, program = runner_spans("r1-train-1.2", "r1", 100.0, report, 121.0)
    assert (runner.name, runner.start, runner.end, runner.service) == ("runner", 100.0, 121.0, "runner")
    assert runner.parent == attempt_key("r1-train-1")
    assert (program.name, program.start, program.end, program.parent) == ("program", 110.0, 120.0, runner.key)
    assert (program.error, program.attributes["process.exit.code"]) == ("exited", 3)
    [alone] = runner_spans("r1-train-1", "r1", None, report.model_copy(update={"started": None}), 121.0)
    assert (alone.start, alone.end) == (121.0, 121.0)
