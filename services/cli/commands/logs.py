"""`cohort logs RUN STEP [-f]`: what a step's program wrote.

Into a file or a pipe it goes byte for byte. On a terminal it is made plain: what a program prints may not drive it.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from services.cli.address import open_api
from services.cli.client import ApiClient, Query, path_of
from services.cli.fetching import log_pieces
from services.cli.follow import FIRST_PAUSE_SECONDS, GIVE_UP_SECONDS, LONGEST_PAUSE_SECONDS
from services.cli.output import remark
from services.cli.plain import plain
from services.cli.problems import INTERRUPTED, Unreachable


def run(options: Namespace) -> int:
    """Copy the log to stdout; with -f until the attempt is over."""
    with open_api() as api:
        try:
            offset = 0
            which = {name: value for name in ("attempt", "rank") if (value := getattr(options, name)) is not None}
            for piece in log_pieces(api, options.run, options.step, which):
                _write(piece)
                offset += len(piece)
            if options.follow:
                path = path_of("v1", "runs", options.run, "steps", options.step, "log", "stream")
                for text in _followed(api, path, which, offset):
                    _write(text.encode())
        except KeyboardInterrupt:
            remark("detached; the program goes on")
            return INTERRUPTED
    return 0


def _followed(api: ApiClient, path: str, query: Query, offset: int) -> Iterator[str]:
    waited, pause = 0.0, FIRST_PAUSE_SECONDS
    while True:
        why = "the API closed the stream"
        try:
            for message in api.stream(path, query, last_id=str(offset)):
                waited, pause = 0.0, FIRST_PAUSE_SECONDS
                if message.event == "end":
                    return
                if message.event == "log":
                    offset = int(message.id)
                    yield str(json.loads(message.data)["text"])
        except Unreachable as error:
            why = str(error)
        if waited >= GIVE_UP_SECONDS:
            raise Unreachable(why)
        remark(f"{why}; trying again")
        time.sleep(pause)
        waited, pause = waited + pause, min(pause * 2, LONGEST_PAUSE_SECONDS)


def _write(data: bytes) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(plain(data.decode(errors="replace")))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
