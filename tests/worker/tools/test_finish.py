"""`finish`: every claim is checked against what exists."""

import pytest

from services.worker.tools.tool import ToolError
from tests.worker.bench import Bench

MODEL = {"path": "model.pkl", "sha256": "a" * 64, "size": 3}


def trained(bench: Bench, *values: float, name: str = "accuracy") -> None:
    """A step that succeeded, having printed the values and kept a model."""
    attempt = bench.submit()
    bench.measure(attempt, name, *values)
    bench.close(attempt, outputs=[MODEL])


def refusal(bench: Bench, **claims: object) -> str:
    result = bench.use("finish", **{"summary": "Done.", **claims})
    assert not result.success and result.finished is None
    return result.text


def test_claims_that_hold_finish_the_run(bench: Bench) -> None:
    trained(bench, 0.91, 0.975)
    bench.put("card.md", "# A model")

    result = bench.use("finish", summary="Done.", metrics={"accuracy": 0.975}, artifacts=["train/model.pkl", "card.md"])

    assert result.finished is not None
    assert (result.finished.summary, result.finished.metrics) == ("Done.", {"accuracy": 0.975})
    files = {file.path: (file.sha256, file.size) for file in result.finished.artifacts}
    assert files["train/model.pkl"] == ("a" * 64, 3)
    assert files["card.md"][1] == len("# A model")


def test_a_summary_alone_is_enough(bench: Bench) -> None:
    assert bench.use("finish", summary="There was nothing to do.").finished is not None


@pytest.mark.parametrize("claimed", [0.97, 0.99, 0.0, 97.5, -0.975])
def test_a_value_nobody_printed_is_refused_with_the_one_that_was(bench: Bench, claimed: float) -> None:
    trained(bench, 0.91, 0.975)

    said = refusal(bench, metrics={"accuracy": claimed})

    assert f"metric 'accuracy': {claimed:g} was never printed; the last value printed is 0.975" in said


@pytest.mark.parametrize("value", [0.97222222222, 123456.789, 1.000005, 3.5e-9, -17.25, 0.0, 98765432.1])
def test_a_value_as_the_tools_showed_it_is_accepted(bench: Bench, value: float) -> None:
    trained(bench, value)
    shown = bench.use("step_metrics", step="train", name="accuracy").text
    claimed = float(next(line for line in shown.splitlines() if line.startswith("epoch=1")).rpartition(" ")[2])

    assert bench.use("finish", summary="Done.", metrics={"accuracy": claimed}).finished is not None


def test_a_tiny_value_is_not_taken_for_another(bench: Bench) -> None:
    trained(bench, 3.5e-9)

    assert "was never printed" in refusal(bench, metrics={"accuracy": 2.5e-7})


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("rows=2\n", True),
        ('{"rows": 2.0}\n', True),
        ("kept rows: 2 of 4\n", True),
        ("rows=2.5\n", False),
        ("rows=21\n", False),
        ("all_rows=2\n", False),
        ("2 rows\n", False),
        ("rows=2\n" + "x" * 70_000, False),
    ],
)
def test_a_result_that_is_no_series_is_looked_for_at_the_end_of_the_log(bench: Bench, line: str, holds: bool) -> None:
    attempt = bench.submit()
    bench.print(attempt, line.encode())
    bench.close(attempt)

    assert (bench.use("finish", summary="Done.", metrics={"rows": 2}).finished is not None) is holds


def test_a_metric_that_only_a_failed_attempt_printed_does_not_count(bench: Bench) -> None:
    attempt = bench.submit()
    bench.measure(attempt, "accuracy", 0.99)
    bench.close(attempt, "failed", exit_code=1)

    assert "metric 'accuracy': no step that succeeded has printed it" in refusal(bench, metrics={"accuracy": 0.99})


def test_any_attempt_that_succeeded_may_have_printed_it(bench: Bench) -> None:
    trained(bench, 0.975)
    attempt = bench.submit(number=2)
    bench.close(attempt, "failed", exit_code=1)

    assert bench.use("finish", summary="Done.", metrics={"accuracy": 0.975}).finished is not None


@pytest.mark.parametrize("path", ["model.pkl", "train/other.pkl", "eval/model.pkl", "../model.pkl", "/etc/passwd", ""])
def test_an_artifact_that_does_not_exist_is_refused(bench: Bench, path: str) -> None:
    trained(bench, 0.975)

    assert f"artifact {path!r} does not exist" in refusal(bench, artifacts=[path])


def test_outputs_of_a_failed_attempt_are_none(bench: Bench) -> None:
    bench.close(bench.submit(), "failed", exit_code=1, outputs=[MODEL])

    assert "does not exist" in refusal(bench, artifacts=["train/model.pkl"])


def test_the_newest_output_counts(bench: Bench) -> None:
    trained(bench, 0.9)
    bench.close(bench.submit(number=2), outputs=[{**MODEL, "sha256": "b" * 64}])

    finished = bench.use("finish", summary="Done.", artifacts=["train/model.pkl"]).finished

    assert finished is not None and finished.artifacts[0].sha256 == "b" * 64


def test_every_false_claim_is_named_at_once(bench: Bench) -> None:
    trained(bench, 0.975)

    said = refusal(bench, metrics={"accuracy": 1.0, "f1": 0.5}, artifacts=["a", "b"])

    assert said.startswith("not finished:\n- ")
    assert said.count("\n- ") == 4


def test_an_open_plan_is_questioned_twice_and_then_the_end(bench: Bench) -> None:
    items = [
        {"id": "1", "content": "train", "status": "completed"},
        {"id": "2", "content": "eval", "status": "pending"},
    ]
    bench.use("plan", items=items)

    first, second, third = [bench.use("finish", summary="Done.") for _ in range(3)]

    assert "the plan has an open item: eval" in first.text
    assert (first.incomplete, second.incomplete, third.incomplete) == ("", "", "the plan has an open item: eval")
    assert third.finished is None


def test_a_claim_that_was_questioned_and_then_holds_finishes_the_run(bench: Bench) -> None:
    refusal(bench, artifacts=["a"])
    refusal(bench, artifacts=["a"])
    bench.put("a", "now it is there")

    assert bench.use("finish", summary="Done.", artifacts=["a"]).finished is not None


def test_a_run_with_a_live_step_is_not_finished(bench: Bench) -> None:
    bench.submit("train")
    bench.submit("eval")

    with pytest.raises(ToolError) as refused:
        bench.use("finish", summary="Done.")
    assert str(refused.value) == "still running: train, eval; wait for them or cancel them before finishing"
