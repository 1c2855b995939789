"""`batch`: one of a sweep shows that it works before the rest is paid."""

import pytest

from services.core.observations import Progress
from services.worker.rules.batch import refuse
from services.worker.rules.facts import Asked, Earlier
from tests.worker.rules.cases import NOW, asked, earlier, facts

SECOND = asked("python train.py --lr 2", step="lr-2")


def first(status: str = "running", **fields: object) -> Earlier:
    return earlier("lr-1", status, "python train.py --lr 1", 120, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["submitted", "running"])
def test_the_rest_waits_for_the_first(status: str) -> None:
    text = refuse(facts(SECOND, first(status, started=NOW - 60)))

    assert text is not None
    assert "step lr-1 runs the same script (train.py)" in text
    assert "Wait for lr-1 with wait_for_steps" in text


@pytest.mark.parametrize(
    "before",
    [
        [first("succeeded")],
        [first(metrics=3)],
        [first(progress=Progress(fraction=0.01))],
        [first(started=NOW - 1_000)],
        [first("failed")],
        [first(smoke=True)],
        [first(evaluates=True)],
        [earlier("lr-1", "running", "python other.py", 120)],
        [first("submitted"), earlier("lr-0", "succeeded")],
    ],
    ids=["succeeded", "metrics", "progress", "long", "failed", "smoke", "evaluates", "other script", "one succeeded"],
)
def test_what_is_proven_or_no_batch_passes(before: list[Earlier]) -> None:
    assert refuse(facts(SECOND, *before)) is None


@pytest.mark.parametrize(
    ("wanted", "count", "passes"),
    [
        (asked("python train.py --lr 2", 30, step="a"), 1, True),
        (asked("python train.py --lr 2", 30, step="a"), 2, True),
        (asked("python train.py --lr 2", 30, step="a"), 3, False),
    ],
)
def test_what_the_others_cost_together_counts(wanted: Asked, count: int, passes: bool) -> None:
    others = [earlier(f"s{number}", "submitted", minutes=30) for number in range(count)]

    assert (refuse(facts(wanted, *others)) is None) is passes


def test_another_attempt_of_the_same_step_is_no_batch() -> None:
    assert refuse(facts(asked(step="lr-1"), first("running"))) is None
