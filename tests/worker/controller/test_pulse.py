import time

from services.worker.controller.pulse import Pulse
from tests.servers import RedisServer, wait_until
from tests.worker.controller.conftest import Control
from tests.worker.controller.test_loop import controller


def test_a_loop_that_stands_still_is_not_alive_until_it_comes_by_again() -> None:
    pulse = Pulse(limit_seconds=0.05)
    assert pulse.trouble() == ""
    assert wait_until(pulse.trouble).startswith("the loop has stood still")
    pulse.beat()
    assert pulse.trouble() == ""


def test_who_leads_and_who_stands_by_go_round_alike(control: Control) -> None:
    one, other = controller(control, "one"), controller(control, "other")
    for each in (one, other):
        each.pulse._last = time.monotonic() - 1000
        each._guarded(each.once)
        assert each.pulse.trouble() == ""


def test_a_controller_is_ready_once_redis_has_said_who_leads(control: Control, redis_server: RedisServer) -> None:
    one, other = controller(control, "one"), controller(control, "other")
    redis_server.kill()
    one._guarded(one.once)
    assert not one.leadership.is_settled
    redis_server.restart()
    for each in (one, other):
        each._guarded(each.once)
        assert each.leadership.is_settled
