"""What can go wrong when something outside is asked. Each says what to do instead."""

from services.core.errors import CohortError


class WebError(CohortError):
    """Something outside could not be had."""


class NotAllowed(WebError):
    """The address is none that a tool may reach."""


class NotThere(WebError):
    """404 or 410."""


class Gated(WebError):
    """401 or 403: it needs a token, another one, or somebody's consent."""


class Busy(WebError):
    """429, or 5xx, and still so after several tries. `again_in_seconds`, where it said so."""

    def __init__(self, text: str, again_in_seconds: float | None = None) -> None:
        super().__init__(text)
        self.again_in_seconds = again_in_seconds


class Unreachable(WebError):
    """No connection, no name, or no answer in time."""


class TooLarge(WebError):
    """More than was asked for."""


class Odd(WebError):
    """An answer that is not what was due: a page where data was to be, broken JSON, another status."""
