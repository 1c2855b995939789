"""The sections of a digest: what each says of a scanned log, as lines of bounded length, with what it leaves out."""

import signal
from dataclasses import dataclass

from services.core.diagnosis.candidates import decisive
from services.core.diagnosis.finding import DecisiveLine, Finding
from services.core.log_scan import Crash, Scan, Template
from services.core.loglines import clean
from services.core.taxonomy import Failure
from services.core.tracebacks import HEADER, Chain, Frame, Part

_MAX_LINE = 400
_MAX_EVENTS = 8
_MAX_TEMPLATES = 12
_MAX_SERIES = 20
_MAX_AFTER = 6


@dataclass(frozen=True)
class Verdict:
    """What the platform knows of an attempt that is over: worth more than anything its log says.

    `phase` and `reason` are the platform's words; `events` what the cluster said of the pod, oldest first. `rank` is
    whose log it is, of an attempt on several nodes.
    """

    phase: str
    exit_code: int | None = None
    reason: str = ""
    peak_rss_bytes: int | None = None
    step: str = ""
    attempt: int = 1
    rank: int | None = None
    memory_limit_bytes: int | None = None
    events: tuple[str, ...] = ()


def verdict_lines(verdict: Verdict, found: Scan) -> list[str]:
    facts = [verdict.phase]
    if verdict.exit_code is not None:
        facts.append(f"exit code {verdict.exit_code}{_signal_name(verdict.exit_code)}")
    if verdict.reason:
        facts.append(f"reason: {verdict.reason}")
    if verdict.peak_rss_bytes is not None:
        limit = f" of {_mebibytes(verdict.memory_limit_bytes)}" if verdict.memory_limit_bytes else ""
        facts.append(f"peak memory {_mebibytes(verdict.peak_rss_bytes)}{limit}")
    lines = [clip(clean(f"Verdict: {', '.join(facts)}"))]
    lines += [clip(clean(f"  event: {event}")) for event in verdict.events[-_MAX_EVENTS:]]
    if len(verdict.events) > _MAX_EVENTS:
        lines.append(f"  ({len(verdict.events) - _MAX_EVENTS} earlier events left out)")
    lines.append(f"Log: {found.size} bytes" if found.size else "Log: empty, the program printed nothing")
    return lines


def _signal_name(exit_code: int) -> str:
    number = exit_code - 128 if exit_code > 128 else -exit_code
    try:
        return f" ({signal.Signals(number).name})" if number > 0 else ""
    except ValueError:
        return ""


def finding_lines(finding: Finding) -> list[str]:
    """The diagnosis: class, cause, the lines it rests on, and what was said before."""
    if finding.failure is Failure.NONE:
        return [f"Diagnosis: none. {finding.cause}"]
    lines = [
        f"Diagnosis: {finding.failure} (mended by: {finding.owner}), confidence {finding.confidence:.0%}",
        clip(clean(finding.cause)),
    ]
    lines += [_placed(line) for line in finding.lines]
    if finding.context:
        lines.append("What was said before, by it and by each other rank:" if finding.lines else "What was said last:")
        lines += [_placed(line) for line in finding.context]
    return lines


def _placed(line: DecisiveLine) -> str:
    return f"  line {line.number}, byte {line.offset}: {clip(clean(line.text.rstrip()))}"


