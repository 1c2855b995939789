"""How long the runner waits before it asks again."""

import httpx
import pytest

from services.runner.ship import Fenced, Halt, Stopped, delay_seconds, retry_after_seconds


@pytest.mark.parametrize(
    ("failures", "longest"), [(0, 0.25), (1, 0.5), (2, 1.0), (5, 8.0), (6, 15.0), (7, 15.0), (100_000, 15.0)]
)
def test_the_delay_doubles_up_to_a_limit_with_full_jitter(failures: int, longest: float) -> None:
    assert delay_seconds(failures, 1.0) == longest
    assert delay_seconds(failures, 0.5) == longest / 2
    assert delay_seconds(failures, 0.0) == 0


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0", 0), ("", 0), ("soon", 0), ("-1", 0), ("99999", 300)])
def test_the_server_may_ask_for_a_longer_pause(header: str, seconds: float) -> None:
    assert retry_after_seconds(httpx.Response(503, headers={"Retry-After": header})) == seconds


def test_a_halt_wakes_whoever_waits_and_says_why() -> None:
    halt = Halt()
    halt.wait(0)
    halt.stop()
    with pytest.raises(Stopped):
        halt.wait(600)
    halt.fence()
    with pytest.raises(Fenced):
        halt.check()
