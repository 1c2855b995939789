"""Handing a command to the host of a sandbox and watching its spool: over a directory that the commands can rearrange.

Every step is relative to an open directory and follows no link; what is read is bounded, and what makes no sense counts
as absent.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from services.core import directories
from services.core.commands import OUTPUT_BYTES, Order
from services.runner.spool import ExitRecord

_COMMANDS = "commands"
_SMALL_BYTES = 64 << 10
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o770


class HandedOver:
    """The commands in the spool of one sandbox."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def make(self) -> None:
        """Make the directory that the host looks into."""
        with suppress(FileExistsError):
            (self._spool / _COMMANDS).mkdir(mode=_DIRECTORY_MODE)

    def end(self) -> None:
        """Have the host end. Raises OSError."""
        with self._commands() as commands:
            directories.write("end", commands, [], _FILE_MODE)

    def give(self, order: Order) -> None:
        """Have the host run a command; doing it again changes nothing. Raises OSError."""
        request = {"command": order.command, "timeout_seconds": order.timeout_seconds}
        with self._commands() as commands:
            with suppress(FileExistsError):
                os.mkdir(order.call, _DIRECTORY_MODE, dir_fd=commands)
            with directories.opened(order.call, commands) as place:
                directories.write("claim.json", place, [b'{"claimed": true}'], _FILE_MODE)
                directories.write("request.json", place, [json.dumps(request).encode()], _FILE_MODE)

    def exit(self, call: str) -> ExitRecord | None:
        """How a command ended, as its shim says; None while it has not."""
        value = self._read(call, "exit.json")
        if value is None:
            return None
        try:
            return ExitRecord.model_validate(value)
        except ValidationError:
            return None

    def has_shim(self, call: str) -> bool:
        """Whether a shim has come for the command, dead or alive."""
        return self._read(call, "shim.json") is not None

    def is_alive(self, call: str) -> bool:
        """Whether the command's shim lives."""
        try:
            with self._place(call) as place, directories.opened_file("shim.lock", place) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def cancel(self, call: str) -> None:
        """Have the command's shim stop it. Raises OSError."""
        with self._place(call) as place:
            directories.write("cancel", place, [], _FILE_MODE)

    def output(self, call: str) -> bytes:
        """The newest part of what the command said, and how much before it is not kept."""
        try:
            with self._place(call) as place, directories.opened_file("log", place) as log:
                return newest(log)
        except OSError:
            return b""

    def remove(self, call: str) -> None:
        """Remove the command's directory. Raises OSError."""
        with self._commands() as commands, suppress(FileNotFoundError):
            directories.remove(call, commands)

    def _read(self, call: str, name: str) -> dict[str, Any] | None:
        try:
            with self._place(call) as place, directories.opened_file(name, place) as file:
                value = json.loads(file.read(_SMALL_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @contextmanager
    def _commands(self) -> Iterator[int]:
        top = os.open(self._spool, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with directories.opened(_COMMANDS, top) as commands:
                yield commands
        finally:
            os.close(top)

    @contextmanager
    def _place(self, call: str) -> Iterator[int]:
        with self._commands() as commands, directories.opened(call, commands) as place:
            yield place


def newest(log: BinaryIO) -> bytes:
    """The newest `OUTPUT_BYTES` of an open log, and a first line that says what is left out."""
    lost = max(0, log.seek(0, os.SEEK_END) - OUTPUT_BYTES)
    log.seek(lost)
    note = f"[… the first {lost} bytes of the output are not kept …]\n".encode() if lost else b""
    pieces, left = [note], OUTPUT_BYTES
    while left and (piece := log.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
