"""What was announced is there once, whatever it was announced as."""

import threading
import time

import pytest

from services.worker.controller.news import EVERY_ATTEMPT, News


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ([], [{}]),
        (["rone"], [{"rone": EVERY_ATTEMPT}]),
        (["rone-train-1"], [{"rone": {"rone-train-1"}}]),
        (["rone-train-1", "rone-train-1.3", "rone-train-1.0"], [{"rone": {"rone-train-1"}}]),
        (["rone-train-1", "rone-eval-model-2"], [{"rone": {"rone-train-1", "rone-eval-model-2"}}]),
        (["rone", "rone-train-1", "rone"], [{"rone": {"rone-train-1"}}, {"rone": EVERY_ATTEMPT}]),
        (["rtwo", "rone-train-1"], [{"rone": {"rone-train-1"}}, {"rtwo": EVERY_ATTEMPT}]),
    ],
)
def test_what_was_told_is_taken_once_and_attempts_come_first(
    told: list[str], taken: list[dict[str, set[str] | None]]
) -> None:
    news = News()
    for name in told:
        news.tell(name)
    assert [news.take() for _ in taken] == taken
    assert news.take() == {}


def test_who_waits_is_woken_by_news_and_by_nothing_else() -> None:
    news = News()
    news.wait(0.01)
    assert news.take() == {}
    teller = threading.Timer(0.05, news.tell, ["rone"])
    teller.start()
    began = time.monotonic()
    news.wait(60)
    assert time.monotonic() - began < 30
    assert news.take() == {"rone": EVERY_ATTEMPT}
    teller.join()


@pytest.mark.parametrize("name", ["r{}", "r{}-train-1"])
def test_some_of_it_is_taken_in_the_order_in_which_it_came_and_the_rest_still_wakes(name: str) -> None:
    news = News()
    names = [f"r{number}" for number in range(20)]
    for number in range(20):
        news.tell(name.format(number))
    first = list(news.take())
    assert first == names[: len(first)]
    assert 0 < len(first) < 20
    began = time.monotonic()
    news.wait(60)
    assert time.monotonic() - began < 30
    news.forget()
    assert news.take() == {}
