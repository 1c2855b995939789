"""Whether the controller's loop goes round. Who leads and who stands by have the same loop."""

import time

# A piece of a round may wait for the cluster, or for a large log on its way to the archive.
_LIMIT_SECONDS = 300.0


class Pulse:
    """When the loop last came by, for whoever probes this process from another thread."""

    def __init__(self, limit_seconds: float = _LIMIT_SECONDS) -> None:
        self._limit = limit_seconds
        self._last = time.monotonic()

    def beat(self) -> None:
        """The loop is here."""
        self._last = time.monotonic()

    def trouble(self) -> str:
        """Why this process is not alive; empty while it is."""
        silent = time.monotonic() - self._last
        return f"the loop has stood still for {silent:.0f} s" if silent > self._limit else ""
