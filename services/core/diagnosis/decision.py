"""Which of a log's candidates is the reason that a program failed. Pure.

The first exception that nobody handled and that does not follow from another is the reason, unless a line explains it
better. Where there is none, lines that the table knows are; then what follows from others; then the exit code.
"""

import math
import re
from collections.abc import Sequence

from services.core.diagnosis.candidates import Candidate, decisive, exceptions, lines as lines_of, went_on
from services.core.diagnosis.ending import CERTAIN, Ending
from services.core.diagnosis.finding import DecisiveLine, Finding
from services.core.log_scan import Scan
from services.core.series import progress
from services.core.taxonomy import Failure

_FIRM = 0.7
_VERY_FIRM = 0.9
# Lines between an exception and what explains it; more where other ranks write between them.
_NEAR_LINES = 80
# What a program may still say after the exception that ended it, if its exit code was lost on the way.
_LAST_WORDS = 20
_LAST_LINES = 5
_ABORTED = 134
_WAITING = ("wait", "barrier", "lock", "synchron", "connecting", "rendezvous", "joining")
_CONTEXT_LINES = 3
# Of a bar that stands nearer to its beginning, nobody can say that it moved.
_BEGUN = 0.03
_ENDS = {Failure.COMMAND_NOT_FOUND, Failure.STOPPED}
_LEVEL = re.compile(r"\W{0,4}(?:\S{1,40}\s{1,4}){0,4}?\W{0,2}(?:ERROR|FATAL|CRITICAL)\b")
_MAX_OTHERS = 8


def diagnose(found: Scan, ending: Ending) -> Finding:
    """What is wrong, `none` if nothing is."""
    crashes, lines = exceptions(found), lines_of(found)
    if ending.is_clean:
        return _clean(found, crashes, lines)
    told = ending.told
    if told is not None and (ending.known or told in CERTAIN):
        return _from_ending(found, told, 0.95, f"The platform says so: {ending.reason}.")
    reason = _first_crash(crashes, lines) or _firm_line(lines, ending)
    if reason is None and ending.is_timed_out:
        return _out_of_time(found)
    if reason is None:
        reason = _silent(crashes, lines, ending)
    if reason is not None:
        return _from(reason, found, ending)
    return _without_words(found, lines, ending)


def _first_crash(crashes: Sequence[Candidate], lines: Sequence[Candidate]) -> Candidate | None:
    causes = [one for one in crashes if not one.rule.follows]
    # A program that goes on has handled it, unless there was nothing after it that could have ended it.
    fatal = [
        one for index, one in enumerate(causes) if not (one if index == len(causes) - 1 else went_on(one)).is_handled
    ]
    first = next(iter(fatal), None)
    if first is None:
        return None
    return _explained(first, lines)


def _explained(first: Candidate, lines: Sequence[Candidate]) -> Candidate:
    """The line that says what is behind the exception, or the exception itself."""
    better = [line for line in lines if not line.rule.follows and _explains(line, first)]
    return max(better, key=lambda line: line.rule.sure, default=first)


def _explains(line: Candidate, crash: Candidate) -> bool:
    if line.failure is crash.failure:
        return False
    if crash.failure in line.rule.explains and line.rule.sure > crash.rule.sure - 0.4:
        return not (line.rule.sure < crash.rule.sure and crash.is_generic)
    is_near = line.writer == crash.writer and abs(line.number - crash.number) <= _NEAR_LINES
    return crash.is_generic and is_near and line.rule.sure >= _VERY_FIRM and line.gravity > 0


def _firm_line(lines: Sequence[Candidate], ending: Ending) -> Candidate | None:
    firm = [line for line in lines if not line.rule.follows and line.rule.sure >= _FIRM]
    if ending.code == 127:
        firm = [line for line in firm if line.failure is not Failure.FILE_NOT_FOUND]
    if ending.is_timed_out or ending.code in {130, 143}:
        # It lived until it was ended; what it said before did not end it.
        firm = [line for line in firm if line.failure in {Failure.STOPPED, Failure.DEADLINE, Failure.HANG}]
    return max(firm, key=lambda line: (line.gravity > 0, line.rule.sure, -line.offset), default=None)


def _silent(crashes: Sequence[Candidate], lines: Sequence[Candidate], ending: Ending) -> Candidate | None:
    """What follows from something that nobody has told of."""
    follows = [one for one in (*crashes, *lines) if one.rule.follows]
    by_code = ending.by_code
    named = [one for one in follows if one.failure is not Failure.CODE_ERROR]
    if ending.code == _ABORTED:
        # Watchdogs end their program by an abort.
        named = [one for one in named if one.rule.sure >= _FIRM]
    if named and (by_code is None or ending.code == _ABORTED):
        return max(named, key=lambda one: (one.rule.sure, -one.offset))
    if by_code is not None:
        return None
    return next(iter(follows), None) or next((one for one in crashes), None)


