"""A finding as the run's record keeps it."""

from services.core.diagnosis.finding import Finding
from services.core.diagnosis.remedies import REMEDIES
from services.core.loglines import clean
from services.core.records import Diagnosis

FROM_LOG = "from_log"
"""The code of a diagnosis that rests on what the program wrote, and on no word of the cluster."""

_MAX_SUMMARY = 500
_MAX_LINE = 300
_MAX_LINES = 4


def recorded(finding: Finding) -> Diagnosis:
    """The finding as a diagnosis. It is not retriable: what to do about it is for the agent to say."""
    return Diagnosis(
        failure=finding.failure,
        owner=finding.owner,
        code=FROM_LOG,
        summary=_line(finding.cause, _MAX_SUMMARY),
        evidence=tuple(_line(line.text, _MAX_LINE) for line in finding.lines[:_MAX_LINES]),
        remedy="; ".join(REMEDIES[finding.failure]),
        confidence=finding.confidence,
    )


def _line(text: str, most: int) -> str:
    return " ".join(clean(text).split())[:most]
