"""Text from logs, tools and models is hostile: nothing in it may drive the terminal or hide letters. Pure."""

import unicodedata

from services.core.loglines import clean


def plain(text: str) -> str:
    """`text` as it can be printed, without escape sequences, control, directional and invisible characters.

    Newlines stay, tabs become spaces, and of a line rewritten with carriage returns (a progress bar) the last writing
    stays.
    """
    # Line by line: an escape sequence without an end must not hide the lines after it.
    return "\n".join(clean(line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")).expandtabs(4)


def one_line(text: str, width: int) -> str:
    """`text` made plain and put on one line of at most `width` columns; what is cut off is marked with `…`."""
    return cut(" ".join(plain(text).split()), width)


def block(text: str, most: int, width: int) -> list[str]:
    """A text as at most `most` + 1 plain lines: its beginning and its end, and between them how much is left out."""
    lines = [cut(line.rstrip(), width) for line in plain(text).strip("\n").split("\n")]
    if len(lines) <= most + 1:
        return lines if lines != [""] else []
    return [*lines[: most - 2], f"… {len(lines) - most:,} more lines", *lines[-2:]]


def cut(text: str, width: int) -> str:
    """The beginning of a plain line that fits into `width` columns."""
    if len(text) <= width // 2 or columns(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += columns(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def columns(text: str) -> int:
    """How many columns of a terminal plain text fills."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