def _clean(found: Scan, crashes: Sequence[Candidate], lines: Sequence[Candidate]) -> Finding:
    """A program that ended with 0: whether it failed all the same, and its code was lost, as in a pipe."""
    ended = [one for one in crashes if not one.is_handled and one.is_outermost and one.lines_after <= _LAST_WORDS]
    firm = [one for one in ended if not one.rule.follows] or ended
    last = [
        line for line in lines if line.lines_after < _LAST_LINES and _is_said_to_fail(line) and not line.rule.follows
    ]
    reason = next(iter(firm), None) or next(iter(last), None)
    if reason is not None:
        return _from(reason, found, Ending(0))
    if _ends_in_nan(found):
        return _from_ending(found, Failure.NUMERICS, 0.7, "The loss is no number any more, from some point to the end.")
    return Finding(Failure.NONE, 0.95, "Nothing failed: it ended with exit code 0, and its log tells of no failure.")


def _is_said_to_fail(line: Candidate) -> bool:
    """Whether a line tells of the program's end, and not of what it overcame."""
    is_grave = line.gravity == 2 or _LEVEL.match(line.text) is not None or line.failure in _ENDS
    return is_grave and line.rule.sure >= _FIRM


def _ends_in_nan(found: Scan) -> bool:
    losses = [one for name, one in found.metrics.series.items() if "loss" in name.lower()]
    return any(
        one.count >= 3 and one.bad and one.bad is not one.last and not math.isfinite(one.last.value) for one in losses
    )


def _out_of_time(found: Scan) -> Finding:
    """Ended by its time limit: whether it got on until then."""
    last = found.tail[-1].text.lower() if found.tail else ""
    waits = any(word in last for word in _WAITING)
    progressed = any(series.count >= 3 for series in found.metrics.series.values()) or len(found.tail) > _LAST_WORDS
    bars = [bar for line in found.tail if (bar := progress(line.text))]
    progressed = progressed or any(bar.fraction > _BEGUN for bar in bars)
    if waits or not progressed:
        silent = "it wrote nothing at all" if not found.size else "its log shows no progress"
        return _from_ending(found, Failure.HANG, 0.6, f"Its time was over, and {silent}.")
    return _from_ending(found, Failure.DEADLINE, 0.85, "It made progress until its time was over.")


def _without_words(found: Scan, lines: Sequence[Candidate], ending: Ending) -> Finding:
    by_code = ending.by_code
    if by_code is not None:
        failure, sure, why = by_code
        return _from_ending(found, failure, sure, f"{why}.")
    if _ends_in_nan(found):
        return _from_ending(found, Failure.NUMERICS, 0.6, "The loss is no number any more.")
    weak = max(lines, key=lambda line: (line.gravity, line.rule.sure, line.offset), default=None)
    if weak is not None:
        return _from(weak, found, ending)
    grave = max(
        (one for one in found.templates if one.rule is None), key=lambda one: (one.gravity, one.offset), default=None
    )
    if grave is not None:
        line = DecisiveLine(grave.offset, grave.number, grave.example.strip()[:400])
        return Finding(Failure.CODE_ERROR, 0.35, f"It ended with an error: {line.text}", (line,), _context(found, None))
    code = "no exit code" if ending.code is None else f"exit code {ending.code}"
    return _from_ending(found, Failure.CODE_ERROR, 0.2, f"It ended with {code}, and its log does not say why.")


def _from(reason: Candidate, found: Scan, ending: Ending) -> Finding:
    confidence = reason.rule.sure * (1.0 if reason.is_exception else 0.9) * (0.7 if reason.rule.follows else 1.0)
    if ending.is_clean:
        confidence *= 0.85
    return Finding(
        reason.failure,
        round(confidence, 2),
        f"{reason.failure.meaning} {reason.text}"[:600],
        reason.lines,
        _context(found, reason),
        reason.writer.decode(errors="replace"),
        reason.offset if reason.is_exception else None,
    )


def _from_ending(found: Scan, failure: Failure, confidence: float, why: str) -> Finding:
    return Finding(failure, confidence, f"{failure.meaning} {why}", (), _context(found, None))


def _context(found: Scan, reason: Candidate | None) -> tuple[DecisiveLine, ...]:
    """What was last said before it: by the one that failed, and by each other rank."""
    if reason is not None and (reason.context.before or reason.context.others):
        own, others = reason.context.before[-_CONTEXT_LINES * 2 :], reason.context.others[-_MAX_OTHERS:]
    else:
        name = b"" if b"" in found.writers.names else next(iter(found.writers.names), b"")
        own, others = found.writers.last_of(name)[-_CONTEXT_LINES:], found.writers.last_of_others(name)[-_MAX_OTHERS:]
    return tuple(decisive(line) for line in sorted((*own, *others), key=lambda line: line.offset))
