"""What can go wrong at the command line, and the exit code that tells CI which it was.

| exit code | meaning |
| --- | --- |
| 0 | the run succeeded, or the command did |
| 1 | the run failed |
| 2 | bad usage: mend the command, the file, the key or the run's id |
| 3 | infrastructure: the API cannot be reached or is at fault; safe to repeat |
| 4 | the run was cancelled |
| 5 | the run timed out |
| 6 | a budget or quota is used up |
| 7 | the run needs a human |
| 130 | Ctrl-C; a run that was followed goes on |
"""

from services.core.errors import BadRequest, CohortError, Conflict, NotFound

OK, FAILED, USAGE, INFRASTRUCTURE, QUOTA, INTERRUPTED = 0, 1, 2, 3, 6, 130

_QUOTA_STATUSES = frozenset({402, 429})
_PASSING_CLIENT_STATUSES = frozenset({408, 425})


class Usage(BadRequest):
    """The caller asked for what cannot be."""


class Unreachable(CohortError):
    """The API gives no answer, or one that says it cannot at the moment. Safe to repeat."""


class Bewildering(CohortError):
    """Something answers, but not as Cohort's API does."""


class Refused(CohortError):
    """The API understood and said no. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def exit_code_of(error: CohortError) -> int:
    """The exit code of a command that ended with `error`."""
    match error:
        case Refused():
            return _exit_code_of_status(error.status)
        case BadRequest() | NotFound() | Conflict():
            return USAGE
        case _:
            return INFRASTRUCTURE


def is_passing(status: int) -> bool:
    """Whether an HTTP status says "not now" rather than "no"."""
    return status >= 500 or status in _PASSING_CLIENT_STATUSES


def _exit_code_of_status(status: int) -> int:
    if status in _QUOTA_STATUSES:
        return QUOTA
    return INFRASTRUCTURE if is_passing(status) else USAGE
