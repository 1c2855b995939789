"""`smoke_test`: what costs much has been tried before."""

from typing import Any

import pytest

from services.core.resources import Resources
from services.worker.rules.facts import Asked, Earlier
from services.worker.rules.smoke_test import refuse
from tests.worker.rules.cases import OTHER, SPOT, asked, earlier, facts


def test_a_dear_step_without_a_smoke_test_is_told_exactly_what_to_submit_first() -> None:
    text = refuse(facts(asked()))

    assert text is not None
    assert "could cost $8.00, more than $5.00" in text
    assert 'name "smoke-train", smoke true, pool ["a100"], deadline_minutes 10' in text


@pytest.mark.parametrize(
    ("wanted", "before"),
    [
        (asked(minutes=60), []),
        (asked(), [earlier(smoke=True)]),
        (asked(), [earlier(command="torchrun train.py --tiny")]),
        (asked(), [earlier(pool=SPOT)]),
        (asked(evaluates=True), []),
        (asked("python -c 'import train'"), []),
        (
            asked("python prepare.py && python train.py"),
            [earlier(command="python prepare.py"), earlier("second")],
        ),
    ],
    ids=["cheap", "smoked", "another launcher", "a like pool", "an evaluation", "unknown", "each script"],
)
def test_what_is_cheap_or_proven_or_not_known_passes(wanted: Asked, before: list[Earlier]) -> None:
    assert refuse(facts(wanted, *before)) is None


@pytest.mark.parametrize(
    "before",
    [
        earlier(status="failed"),
        earlier(status="running"),
        earlier(command="python other.py"),
        earlier(pool=OTHER),
    ],
    ids=["failed", "still running", "another script", "other GPUs"],
)
def test_what_proves_nothing_does_not_count(before: Earlier) -> None:
    assert refuse(facts(asked(), before)) is not None


def test_of_several_scripts_the_one_that_is_missing_is_named() -> None:
    text = refuse(facts(asked("python prepare.py && python train.py"), earlier()))

    assert text is not None
    assert "prepare.py has not succeeded" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"resources": Resources(gpus=8)}, "deadline_minutes 9 at most"),
        ({"resources": Resources(gpus=8, nodes=20)}, "use fewer GPUs or nodes"),
    ],
)
def test_a_smoke_test_is_cheap_itself(fields: dict[str, Any], said: str) -> None:
    text = refuse(facts(asked(minutes=10, smoke=True, **fields)))

    assert text is not None
    assert said in text
    assert refuse(facts(asked(minutes=10, smoke=True))) is None
