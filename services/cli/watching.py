"""Staying with a run until it is over: showing it live, or only waiting."""

import sys
import time
from collections.abc import Callable, Iterator

from services.cli.client import ApiClient, path_of
from services.cli.follow import GIVE_UP_SECONDS, Ended, Item, Lost, Told, follow
from services.cli.look import Tone, seconds_text, tone_of
from services.cli.output import print_json, remark
from services.cli.plain import one_line
from services.cli.problems import INTERRUPTED, Unreachable
from services.cli.report import RunView, read_run
from services.cli.sse import Message
from services.cli.terminal import Terminal, look_of
from services.cli.view import View

WAIT_SECONDS = 60
RETRY_SECONDS = 5.0


def watch(api: ApiClient, run: str, after: int, as_json: bool) -> int:
    """Show a run from event `after` on until it is over; its exit code. Ctrl-C detaches: the run goes on."""
    watcher = Watcher(api, run, after)
    try:
        # A wrong id or key is told at once; the stream would be tried again.
        api.get(path_of("v1", "runs", run))
        return watcher.print_json() if as_json else watcher.show()
    except KeyboardInterrupt:
        remark(f"detached; {run} goes on. Come back with: cohort events {run} -f --after {watcher.seq}")
        return INTERRUPTED


class Watcher:
    """Follows one run. `seq` is the last event that was shown."""

    def __init__(self, api: ApiClient, run: str, after: int = 0) -> None:
        self._api = api
        self._run = run
        self.seq = after

    def show(self) -> int:
        """Write the events to stdout, for a person; the run's exit code."""
        terminal, view = Terminal(sys.stdout), View(look_of(sys.stdout))
        try:
            return self._each(lambda item: terminal.show(view.lines(item)))
        finally:
            terminal.settle()

    def print_json(self) -> int:
        """Write the events to stdout, for a program; the run's exit code."""

        def show(item: Item) -> None:
            match item:
                case Told():
                    print_json(item.wire)
                case Lost():
                    remark(f"{item.why}; trying again in {seconds_text(item.retry_seconds)}")
                case _:
                    return

        return self._each(show)

    def _each(self, show: Callable[[Item], None]) -> int:
        for item in follow(self._open, self.seq, time.sleep):
            show(item)
            if isinstance(item, Told):
                self.seq = item.seq
            if isinstance(item, Ended):
                return item.exit_code
        raise AssertionError("follow ends with Ended, or raises")

    def _open(self, seq: int) -> Iterator[Message]:
        path = path_of("v1", "runs", self._run, "events", "stream")
        return self._api.stream(path, last_id=str(seq) if seq else "")


def wait_until_over(api: ApiClient, run: str, as_json: bool) -> int:
    """Wait without showing anything, then print where the run ended. Its exit code."""
    view, code = _final_view(api, run)
    if as_json:
        print_json(view.wire)
        return code
    look, state = look_of(sys.stdout), view.state
    why = one_line(": ".join(part for part in (state.reason, state.detail) if part), 300)
    took = seconds_text((state.ended or state.updated) - state.created)
    print(f"{run}  {look.paint(state.status, tone_of(state.status))}  {why}  {look.paint(took, Tone.QUIET)}")
    return code


def _final_view(api: ApiClient, run: str) -> tuple[RunView, int]:
    waited = 0.0
    while True:
        try:
            wire = api.get(path_of("v1", "runs", run), {"wait": WAIT_SECONDS}, read_seconds=WAIT_SECONDS + 15)
        except Unreachable as error:
            if waited >= GIVE_UP_SECONDS:
                raise
            if not waited:
                remark(f"{error}; trying again")
            time.sleep(RETRY_SECONDS)
            waited += RETRY_SECONDS
            continue
        waited = 0.0
        view = read_run(wire)
        if view.state.exit_code is not None:
            return view, view.state.exit_code
