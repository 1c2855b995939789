"""`cohort admin verify`: whether the store is sound."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable

from services.cli.admin.place import opened
from services.cli.output import print_json, remark
from services.cli.plain import one_line
from services.cli.problems import FAILED, OK
from services.keeping.findings import Finding
from services.keeping.install import Install
from services.keeping.repair import Repairs
from services.keeping.verify import Report, Verifier

_SAMPLED = 0.01
_PAUSE_SECONDS = 1.0
_TOLD_EVERY = 1_000


def run(options: Namespace) -> int:
    """Look, say what is wrong, and repair it if that is wanted. 1 where something is wrong, or was not repaired."""
    with opened() as install:
        report = _looked(install, options.deep)
        outcomes: list[dict[str, object]] = []
        if not options.json:
            _say(report)
        if options.repair and report.findings:
            outcomes = _repaired(install, report, remark if options.json else print)
            report = _looked(install, options.deep)
            if not options.json:
                _say(report)
    if options.json:
        print_json(_document(report, outcomes))
    return OK if report.is_clean else FAILED


def _looked(install: Install, deep: bool) -> Report:
    verifier = Verifier(install, 1.0 if deep else _SAMPLED, lambda: time.sleep(_PAUSE_SECONDS))
    return verifier.report(_progress)


def _progress(runs: int) -> None:
    if runs % _TOLD_EVERY == 0 and sys.stderr.isatty():
        remark(f"{runs} runs looked at")


def _repaired(install: Install, report: Report, say: Callable[[str], None]) -> list[dict[str, object]]:
    wanted = [finding for finding in report.findings if finding.is_repairable]
    left = len(report.findings) - len(wanted)
    say(f"repairing {len(wanted)} finding(s); {left} cannot be made again from what is left")
    outcomes: list[dict[str, object]] = []
    for done in Repairs(install).repair(wanted):
        say(f"  {done.subject}: {done.outcome}")
        outcomes.append({"subject": done.subject, "outcome": done.outcome, "done": done.is_done})
    return outcomes


def _say(report: Report) -> None:
    for finding in report.findings:
        print("\n".join(lines_of(finding)))
    looked = f"{report.runs} runs and {report.objects} objects looked at, {report.objects_read} of them read"
    print(f"{len(report.findings)} finding(s); {looked}" if report.findings else f"sound: {looked}")


def lines_of(finding: Finding) -> list[str]:
    """A finding for a person."""
    head = f"{finding.subject}: {one_line(finding.text, 500)}"
    return [head, f"  [{finding.kind}] {finding.kind.what_to_do}"]


def _document(report: Report, outcomes: list[dict[str, object]]) -> dict[str, object]:
    return {
        "runs": report.runs,
        "objects": report.objects,
        "objects_read": report.objects_read,
        "findings": [finding.wire() for finding in report.findings],
        "repairs": outcomes,
    }
