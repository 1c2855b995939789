"""Two thousand steps of two hundred runs on a simulated fleet: nothing twice, nothing left over, no quota exceeded."""

import pytest

from benchmarks.simulated.scenario import REQUESTS_A_STEP, play

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(1800)]


def test_two_thousand_steps_in_flight_are_each_run_once_and_within_every_quota() -> None:
    outcome = play(print)
    assert outcome.wrong == []
    requests = next(figure for figure in outcome.figures if figure.name == REQUESTS_A_STEP)
    # Two make an attempt's Job and its Secret, and nothing asks again; one removes 25, and a cancel is one more.
    assert 2 <= requests.median <= 2.2
