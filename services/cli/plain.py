"""Text from logs, tools and models is hostile: nothing in it may drive the terminal or hide letters. Pure."""

import re
import unicodedata

from services.core.paths import BIDI_CONTROLS

# ECMA-48: control sequences (CSI), strings that end in BEL or ST (OSC, DCS, SOS, PM, APC), and two-character escapes.
# A string without an end is cut at the end of its line, so that it cannot hide what follows.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_HIDDEN = frozenset("\u200b\u2060\ufeff\u2028\u2029\u180e") | BIDI_CONTROLS


def plain(text: str) -> str:
    """`text` as it can be printed: escape sequences, control, bidirectional and invisible characters are gone.

    Newlines stay, tabs become spaces, and of a line rewritten with carriage returns (a progress bar) the last writing
    stays.
    """
    text = _ESCAPES.sub("", text).expandtabs(4)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "".join(char for char in text if char == "\n" or _is_visible(char))


def one_line(text: str, width: int) -> str:
    """`text` made plain and put on one line of at most `width` columns; what is cut off is marked with `…`."""
    return cut(" ".join(plain(text).split()), width)


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


def _is_visible(char: str) -> bool:
    if char.isascii():
        return " " <= char < "\x7f"
    # Surrogates cannot be encoded; private and unassigned characters are only odd.
    return char not in _HIDDEN and unicodedata.category(char) not in {"Cc", "Cs"}
