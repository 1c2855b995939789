"""Puts lines on a terminal, or into a pipe: there nothing is rewritten, and live lines are thinned out."""

import shutil
import time
from collections.abc import Callable, Iterable
from typing import TextIO

from services.cli.environment import wants_no_colour
from services.cli.look import Look
from services.cli.view import Line

LIVE_PAUSE_SECONDS = 2.0
_ERASE = "\r\x1b[2K"


class Terminal:
    """Writes lines to `stream`. On a terminal a live line stays the last one and is rewritten in place."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._rewrites = stream.isatty()
        self._live = ""
        self._shown_at = -LIVE_PAUSE_SECONDS

    def show(self, lines: Iterable[Line]) -> None:
        """Write `lines`."""
        for line in lines:
            if line.live:
                self._show_live(line.text)
            else:
                self._write(line.text + "\n")
        self._stream.flush()

    def say(self, *texts: str) -> None:
        """Write whole lines."""
        self.show(Line(text) for text in texts)

    def settle(self) -> None:
        """Leave the live line where it is: what comes next comes below it."""
        if self._live:
            self._stream.write("\n")
            self._live = ""
        self._stream.flush()

    def _show_live(self, text: str) -> None:
        if self._rewrites:
            self._stream.write(_ERASE + text)
            self._live = text
        elif self._clock() - self._shown_at >= LIVE_PAUSE_SECONDS:
            self._shown_at = self._clock()
            self._stream.write(text + "\n")

    def _write(self, text: str) -> None:
        live, self._live = self._live, ""
        self._stream.write(_ERASE + text if live else text)


def look_of(stream: TextIO) -> Look:
    """What `stream` can show."""
    return Look(width=shutil.get_terminal_size((120, 24)).columns, colour=stream.isatty() and not wants_no_colour())