def exception_lines(found: Scan, finding: Finding, verdict: Verdict, room: int) -> list[str]:
    """The exception that the diagnosis rests on, then the first of each rank and the last of all."""
    chains = sorted(found.tracer.chains(), key=lambda chain: chain.offset != finding.chain_offset)
    crashes = {crash.chain.offset: crash for crash in found.crashes}
    first = crashes.get(finding.chain_offset) if finding.chain_offset is not None else None
    if first is not None and first.chain not in chains:
        chains = [first.chain, *chains]
    if not chains:
        return []
    lines: list[str] = []
    share = max(300, room // (len(chains) + 1))
    for index, chain in enumerate(chains):
        is_reason = chain.offset == finding.chain_offset
        which = _which(found, chain, is_reason)
        rank = f" of rank {chain.rank}" if chain.rank is not None else ""
        lines.append(f"\n{which} exception{rank}, at byte {chain.offset} ({call(verdict, chain.offset)})")
        lines += _fitting(chain, share * 2 if index == 0 else share)
        if chain.offset in crashes:
            lines += _after(crashes[chain.offset])
    more = found.tracer.count - len(chains)
    if more > 0:
        lines.append(f"[{more} more exceptions: step_log({_log_of(verdict)}, search={HEADER[:9]!r})]")
    return lines


def _which(found: Scan, chain: Chain, is_reason: bool) -> str:
    if chain in found.tracer.first.values():
        return "First"
    return "Decisive" if is_reason else "Last"


def _after(crash: Crash) -> list[str]:
    """The lines of a message that goes on without indentation."""
    lines = [line.text for line in map(decisive, crash.after) if line.text]
    shown = [clip(line) for line in lines[:_MAX_AFTER]]
    return shown if len(lines) <= _MAX_AFTER else [*shown, f"[{len(lines) - _MAX_AFTER} lines left out]"]


def _fitting(chain: Chain, room: int) -> list[str]:
    """The chain with as many frames as the room allows; the messages are never given up for frames."""
    lines: list[str] = []
    for frames in (8, 5, 3, 2, 1):
        lines = _chain_lines(chain, frames)
        if sum(len(line) + 1 for line in lines) <= room:
            break
    return lines


def _chain_lines(chain: Chain, frames: int) -> list[str]:
    lines: list[str] = []
    for index, part in enumerate(chain.parts):
        if part.joined_by:
            lines += ["", part.joined_by, ""]
        if index == 1 and chain.parts_left_out:
            lines.append(f"[{chain.parts_left_out} exceptions of the chain left out]")
        lines += _part_lines(part, frames)
    return lines


def _part_lines(part: Part, frames: int) -> list[str]:
    lines = [f"{HEADER}:"]
    position = 0
    for frame in _chosen(part, frames):
        if frame.position > position:
            lines.append(f"  [{frame.position - position} frames left out]")
        lines += [clip(line) for line in frame.lines]
        position = frame.position + 1
    return lines + [clip(line) for line in part.message]


def _chosen(part: Part, frames: int) -> list[Frame]:
    """The last frames, and of the user's own files the last one whatever is called from there."""
    own = [frame for frame in part.frames if frame.position < part.frame_count - len(part.frames)]
    last = list(part.frames[-frames:])
    earlier = [frame for frame in part.frames if frame not in last]
    users = [frame for frame in earlier if frame in own or "site-packages" not in frame.lines[0]]
    return users[-1:] + last


def template_lines(found: Scan, verdict: Verdict) -> list[str]:
    if not found.templates:
        return []
    ranked = sorted(found.templates, key=lambda it: (-it.gravity, it.count, it.offset))
    total = sum(template.count for template in ranked)
    lines = [f"\nLines that tell of trouble, rarest first ({total} in {len(ranked)} forms)"]
    lines += [_template_line(template) for template in ranked[:_MAX_TEMPLATES]]
    left = len(ranked) - _MAX_TEMPLATES
    if left > 0 or found.templates_left_out:
        more = f"{max(0, left) + found.templates_left_out} more forms"
        lines.append(f"[{more}: step_log({_log_of(verdict)}, search='error')]")
    return lines


def _template_line(template: Template) -> str:
    return f"{template.count}× from byte {template.offset}: {clip(template.example.strip())}"


def metric_lines(found: Scan, verdict: Verdict) -> list[str]:
    rows = found.metrics.rows()
    if not rows:
        return []
    part = "" if found.metrics_whole else " (from the first and last parts of the log, its evaluations and its NaN)"
    lines = [f"\nMetrics{part}", *(clip(row) for row in rows[:_MAX_SERIES])]
    left = len(rows) - _MAX_SERIES + (found.metrics.left_out > 0)
    if left > 0 or not found.metrics_whole:
        lines.append(f"[{max(0, left)} more series; all points: step_metrics({_of(verdict)})]")
    return lines


def _of(verdict: Verdict) -> str:
    return f"step={clean(verdict.step)!r}, attempt={verdict.attempt}"


def _log_of(verdict: Verdict) -> str:
    return _of(verdict) if verdict.rank is None else f"{_of(verdict)}, rank={verdict.rank}"


def call(verdict: Verdict, offset: int) -> str:
    return f"step_log({_log_of(verdict)}, offset={offset})"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def clip(text: str) -> str:
    """One line, shortened in the middle: both ends of a long line say something."""
    text = text.replace("\n", " ")
    if len(text) <= _MAX_LINE:
        return text
    half = _MAX_LINE // 2
    return f"{text[:half]}[… {len(text) - 2 * half} characters left out …]{text[-half:]}"
