"""Attempts that the cluster would not have."""

import pytest

from services.core.records import Stage
from services.worker.executors import Held, Observed, Phase
from services.worker.executors.kubernetes.put_off import PutOff, pause_seconds

FORBIDDEN = {"message": "jobs.batch is forbidden"}
ABSENT = Observed("train", Phase.ABSENT)
UNTENDED = Observed("train", Phase.STARTING, tended=False, stage=Stage.STARTING, detail="on node a")


def test_who_is_refused_again_and_again_is_asked_for_less_and_less_often() -> None:
    assert [pause_seconds(refusals) for refusals in (1, 2, 3, 6, 100)] == [1, 2, 4, 30, 30]


def test_who_was_refused_just_now_is_held() -> None:
    put_off = PutOff()
    put_off.deny("train", 403, FORBIDDEN, "jobs")
    with pytest.raises(Held, match="we may not make the step's Job"):
        put_off.check("train")
    put_off.check("another")


def test_an_attempt_without_a_job_waits_in_a_queue_with_the_reason() -> None:
    put_off = PutOff()
    put_off.deny("train", 403, FORBIDDEN, "jobs")
    seen = put_off.look("train", ABSENT)
    assert (seen.phase, seen.stage, seen.tended) == (Phase.STARTING, Stage.QUEUED, False)
    assert seen.diagnosis and seen.diagnosis.code == "not_allowed"


def test_a_job_without_its_token_says_what_keeps_that_from_it() -> None:
    put_off = PutOff()
    put_off.deny("train", 403, FORBIDDEN, "secrets")
    seen = put_off.look("train", UNTENDED)
    assert (seen.stage, seen.detail) == (Stage.STARTING, seen.diagnosis and seen.diagnosis.summary)
    assert "the Secret" in seen.detail


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.FINISHED])
def test_what_is_tended_is_as_it_is_seen(phase: Phase) -> None:
    put_off = PutOff()
    put_off.deny("train", 403, FORBIDDEN, "secrets")
    seen = Observed("train", phase)
    assert put_off.look("train", seen) is seen
