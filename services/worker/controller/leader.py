"""Who leads: a lease in Redis. Two leaders for a moment are harmless, since everything they do is repeatable."""

import time
from contextlib import suppress

from services.core import keys
from services.core.errors import StoreUnavailable
from services.core.redis import Client, run_script


class Leadership:
    """This process's claim to one role."""

    def __init__(self, client: Client, role: str, name: str, seconds: float) -> None:
        self._client = client
        self._role = role
        self._name = name
        self._seconds = seconds
        self._until = 0.0
        self.is_settled = False
        """Whether Redis has said, at least once, who leads."""

    def hold(self) -> bool:
        """Become or stay leader; True while this process may act as such."""
        asked = time.monotonic()
        if asked < self._until - self._seconds * 2 / 3:
            return True
        try:
            leads = run_script(self._client, "lead", [keys.leader(self._role)], [self._name, int(self._seconds * 1000)])
        except StoreUnavailable:
            return asked < self._until
        self._until = asked + self._seconds if leads else 0.0
        self.is_settled = True
        return bool(leads)

    def resign(self) -> None:
        """Lead no longer: another need not wait until this lease runs out. Who does not lead changes nothing."""
        if time.monotonic() < self._until:
            self._until = 0.0
            with suppress(StoreUnavailable):
                run_script(self._client, "lead", [keys.leader(self._role)], [self._name, 0])
