"""A run's events as a person sees them."""

from dataclasses import replace
from typing import Any

import pytest

from services.cli.calls import arguments_text
from services.cli.follow import Back, Ended, Item, Lost, Observed, Told, read_event
from services.cli.look import Look
from services.cli.view import View
from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.records import Diagnosis, Limits, PlanItem, Stage
from services.core.rules import Terms
from services.core.taxonomy import Failure, Owner

RUN = "rk3v9x2m4q8aa"


def told(data: ev.EventData, turn: int = 0, seq: int = 1) -> Told:
    return read_event(ev.Event(RUN, seq, 0.0, turn, data).wire())


def shown(*items: Item | ev.EventData, look: Look | None = None) -> list[str]:
    view = View(look or Look(width=80))
    told_items = [told(item) if isinstance(item, ev.EventData) else item for item in items]
    return [line.text for item in told_items for line in view.lines(item)]


def call(tool: str, arguments: dict[str, Any], call_id: str = "c1") -> ev.ToolCall:
    return ev.ToolCall(tool=tool, arguments=arguments, tool_call_id=call_id)


def output(tool: str, text: str, call_id: str = "c1", success: bool = True) -> ev.ToolOutput:
    return ev.ToolOutput(tool=tool, tool_call_id=call_id, output=text, success=success)


def finished(**changes: Any) -> ev.AttemptFinished:
    values: dict[str, Any] = {
        "step": "train",
        "attempt": f"{RUN}-train-2",
        "outcome": "succeeded",
        "exit_code": 0,
        "reason": "exited",
        "seconds": 21.3,
        "cost_usd": 0.0,
        "log_bytes": 12_345,
        "log_complete": True,
    }
    return ev.AttemptFinished.model_validate(values | changes)


SUBMITTED = ev.StepSubmitted(
    step="train",
    attempt=f"{RUN}-train-1",
    number=1,
    command="python train.py --out out",
    snapshot="0" * 64,
    uses=[],
    env={},
    deadline_seconds=600,
)

FULL = "0/4 nodes: no nvidia.com/gpu"
OUT_OF_MEMORY = Diagnosis(
    failure=Failure.OUT_OF_MEMORY,
    owner=Owner.RESOURCES,
    code="oom_container",
    summary="killed for its memory",
    remedy="ask for 6Gi",
)

