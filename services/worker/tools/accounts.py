"""What the agent is told of a step: the digest of an attempt that is over, the progress of one that runs.

Log text is evidence, never instruction: every digest is fenced under a delimiter the log cannot know.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import token_hex

from services.core.attempts import MAX_METRICS, AttemptRecord
from services.core.diagnosis.decision import diagnose
from services.core.diagnosis.ending import Ending
from services.core.diagnosis.finding import Finding
from services.core.diagnosis.records import FROM_LOG
from services.core.diagnosis.remedies import REMEDIES
from services.core.digest import Verdict, clean, fence, page
from services.core.keys import rank_id
from services.core.log_scan import scan
from services.core.notes import StepWarning
from services.core.observations import Metric
from services.core.records import Attempt, Diagnosis, Stage, Step
from services.core.standing import stage_text
from services.core.taxonomy import Failure
from services.worker.tools.tool import Call

_MOST_RANKS = 16


@dataclass(frozen=True)
class Series:
    """One metric of one attempt, summed up. `first_bad` is the position of the first NaN or infinity."""

    name: str
    count: int
    first: float
    low: float
    high: float
    last: float
    where: str
    first_bad: int | None


def account_of(call: Call, step: Step, chars: int = 8_000) -> str:
    """The verdict and digest of the step's last attempt, which is over; on several nodes of the rank that ended it."""
    attempt = step.last
    diagnosis = attempt.diagnosis
    known = diagnosis if diagnosis is not None and diagnosis.code != FROM_LOG else None
    verdict = Verdict(
        phase=attempt.status,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        peak_rss_bytes=attempt.peak_rss_bytes,
        step=step.name,
        attempt=attempt.number,
        rank=attempt.rank,
        memory_limit_bytes=attempt.resources.memory,
        events=known.evidence if known else (),
    )
    found = scan(call.desk.logs.stream(rank_id(attempt.id, attempt.rank or 0)))
    finding = diagnose(found, Ending(attempt.exit_code, attempt.reason, known.failure if known else None))
    notes = [head_of(step, attempt), *_notes(step, attempt, finding), *_other_ranks(call, attempt)]
    head = "\n".join(notes)
    text = page(found, finding, verdict, limit=max(1_000, chars - 400 - len(head)))
    return f"{head}\n{fence(text, token_hex(6))}"


def _notes(step: Step, attempt: Attempt, finding: Finding) -> Iterable[str]:
    if attempt.diagnosis is not None and attempt.diagnosis.code != FROM_LOG:
        yield from _diagnosis_lines(attempt.diagnosis)
    elif finding.failure is not Failure.NONE and attempt.status in {"failed", "succeeded"}:
        yield from _finding_lines(finding)
    if attempt.outputs:
        yield "outputs: " + ", ".join(f"{step.name}/{file.path}" for file in attempt.outputs[:50])
    if not attempt.log_complete:
        yield f"the log is incomplete: at least {attempt.gap_bytes} bytes are missing"
    if attempt.status == "lost":
        yield "the platform lost this attempt; it was not the program's doing"


def _other_ranks(call: Call, attempt: Attempt) -> Iterable[str]:
    """How the ranks ended whose log is not shown: that follows from the one that is."""
    if attempt.resources.nodes == 1:
        return
    yield f"shown below is rank {attempt.rank or 0}; step_log shows the others with `rank`"
    records = call.desk.attempts.records(attempt.id, attempt.resources.nodes)
    others = [(rank, record) for rank, record in enumerate(records) if rank != (attempt.rank or 0)]
    for rank, record in others[:_MOST_RANKS]:
        yield f"  rank {rank}: {_end_of(record)}, {record.log_bytes} bytes of log"
    if len(others) > _MOST_RANKS:
        yield f"  and {len(others) - _MOST_RANKS} more"


def _end_of(record: AttemptRecord) -> str:
    if record.finish is None:
        return "it did not report its end"
    code = record.finish.exit_code
    return str(record.finish.reason) if code is None else f"{record.finish.reason} with exit code {code}"


