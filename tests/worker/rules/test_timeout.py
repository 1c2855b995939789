"""`timeout`: a deadline is as long as the pace that was seen says."""

import pytest

from services.core.observations import Progress
from services.core.resources import Resources
from services.core.taxonomy import Failure
from services.worker.rules.facts import Asked, Earlier
from services.worker.rules.timeout import estimate_of, refuse
from tests.worker.rules.cases import NOW, OTHER, asked, earlier, facts

TENTH = Progress(fraction=0.1)


@pytest.mark.parametrize(
    ("before", "wanted", "seconds"),
    [
        (earlier(seconds=3000), asked(), 3000),
        (earlier(status="failed", seconds=600, progress=TENTH), asked(), 6000),
        (earlier(status="cancelled", seconds=600, progress=Progress(eta_seconds=900)), asked(), 1500),
        (earlier(status="running", started=NOW - 300, progress=TENTH), asked(), 3000),
        (earlier(seconds=3000, command="python train.py --epochs 10"), asked("python train.py --epochs 30"), 9000),
        (earlier(seconds=3000, command="python train.py --lr 1"), asked("python train.py --lr 2 --seed 3"), 3000),
        (earlier(seconds=3000, env={"COHORT_SEED": "0"}), asked(), 3000),
    ],
    ids=["succeeded", "fraction", "eta", "running", "in proportion", "free settings", "the platform's own"],
)
def test_what_ran_before_says_how_long_it_takes(before: Earlier, wanted: Asked, seconds: float) -> None:
    assert estimate_of(facts(wanted, before), before) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (earlier(seconds=3000, command="python other.py"), asked()),
        (earlier(seconds=3000, is_same=False), asked()),
        (earlier(seconds=3000, pool=OTHER), asked()),
        (earlier(seconds=3000, resources=Resources(gpus=8)), asked()),
        (earlier(seconds=3000, restores="c" * 64), asked()),
        (earlier(seconds=20, command="python train.py --smoke"), asked()),
        (earlier(seconds=20, command="python train.py --max_steps 10"), asked("python train.py --max_steps 9000")),
        (earlier(seconds=20, command="python train.py --model a"), asked("python train.py --model b")),
        (earlier(status="failed", seconds=600), asked()),
        (earlier(status="failed", seconds=600, progress=Progress(fraction=0.001)), asked()),
        (earlier(status="failed", seconds=5, progress=TENTH), asked()),
    ],
    ids=[
        "another script",
        "another version of it",
        "other GPUs",
        "more GPUs",
        "it resumed",
        "other settings",
        "mostly start-up",
        "another model",
        "no progress",
        "hardly any progress",
        "hardly any time",
    ],
)
def test_what_says_nothing_about_this_one_is_left_out(before: Earlier, wanted: Asked) -> None:
    assert estimate_of(facts(wanted, before), before) is None


def test_a_deadline_under_the_estimate_is_refused_with_the_estimate() -> None:
    before = earlier("train", "failed", seconds=1800, progress=TENTH)

    text = refuse(facts(asked(minutes=120), before))

    assert text is not None
    assert "needs about 300 minutes; give it deadline_minutes 375 or more" in text
    assert refuse(facts(asked(minutes=375), before)) is None


def late(**fields: object) -> Earlier:
    return earlier("train", "failed", minutes=30, **{"failure": Failure.DEADLINE, "seconds": 1800, **fields})  # type: ignore[arg-type]


def test_after_the_deadline_the_same_again_is_refused() -> None:
    text = refuse(facts(asked(minutes=30), late()))

    assert text is not None
    assert "stopped at its deadline of 30 minutes" in text
    assert "$COHORT_CHECKPOINT_DIR" in text


@pytest.mark.parametrize(
    ("wanted", "before"),
    [
        (asked(minutes=60), [late()]),
        (asked(minutes=30, resume=True), [late(checkpoint="c" * 64)]),
        (asked("python train.py --epochs 3", minutes=30), [late()]),
        (asked(minutes=30, resources=Resources(gpus=2)), [late()]),
        (
            asked(minutes=30),
            [late(), earlier("again", smoke=True, seconds=5, submitted=NOW, command="python train.py -s")],
        ),
        (asked(minutes=30), [late(failure=Failure.CODE_ERROR)]),
        (asked(minutes=5, smoke=True), [late()]),
    ],
    ids=["longer", "it resumes", "other settings", "more GPUs", "smoked since", "another failure", "a smoke test"],
)
def test_what_may_come_to_its_end_this_time_passes(wanted: Asked, before: list[Earlier]) -> None:
    assert refuse(facts(wanted, *before)) is None


def test_a_checkpoint_that_is_there_is_to_be_used() -> None:
    text = refuse(facts(asked(minutes=30), late(checkpoint="c" * 64)))

    assert text is not None
    assert "set resume" in text


def test_without_a_diagnosis_the_time_it_ran_tells() -> None:
    assert refuse(facts(asked(minutes=30), late(failure=None))) is not None
    assert refuse(facts(asked(minutes=30), late(failure=None, seconds=600))) is None
