"""When a run is told where its attempt stands."""

from typing import Any

import pytest

from services.core import events as ev
from services.core.notes import StepWarning
from services.core.observations import Warned
from services.core.records import Stage
from services.worker.controller.progress import progress_of, warned_of
from services.worker.executors import Observed, Phase
from tests.worker.states import CREATED, attempt, state_of, step_of, steps_of

FULL, FULLER = "0/4 nodes: insufficient nvidia.com/gpu", "0/5 nodes: insufficient nvidia.com/gpu"


def told(
    stage: Stage | None, detail: str = "", *, after: float = 0.0, known: Any = None
) -> ev.AttemptProgressed | None:
    one = attempt(status="submitted", **(known or {}))
    return progress_of(one, Observed(one.id, Phase.STARTING, stage=stage, detail=detail), CREATED + after)


def test_an_executor_without_stages_has_nothing_to_tell() -> None:
    assert told(None) is None


def test_a_new_stage_is_told_at_once() -> None:
    known = {"stage": Stage.SCHEDULING, "detail": FULL, "progressed": CREATED}

    assert told(Stage.PULLING, "image train:1", known=known) == ev.AttemptProgressed(
        step="train", attempt=attempt().id, stage=Stage.PULLING, detail="image train:1"
    )
    assert told(Stage.SCHEDULING, FULL) is not None


def test_what_is_on_record_is_not_told_again() -> None:
    known = {"stage": Stage.SCHEDULING, "detail": FULL, "progressed": CREATED}

    assert told(Stage.SCHEDULING, FULL, after=3600, known=known) is None


@pytest.mark.parametrize(
    ("progressed", "now", "is_told"),
    [(0.0, 1.9, False), (0.0, 2.1, True), (3600.0, 3610.0, False), (3600.0, 3800.0, True)],
)
def test_new_words_come_the_more_rarely_the_longer_it_waits(progressed: float, now: float, is_told: bool) -> None:
    known = {"stage": Stage.SCHEDULING, "detail": FULL, "progressed": CREATED + progressed}

    assert (told(Stage.SCHEDULING, FULLER, after=now, known=known) is not None) is is_told


def test_a_warning_is_told_once_for_each_step_and_kind() -> None:
    state = state_of(steps=steps_of(step_of("running")))
    one = state.steps["train"].last
    told = [Warned(kind="divergence", text="first"), Warned(kind="divergence", text="again"), Warned(kind="x", text="")]

    (event,) = warned_of(state, one, told)

    assert event == ev.AttemptWarned(step="train", attempt=one.id, kind="divergence", text="first")
    known = StepWarning(step="train", attempt="earlier", kind="divergence", text="")
    steps = {"train": state.steps["train"].model_copy(update={"warnings": (known,)})}
    assert warned_of(state.model_copy(update={"steps": steps}), one, told) == []
