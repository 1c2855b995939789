"""Raw log bytes as lines of text: cut anywhere, ended by newline or carriage return, of any length, in constant memory.

Knows nothing of what a line means. The same bytes give the same lines, however they are cut into pieces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 64 << 10
_NEWLINE = ord("\n")

# ECMA-48: control sequences, operating-system commands (titles, links), and the two-character escapes.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b\r\n]*+(?:\x07|\x1b\\)?|[ -/]*+[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Terminals also rewrite a line by stepping back over it; Keras does.
_ENDS = re.compile(rb"\n+|[\r\x08]+")


@dataclass(frozen=True)
class LogLine:
    """One line, or one state of a line that a carriage return later rewrites.

    `offset` is where its bytes begin in the log. Of a line longer than 64 KiB the rest is dropped.
    """

    text: str
    offset: int
    is_rewritten: bool


class LogLines:
    """Cuts a stream of bytes into lines. Of blank lines in a row one is enough: how many come is not promised."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._offset = 0
        self._position = 0

    def feed(self, data: bytes) -> Iterator[LogLine]:
        """The lines that `data` ends. Use it up before the next call."""
        start = 0
        for end in _ENDS.finditer(data):
            self._keep(data[start : end.start()])
            start = end.end()
            yield self._end(is_rewritten=data[end.start()] != _NEWLINE, next_offset=self._position + start)
        self._keep(data[start:])
        self._position += len(data)

    def finish(self) -> Iterator[LogLine]:
        """The last line, if the log does not end with one."""
        if self._kept:
            yield self._end(is_rewritten=False, next_offset=self._position)

    def _keep(self, piece: bytes) -> None:
        self._kept += piece[: MAX_LINE_BYTES - len(self._kept)]

    def _end(self, is_rewritten: bool, next_offset: int) -> LogLine:
        line = LogLine(self._kept.decode(errors="replace"), self._offset, is_rewritten)
        self._kept.clear()
        self._offset = next_offset
        return line


def clean(text: str) -> str:
    """`text` as a person may see it: no terminal codes, no control or invisible characters, no change of direction.

    Newlines and tabs stay; carriage returns become newlines.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", text)
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    # What is left to go: formatting characters (bidi controls, zero width, tags), private and unassigned code points.
    return "".join(char if char.isprintable() or char in "\n\t" else " " * char.isspace() for char in text)
