"""Names that are many, kept to the first so many that were ever seen: a label must not have more values than that.

Who is on a roster stays there, and Redis keeps it, so that all processes of an install count alike.
"""

from services.core import keys
from services.core.errors import StoreUnavailable
from services.core.monitoring.series import OTHER
from services.core.redis import Client, answered, run_script

MOST_NAMES = 50
# More than these are asked for each time: whoever invents names must not fill a process's memory.
_MOST_REMEMBERED = 10_000


class Roster:
    """The names of one kind. Threads may share it."""

    def __init__(self, client: Client, kind: str, most: int = MOST_NAMES) -> None:
        self._client = client
        self._key = keys.roster(kind)
        self._most = most
        self._known: dict[str, str] = {}

    def label(self, name: str) -> str:
        """The label of a name: itself where it is on the roster, which it joins if there is a place; else `other`.

        Redis is asked once for each name. While it is away, names that are new to this process are `other`.
        """
        known = OTHER if name == OTHER else self._known.get(name)
        if known is not None:
            return known
        try:
            has_place = run_script(self._client, "roster_join", [self._key], [name, self._most])
        except StoreUnavailable:
            return OTHER
        label = name if has_place else OTHER
        if len(self._known) < _MOST_REMEMBERED:
            self._known[name] = label
        return label

    def seen(self, name: str) -> str:
        """The label of a name without taking it in: `other` unless this process has met it on the roster."""
        return self._known.get(name, OTHER)

    @answered
    def names(self) -> set[str]:
        """Who is on the roster."""
        return {name.decode() for name in self._client.smembers(self._key)}
