"""How things look on a terminal: colours, amounts, and the pieces that several views share. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from services.core.durations import seconds_text as seconds_text
from services.core.lifecycle import Status

INDENT = "  "
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


class Tone(StrEnum):
    """What a piece of text is to the reader."""

    PLAIN = ""
    STRONG = "bold"
    QUIET = "dim"
    BAD = "red"
    GOOD = "green"
    ATTENTION = "yellow"
    TOOL = "cyan"
    STEP = "blue"


@dataclass(frozen=True)
class Look:
    """What the terminal can show. `width` is in columns."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, tone: Tone) -> str:
        """`text` in the colour of `tone`, where there are colours."""
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if self.colour and tone and text else text


def tone_of(status: str) -> Tone:
    """The tone of a run's or an attempt's status."""
    if status == Status.SUCCEEDED:
        return Tone.GOOD
    if status in {Status.FAILED, Status.TIMED_OUT, Status.OVER_LIMIT, "lost"}:
        return Tone.BAD
    if status in {Status.NEEDS_HUMAN, Status.CANCELLED, Status.CANCELLING}:
        return Tone.ATTENTION
    return Tone.PLAIN


def bytes_text(count: int) -> str:
    """A size: `812 B`, `1.5 KB`, `20.3 MB`; a KB is 1,000 bytes."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("KB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def dollars_text(dollars: float) -> str:
    """An amount: four digits after the point while it is small, two from a dollar on."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4f}"


def number_text(value: float) -> str:
    """A metric: whole numbers as such, others with four significant digits."""
    if value == int(value) and abs(value) < 1e9 if _is_finite(value) else False:
        return f"{int(value):,}"
    return f"{value:.4g}"


def bar(fraction: float, cells: int = 10) -> str:
    """A progress bar of `cells` cells."""
    full = round(min(max(fraction, 0.0), 1.0) * cells)
    return "█" * full + "░" * (cells - full)


def end_text(reason: str, exit_code: int | None) -> str:
    """Why an attempt ended, in a few words."""
    if reason not in ("", "exited"):
        return reason
    return "unknown" if exit_code is None else f"exit code {exit_code}"


def _is_finite(value: float) -> bool:
    return value - value == 0
