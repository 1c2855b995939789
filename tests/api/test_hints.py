import threading
import time

from services.api.hints import BackgroundHints
from tests.servers import wait_until


class SlowBroker:
    """A broker that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.gate = threading.Event()

    def publish(self, run: str) -> None:
        self.gate.wait(10)
        self.runs.append(run)


def test_hints_arrive_in_order() -> None:
    broker = SlowBroker()
    broker.gate.set()
    hints = BackgroundHints(broker)
    for number in range(5):
        hints.publish(str(number))
    wait_until(lambda: broker.runs == ["0", "1", "2", "3", "4"])


def test_a_broker_that_hangs_holds_nobody_up() -> None:
    broker = SlowBroker()
    hints = BackgroundHints(broker)
    began = time.monotonic()
    for number in range(10_000):
        hints.publish(str(number))
    assert time.monotonic() - began < 5
    broker.gate.set()
    wait_until(lambda: "0" in broker.runs)


class FailingBroker(SlowBroker):
    """A broker whose first answer is an error nobody foresaw."""

    def publish(self, run: str) -> None:
        if run == "bad":
            raise RuntimeError("a bug in the broker's library")
        self.runs.append(run)


def test_an_error_nobody_foresaw_costs_one_hint() -> None:
    broker = FailingBroker()
    hints = BackgroundHints(broker)
    for run in ("bad", "good"):
        hints.publish(run)
    wait_until(lambda: broker.runs == ["good"])
