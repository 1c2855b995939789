import math
import time

from prometheus_client import CollectorRegistry

from services.core.catalog import Catalog
from services.worker.controller.figures import count_ready
from services.worker.controller.pulse import Pulse
from tests.core.submitted import accept_run
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


def test_runs_that_wait_for_a_worker_are_counted_and_unknown_without_redis(
    control: Control, redis_server: RedisServer
) -> None:
    registry = CollectorRegistry()
    count_ready(Catalog(control.store), registry)
    before = registry.get_sample_value("cohort_runs_ready")
    accept_run(control.store)
    assert registry.get_sample_value("cohort_runs_ready") == (before or 0) + 1
    redis_server.kill()
    assert math.isnan(registry.get_sample_value("cohort_runs_ready") or 0)
