"""Where an attempt stands, in words."""

from typing import Any

import pytest

from services.core.attempts import AttemptRecord
from services.core.observations import FinishReport, Progress
from services.core.records import Attempt, Stage
from services.core.standing import Standing, stage_text, standing_of
from tests.core.examples import CREATED, EMPTY

FULL = "0/4 nodes: insufficient nvidia.com/gpu"


def attempt(status: str = "submitted", **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "id": "r00000000001-train-1",
        "number": 1,
        "status": status,
        "command": "python train.py",
        "snapshot": EMPTY,
        "deadline_seconds": 3600.0,
        "submitted": CREATED,
        **changes,
    }
    return Attempt(**values)


def standing(one: Attempt, now: float = CREATED + 60, **record: Any) -> Standing:
    return standing_of(one, AttemptRecord(attempt=one.id, **record), now)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("status", ["submitted", "running"])
def test_every_stage_has_its_words(stage: Stage, status: str) -> None:
    found = standing(attempt(status, stage=stage, started=CREATED if status == "running" else None))

    assert found.where.split()[0] in {"is", "has", "may"}
    assert found.next.startswith(("It ", "Its ")) and found.next.endswith(".")


def test_what_keeps_it_where_it_is_is_named() -> None:
    found = standing(attempt(stage=Stage.SCHEDULING, detail=FULL))

    assert found.where == f"has a pod that waits for a node with room for it ({FULL})"
    assert found.next == "It goes on when other steps end or a node is added."


def test_one_without_a_stage_is_about_to_be_started() -> None:
    assert standing(attempt()).where == "is about to be started"
    assert standing(attempt(), claimed_at=CREATED).where == "is being started"


def test_a_running_one_tells_how_far_it_is_and_when_it_ends() -> None:
    record = {"progress": Progress(fraction=0.4, eta_seconds=90), "last_output_at": CREATED + 1_000}

    found = standing(attempt("running", started=CREATED), CREATED + 1_200, **record)

    assert found.where == "has been running for 20 min 00 s, is 40% through and has printed nothing for 3 min 20 s"
    assert found.next == (
        "It ends when its program does, in about 1 min 30 s by its own word, or is stopped at its deadline in "
        "40 min 00 s."
    )


def test_one_that_has_said_nothing_yet_is_said_to_be_silent() -> None:
    where = standing(attempt("running", started=CREATED)).where

    assert where == "has been running for 1 min 00 s and has printed nothing yet"


def test_one_whose_runner_has_reported_is_finishing() -> None:
    report = FinishReport.model_validate({"exit_code": 0, "reason": "exited", "bytes": 0, "sha256": EMPTY})

    assert standing(attempt("running", started=CREATED), finish=report).where.startswith("is over")


@pytest.mark.parametrize(
    ("stage", "detail", "text"),
    [(None, "", ""), (Stage.PULLING, "", "pulling"), (Stage.SCHEDULING, FULL, f"scheduling: {FULL}")],
)
def test_the_stage_as_a_text(stage: Stage | None, detail: str, text: str) -> None:
    assert stage_text(attempt(stage=stage, detail=detail)) == text
