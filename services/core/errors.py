"""Every error Cohort raises on purpose has `CohortError` at its root.

An error says what is wrong and what to do. Services map them to HTTP, to exit codes or to text for the model; they
never look into the message to find out which one it is.
"""


class CohortError(Exception):
    """Root of all errors raised on purpose."""


class BadRequest(CohortError):
    """Input that breaks a written rule. Nothing was changed.

    `field` names the offending input as the caller wrote it (`limits.turns`), empty when it is the whole.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFound(CohortError):
    """The thing does not exist, or belongs to another tenant: the two are never told apart."""


class RunNotFound(NotFound):
    """No such run for this tenant."""


class StepNotFound(NotFound):
    """No such step or attempt in this run."""


class Fenced(CohortError):
    """The caller's lease generation is over: another worker owns the run. The caller drops its work."""


class Stale(CohortError):
    """The log moved on since the caller read it. Fold the new events and decide again."""


class IllegalTransition(CohortError):
    """A status move that is no row of the lifecycle table. A bug, not an input error."""


class Conflict(CohortError):
    """The request contradicts what is stored (same idempotency key with another body, a run that is over)."""


class BudgetSpent(CohortError):
    """The reservation would pass a cap. `scope` is `run` or `tenant`."""

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class StoreUnavailable(CohortError):
    """Redis cannot be reached or refuses work. Safe to repeat later: every write is idempotent."""


class NewerRecord(CohortError):
    """A newer version of Cohort wrote this record. This process leaves it alone, for one that knows it."""