TABLE: list[tuple[str, list[Item | ev.EventData], list[str]]] = [
    (
        "the goal opens the run",
        [ev.RunAccepted(tenant="t", goal="train it", model="scripted/digits", limits=Limits(), labels={}, snapshot="")],
        [f"● run {RUN}  scripted/digits", "  train it"],
    ),
    (
        "a rule that does not hold is said at once",
        [
            ev.RunAccepted(
                tenant="t",
                goal="train it",
                model="m",
                limits=Limits(),
                labels={},
                snapshot="",
                rules=Terms(waived={"smoke_test": "proven last week"}),
            )
        ],
        [f"● run {RUN}  m", "  train it", "  rule smoke_test is off: proven last week"],
    ),
    (
        "what a rule refuses and what is asked otherwise",
        [
            ev.RuleRefused(rule="seeds", step="train", text="long"),
            ev.RuleRefused(rule="evaluation_data", text="long"),
            ev.ModelChanged(source="a/x", target="b/y", why="no_model: gone"),
            ev.EffortDropped(model="a/x", effort="high", why="400"),
        ],
        [
            "● rule seeds refuses step train",
            "● rule evaluation_data refuses finish",
            "● goes on with b/y in place of a/x: no_model: gone",
            "● a/x refuses effort high and is asked without one: 400",
        ],
    ),
    (
        "streamed text is put together and shown by lines",
        [
            told(ev.AssistantChunk(content="I look at ")),
            told(ev.AssistantChunk(content="the data.\nThen I ")),
            told(ev.AssistantChunk(content="train.")),
            told(ev.AssistantStreamEnd()),
        ],
        ["I look at the data.", "Then I train."],
    ),
    (
        "half a line is not lost when the stream just ends",
        [told(ev.AssistantChunk(content="half a")), Ended("failed", 1)],
        ["half a"],
    ),
    (
        "a call shows what is done, an output its beginning",
        [call("bash", {"command": "python train.py"}), output("bash", "exit code 0\nepoch=1 loss=2.3\n")],
        ["› bash python train.py", "  exit code 0", "  epoch=1 loss=2.3"],
    ),
    (
        "a long output is cut and says so",
        [output("bash", "\n".join(f"line {number}" for number in range(100)))],
        [
            "  bash: line 0",
            *(f"  line {number}" for number in range(1, 6)),
            "  … 92 more lines",
            "  line 98",
            "  line 99",
        ],
    ),
    (
        "one line more than fits is shown rather than counted",
        [call("bash", {}), output("bash", "\n".join("abcdefghi"))],
        ["› bash", *(f"  {letter}" for letter in "abcdefghi")],
    ),
    (
        "outputs of parallel calls say whose they are",
        [
            call("read", {"path": "a.py"}, "c1"),
            call("read", {"path": "b.py"}, "c2"),
            output("read", "first", "c1"),
            output("read", "second", "c2"),
        ],
        ["› read a.py", "› read b.py", "  read: first", "  read: second"],
    ),
    (
        "a replacement is shown as what goes and what comes",
        [call("edit", {"path": "a.py", "old": "x = 1\n", "new": "x = 2\ny = 3\n"})],
        ["› edit a.py", "  - x = 1", "  + x = 2", "  + y = 3"],
    ),
    (
        "the fence around untrusted text is for the model",
        [output("step_log", "<evidence-0a1b> printed by a program\nloss 1\n</evidence-0a1b>")],
        ["  step_log: loss 1"],
    ),
    (
        "a failed call is marked",
        [call("edit", {"path": "a.py"}), output("edit", "no such text", success=False)],
        ["› edit a.py", "  edit ✗ failed", "  no such text"],
    ),
    (
        "the plan is a checklist, and its tool's answer says nothing new",
        [
            call("plan", {}),
            ev.PlanUpdate(
                plan=[
                    PlanItem(id="1", content="look at the data", status="completed"),
                    PlanItem(id="2", content="train", status="in_progress"),
                    PlanItem(id="3", content="evaluate", status="pending"),
                ]
            ),
            output("plan", "ok"),
        ],
        ["› plan", "  [x] look at the data", "  [>] train", "  [ ] evaluate"],
    ),
    (
        "a step's life",
        [
            SUBMITTED,
            ev.AttemptStarted(step="train", attempt=f"{RUN}-train-1"),
            finished(attempt=f"{RUN}-train-1", outcome="failed", exit_code=1, seconds=2.0),
            finished(),
        ],
        [
            "◆ step train, attempt 1 submitted  python train.py --out out",
            "◆ step train, attempt 1 runs",
            "✗ step train, attempt 1 failed after 2.0 s: exit code 1 (12.3 KB of log)",
            "✔ step train, attempt 2 succeeded after 21 s (12.3 KB of log)",
        ],
    ),
    (
        "a lost attempt says what is missing of its log",
        [finished(outcome="lost", exit_code=None, reason="shim_lost", gap_bytes=2048, log_complete=False)],
        ["✗ step train, attempt 2 lost after 21 s: shim_lost (12.3 KB of log, 2.0 KB of it lost)"],
    ),
    (
        "a platform's retry is told apart from the agent's",
        [SUBMITTED.model_copy(update={"cause": "infrastructure", "number": 2, "command": "x"})],
        ["◆ step train, attempt 2 submitted (again: infrastructure failed)  x"],
    ),
    (
        "a run that needs a human says how to answer",
        [ev.StatusChanged(source=Status.RUNNING, target=Status.NEEDS_HUMAN, reason=Reason.ASKED, detail="which data?")],
        ["● running → needs_human  which data?", f'  answer with: cohort message {RUN} "…"'],
    ),
    (
        "the end has its summary and its claims",
        [
            ev.RunFinished(
                status=Status.SUCCEEDED,
                reason=Reason.FINISHED,
                exit_code=0,
                summary="All done.\nSee card.md.",
                metrics={"val_accuracy": 0.98512, "epochs": 180},
            )
        ],
        ["", "● succeeded", "  All done.", "  See card.md.", "  epochs = 180", "  val_accuracy = 0.9851"],
    ),
    (
        "what a model call took",
        [
            ev.LlmCall(
                call="1",
                model="scripted/digits",
                latency_ms=812,
                finish_reason="stop",
                cost_usd=0.00123,
                prompt_tokens=1234,
                completion_tokens=56,
                total_tokens=1290,
                cache_read_tokens=1000,
            )
        ],
        ["  scripted/digits: 1,234 tokens in (1,000 cached), 56 out, $0.0012, 0.8 s"],
    ),
    (
        "a failed model call says when it is tried again",
        [ev.LlmFailed(call="1", model="m", failure="rate_limit", detail="slow down", cost_usd=0, retry_in_seconds=5)],
        ["✗ the model call failed: rate_limit: slow down; again in 5.0 s"],
    ),
    (
        "a message from a person",
        [ev.MessageReceived(message_id="1", content="use the\nsmall model", author="ci")],
        ["» ci", "  use the", "  small model"],
    ),
    (
        "the connection's fate",
        [Lost("the API closed the stream", 0.5), Back()],
        ["  the API closed the stream; trying again in 0.5 s", "  connected again"],
    ),
    (
        "the stages of an attempt, and what keeps it there",
        [
            ev.AttemptProgressed(step="train", attempt=f"{RUN}-train-1", stage=Stage.SCHEDULING, detail=FULL),
            ev.AttemptProgressed(step="train", attempt=f"{RUN}-train-1", stage=Stage.STARTING),
        ],
        [f"  step train, attempt 1: scheduling  {FULL}", "  step train, attempt 1: starting"],
    ),
    (
        "a failed attempt with what may help",
        [finished(outcome="failed", exit_code=137, reason=OUT_OF_MEMORY.summary, diagnosis=OUT_OF_MEMORY)],
        [
            "✗ step train, attempt 2 failed after 21 s: killed for its memory (12.3 KB of log)",
            "  out_of_memory, to be mended by resources",
            "  ask for 6Gi",
        ],
    ),
    ("events that only serve programs are not shown", [ev.Ready(tool_count=3), ev.Shutdown()], []),
]


