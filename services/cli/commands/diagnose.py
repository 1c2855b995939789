"""`cohort diagnose --log FILE`: why a program failed, from its log, its exit code and its pod. Needs no server."""

import json
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from services.cli.output import print_json
from services.cli.problems import Usage
from services.cli.terminal import look_of
from services.core.diagnosis.decision import diagnose
from services.core.diagnosis.ending import Ending
from services.core.diagnosis.finding import Finding
from services.core.diagnosis.pods import PodEnding, read_pod
from services.core.diagnosis.remedies import REMEDIES
from services.core.digest import Verdict, page
from services.core.log_scan import scan

_PIECE = 1 << 20


def run(options: Namespace) -> int:
    """Print the diagnosis. The exit code is 0 whatever it is."""
    pod = _pod(options.pod) if options.pod else PodEnding()
    code = options.exit_code if options.exit_code is not None else pod.exit_code
    ending = Ending(code, options.reason or pod.reason)
    found = scan(_pieces(options.log))
    finding = diagnose(found, ending)
    phase = "succeeded" if code == 0 else "failed"
    text = page(found, finding, Verdict(phase, code, ending.reason, events=pod.evidence))
    if options.json:
        print_json(_wire(finding, text))
    else:
        print("\n".join(_report(finding, text, min(look_of(sys.stdout).width, 100))))
    return 0


def _pieces(name: str) -> Iterator[bytes]:
    with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _pod(name: str) -> PodEnding:
    try:
        return read_pod(json.loads(sys.stdin.read() if name == "-" else Path(name).read_text()))
    except ValueError as error:
        raise Usage(f"--pod: {name} is no pod in JSON: {error}") from error


def _wire(finding: Finding, text: str) -> dict[str, Any]:
    return {
        "class": finding.failure,
        "owner": finding.owner,
        "confidence": finding.confidence,
        "cause": finding.cause,
        "rank": finding.rank,
        "lines": [{"line": one.number, "offset": one.offset, "text": one.text} for one in finding.lines],
        "remedies": list(REMEDIES[finding.failure]),
        "digest": text,
    }


def _report(finding: Finding, text: str, width: int) -> Iterator[str]:
    yield f"{finding.failure} (mended by: {finding.owner}), confidence {finding.confidence:.0%}"
    yield textwrap.fill(finding.cause, width)
    for remedy in REMEDIES[finding.failure]:
        yield textwrap.fill(remedy, width, initial_indent="  - ", subsequent_indent="    ")
    yield f"\n{text}"
