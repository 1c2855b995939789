"""What the demo makes of a run's end. The demo itself is played in tests/e2e."""

from pathlib import Path

import pytest

from services.cli.demo import GOAL, Outcome, goal, summary_lines
from services.cli.look import Look
from services.core.lifecycle import Reason, Status
from services.core.records import Limits, RunState, Spend


def outcome(status: Status, accuracy: float | None, why: str = "", result: Path = Path("/nowhere")) -> Outcome:
    reason = Reason.FINISHED if status is Status.SUCCEEDED else Reason.NONE
    state = RunState(
        run="r1",
        tenant="local",
        goal=GOAL,
        model="scripted/digits",
        limits=Limits(),
        status=status,
        reason=reason,
        created=0.0,
        updated=50.0,
        ended=50.0,
        turn=28,
        snapshot="",
        input_snapshot="",
        spend=Spend(prompt_tokens=1000, completion_tokens=20),
    )
    return Outcome(state, accuracy, why, 360, result)


@pytest.mark.parametrize(
    ("status", "accuracy", "code"),
    [
        (Status.SUCCEEDED, 0.98, 0),
        (Status.SUCCEEDED, 0.97, 0),
        (Status.SUCCEEDED, 0.969, 1),
        (Status.SUCCEEDED, None, 1),
        (Status.FAILED, 0.99, 1),
        (Status.CANCELLED, None, 4),
        (Status.TIMED_OUT, None, 5),
        (Status.NEEDS_HUMAN, None, 7),
    ],
)
def test_only_a_good_model_of_a_run_that_succeeded_counts(status: Status, accuracy: float | None, code: int) -> None:
    assert outcome(status, accuracy).exit_code == code


def test_the_summary_names_the_scripted_model_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text("")
    text = "\n".join(summary_lines(outcome(Status.SUCCEEDED, 0.98888, result=tmp_path), Look()))
    assert "accuracy    98.89 % on 360 images that the run has not seen (97 % asked for)" in text
    assert "scripted/digits: a scripted playbook, not a language model" in text
    assert "1,000 in, 20 out; cost $0.0000" in text
    assert f"trace       {tmp_path}/trace.jsonl" in text
    assert "model card" not in text


def test_the_summary_says_why_nothing_was_measured() -> None:
    text = "\n".join(summary_lines(outcome(Status.FAILED, None, "the run delivered no model"), Look()))
    assert "accuracy    not measured: the run delivered no model" in text


def test_the_goal_asks_for_what_is_checked() -> None:
    asked = goal(Path("x.npz"))
    assert asked.text.startswith("train a classifier on the digits data set to at least 97 % test accuracy\n")
    assert asked.inputs == (("data/digits-train.npz", Path("x.npz")),)
    assert asked.model == "scripted/digits"