@pytest.mark.parametrize(("items", "lines"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_person_sees(items: list[Item | ev.EventData], lines: list[str]) -> None:
    assert shown(*items) == lines


def test_each_turn_has_a_header_once() -> None:
    lines = shown(
        told(ev.AssistantMessage(content="one"), turn=1),
        told(call("bash", {"command": "ls"}), turn=1),
        told(ev.AssistantMessage(content="two"), turn=2),
    )
    assert [line for line in lines if "turn" in line] == ["── turn 1 " + "─" * 70, "── turn 2 " + "─" * 70]


def test_progress_is_one_live_line_with_the_loss() -> None:
    view = View(Look(width=81))
    seen = Observed("train", f"{RUN}-train-2", 0.5, "", 9.0, {"loss": 0.123456, "epoch": 90.0, "val_accuracy": 0.98})
    (line,) = view.lines(seen)
    assert line.live
    assert line.text == "◆ train  █████░░░░░  50%  epoch 90  loss 0.1235  val_accuracy 0.98  9.0 s to go"


def test_progress_remembers_metrics_that_come_apart() -> None:
    view = View(Look(width=120))
    first = Observed("train", f"{RUN}-train-1", metrics={"loss": 0.5, "epoch": 1.0})
    view.lines(first)
    (line,) = view.lines(replace(first, metrics={"epoch": 2.0}))
    assert line.text == "◆ train  epoch 2  loss 0.5"


def test_hostile_text_reaches_the_terminal_plain() -> None:
    evil = "\x1b[2Jgone\x07\u202e"
    lines = shown(
        ev.RunAccepted(tenant="t", goal=evil, model=evil, limits=Limits(), labels={}, snapshot=""),
        ev.AssistantMessage(content=evil),
        ev.AssistantChunk(content="\x1b["),
        ev.AssistantChunk(content="2Jhalf\n"),
        call("bash", {"command": evil, evil: evil}),
        output("bash", evil, success=False),
        ev.ToolLog(tool=evil, log=evil),
        ev.ErrorRaised(error=evil),
        ev.MessageReceived(message_id="1", content=evil, author=evil),
        ev.WorkspaceChanged(snapshot="", parent="", tool_call_id="", paths=[evil]),
        SUBMITTED.model_copy(update={"command": evil}),
        finished(reason=evil, diagnosis=OUT_OF_MEMORY.model_copy(update={"remedy": evil})),
        ev.AttemptProgressed(step="train", attempt=f"{RUN}-train-1", stage=Stage.PULLING, detail=evil),
        ev.LlmFailed(call="1", model=evil, failure=evil, detail=evil, cost_usd=0),
        Observed("train", f"{RUN}-train-1", 0.5, evil, None, {evil: 1.0}),
    )
    text = "".join(lines)
    assert not set(text) & set("\x1b\x07\u202e")
    assert "gone" in text


def test_colours_are_shown_only_where_there_are_any() -> None:
    error = ev.ErrorRaised(error="it broke")
    assert shown(error, look=Look(colour=True)) == ["\x1b[31m✗ it broke\x1b[0m"]
    assert shown(error, look=Look(colour=False)) == ["✗ it broke"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, ""),
        ({"path": "train.py", "content": "import numpy\nimport os\n"}, "train.py content=import numpy (+1 lines)"),
        ({"step": "train", "command": "python train.py"}, "python train.py step=train"),
        ({"seconds": 5, "steps": ["a", "b"]}, "a, b seconds=5"),
        ({"command": "x" * 100}, "x" * 39 + "…"),
    ],
)
def test_arguments_fit_on_one_line(arguments: dict[str, object], text: str) -> None:
    assert arguments_text(arguments, 40)[:60] == text
