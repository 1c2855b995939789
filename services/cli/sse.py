"""Server-sent events out of a byte stream (WHATWG HTML, section 9.2.6). Pure.

Lines end at LF or CRLF only. A splitter that knows Unicode's line ends would cut JSON texts in two at U+2028.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.cli.problems import Bewildering

LONGEST_LINE = 64 * 2**20


@dataclass(frozen=True)
class Message:
    """One event of the stream. `id` is empty where the server gave none."""

    event: str
    data: str
    id: str = ""


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """The messages in a stream; comments (keep-alives) are dropped, and so is a message cut off at the end."""
    fields: dict[str, str] = {}
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data or "event" in fields:
                yield Message(fields.get("event", "message"), "\n".join(data), fields.get("id", ""))
            fields, data = {}, []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name:
            fields[name] = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > LONGEST_LINE:
                raise Bewildering(f"the event stream holds a line of more than {LONGEST_LINE:,} bytes")
            continue
        *whole, last = bytes(rest).split(b"\n")
        rest = bytearray(last)
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")
