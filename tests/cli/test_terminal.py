"""Lines on a terminal, and in a pipe."""

import io

import pytest

from services.cli.look import Look, Tone, bar, bytes_text, dollars_text, number_text, seconds_text
from services.cli.terminal import Terminal, look_of
from services.cli.view import Line

ERASE = "\r\x1b[2K"


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_live_line_is_rewritten_in_place() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.show([Line("before"), Line("10 %", live=True), Line("20 %", live=True)])
    terminal.show([Line("after"), Line("more")])
    assert screen.getvalue() == f"before\n{ERASE}10 %{ERASE}20 %{ERASE}after\nmore\n"


def test_a_live_line_stays_when_it_is_settled() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.show([Line("10 %", live=True)])
    terminal.settle()
    terminal.settle()
    terminal.say("after")
    assert screen.getvalue() == f"{ERASE}10 %\nafter\n"


def test_in_a_pipe_live_lines_are_thinned_out() -> None:
    pipe, now = io.StringIO(), 100.0
    terminal = Terminal(pipe, lambda: now)
    for now in (100.0, 100.5, 101.9, 102.0, 103.0):
        terminal.show([Line(f"at {now}", live=True)])
    terminal.settle()
    assert pipe.getvalue() == "at 100.0\nat 102.0\n"


def test_colours_need_a_terminal_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert look_of(Screen()).colour
    assert not look_of(io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not look_of(Screen()).colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not look_of(Screen()).colour


def test_nothing_is_painted_where_there_is_nothing() -> None:
    assert Look(colour=True).paint("", Tone.BAD) == ""
    assert Look(colour=True).paint("x", Tone.PLAIN) == "x"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.9, "1 min 00 s"), (200, "3 min 20 s"), (18_120, "5 h 02 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (20_300_000, "20.3 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (1_234_567.0, "1,234,567"),
        (0.123456, "0.1235"),
        (1e-7, "1e-07"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


def test_amounts_and_bars() -> None:
    assert (dollars_text(0.00123), dollars_text(1234.5)) == ("$0.0012", "$1,234.50")
    assert (bar(0), bar(0.5), bar(1), bar(7), bar(-1)) == ("░" * 10, "█" * 5 + "░" * 5, "█" * 10, "█" * 10, "░" * 10)