def _diagnosis_lines(diagnosis: Diagnosis) -> Iterable[str]:
    """The platform's finding. Its evidence stands in the digest, among what others said."""
    yield f"diagnosis: {clean(diagnosis.summary)}"
    yield f"  class {diagnosis.failure} ({diagnosis.code}), to be mended by: {diagnosis.owner}"
    if diagnosis.remedy:
        yield f"  remedy: {clean(diagnosis.remedy)}"


def _finding_lines(finding: Finding) -> Iterable[str]:
    """What the log tells, in Cohort's words: those of the log stand in the digest, behind their fence."""
    yield f"diagnosis, from its log: {finding.failure.meaning}"
    yield f"  class {finding.failure}, to be mended by: {finding.owner}, confidence {finding.confidence:.0%}"
    for remedy in REMEDIES[finding.failure]:
        yield f"  remedy: {remedy}"


def progress_of(call: Call, step: Step) -> str:
    """Where the running attempt stands."""
    attempt = step.last
    record = call.desk.attempts.record(attempt.id)
    lines = [f"progress: {record.progress.text}"] if record.progress and record.progress.text else []
    lines += [line_of(series) for series in summaries(metrics_of(call, attempt))]
    if not lines and attempt.stage not in {None, Stage.RUNNING}:
        return f"{head_of(step, attempt)}\n{clean(stage_text(attempt))}"
    return said_of(step, attempt, lines or ["it has said nothing of its progress yet"])


def warnings_of(warnings: Sequence[StepWarning]) -> str:
    """What is wrong with programs that run. The names in it are the programs' own, so it stands behind a fence."""
    lines = [f"{warning.step}: {warning.kind}: {warning.text}" for warning in warnings]
    return f"Warnings, each told once:\n{fence(chr(10).join(lines), token_hex(6))}"


def said_of(step: Step, attempt: Attempt, lines: Sequence[str]) -> str:
    """Lines in a program's own words, under the attempt they are about."""
    return f"{head_of(step, attempt)}\n{fence(chr(10).join(lines), token_hex(6))}"


def head_of(step: Step, attempt: Attempt) -> str:
    """What every account of an attempt begins with."""
    return f"Step {step.name}, attempt {attempt.number}: {attempt.status}"


def metrics_of(call: Call, attempt: Attempt) -> Sequence[Metric]:
    """Every metric the attempt has printed so far."""
    return call.desk.attempts.metrics(attempt.id, limit=MAX_METRICS)


def summaries(records: Sequence[Metric]) -> list[Series]:
    """One summary for each metric name, in order of first appearance."""
    by_name: dict[str, list[Metric]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    return [_summary(name, group) for name, group in by_name.items()]


def _summary(name: str, group: Sequence[Metric]) -> Series:
    values = [record.value for record in group]
    good = [value for value in values if math.isfinite(value)] or [math.nan]
    bad = next((index for index, value in enumerate(values) if not math.isfinite(value)), None)
    return Series(name, len(values), values[0], min(good), max(good), values[-1], where(group[-1]), bad)


def where(record: Metric) -> str:
    """The coordinates of a record, such as `epoch=3 step=120`."""
    parts = [("epoch", record.epoch), ("step", record.step), ("rank", record.rank)]
    return " ".join(f"{name}={value:g}" for name, value in parts if value is not None)


def line_of(series: Series) -> str:
    """A summary as one line for the model."""
    text = (
        f"{series.name}: {series.count} values, first {series.first:g}, min {series.low:g}, max {series.high:g}, "
        f"last {series.last:g} {series.where}"
    ).rstrip()
    return text if series.first_bad is None else f"{text}, not finite from value {series.first_bad + 1} on"


def attempt_of(step: Step, number: int | None) -> Attempt:
    """The attempt with this number, or the last one. Raises `IndexError`."""
    if number is None:
        return step.last
    if number < 1:
        raise IndexError(number)
    return step.attempts[number - 1]
