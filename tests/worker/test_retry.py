"""What follows a failed model call, as a table."""

import pytest

from services.core.lifecycle import Reason
from services.worker.failures import Failure
from services.worker.retry import GiveUp, Retry, after_failure

FIRST_SECONDS = 5.0
PASSING = [Failure.RATE_LIMITED, Failure.OVERLOADED, Failure.UNREACHABLE, Failure.CONNECTION, Failure.TIMEOUT]


def decided(kind: Failure, failures: int = 1, asked_for: float | None = None, jitter: float = 0.0) -> Retry | GiveUp:
    return after_failure(kind, failures, asked_for, FIRST_SECONDS, jitter)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Failure.NO_MODEL, Reason.MODEL_REFUSED),
        (Failure.AUTH, Reason.MODEL_AUTH),
        (Failure.CREDIT, Reason.MODEL_CREDIT),
        (Failure.REFUSED, Reason.MODEL_REFUSED),
    ],
)
def test_what_asking_again_cannot_mend_ends_the_run_at_once(kind: Failure, reason: Reason) -> None:
    assert decided(kind, asked_for=1.0) == GiveUp(reason)


def test_a_prompt_that_is_too_long_is_shortened_three_times_at_once() -> None:
    decisions = [decided(Failure.CONTEXT, failures) for failures in (1, 2, 3, 4)]

    assert decisions == [Retry(0.0)] * 3 + [GiveUp(Reason.CONTEXT_EXCEEDED)]


@pytest.mark.parametrize("kind", PASSING)
def test_the_back_off_doubles_until_patience_is_over(kind: Failure) -> None:
    decisions = [decided(kind, failures) for failures in range(1, 9)]

    assert decisions == [
        *(Retry(seconds) for seconds in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)),
        GiveUp(Reason.MODEL_UNAVAILABLE),
    ]


@pytest.mark.parametrize(
    ("asked_for", "jitter", "seconds"),
    [(0.0, 0.0, 0.0), (30.0, 0.0, 30.0), (30.0, 0.5, 31.5), (86_400.0, 0.0, 3600.0), (float("inf"), 0.0, 3600.0)],
)
def test_the_provider_is_never_asked_before_the_time_it_gave(asked_for: float, jitter: float, seconds: float) -> None:
    assert decided(Failure.RATE_LIMITED, 3, asked_for, jitter) == Retry(seconds)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 10.0), (0.5, 12.5), (0.999, 14.995)])
def test_many_runs_are_spread_over_half_a_back_off(jitter: float, seconds: float) -> None:
    assert decided(Failure.OVERLOADED, 2, None, jitter) == Retry(pytest.approx(seconds))


def test_rubbish_is_given_three_tries() -> None:
    assert [decided(Failure.RUBBISH, failures) for failures in (1, 2, 3)] == [
        Retry(5.0),
        Retry(10.0),
        GiveUp(Reason.MODEL_RUBBISH),
    ]


@pytest.mark.parametrize("kind", [Failure.INTERRUPTED, Failure.UNKNOWN_OUTCOME])
def test_what_was_not_the_providers_doing_is_repeated_at_once(kind: Failure) -> None:
    assert decided(kind, 7) == Retry(0.0)
    assert decided(kind, 8) == GiveUp(Reason.MODEL_UNAVAILABLE)


def test_every_failure_has_an_answer() -> None:
    assert all(isinstance(decided(kind), Retry | GiveUp) for kind in Failure)
