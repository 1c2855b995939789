"""What looked wrong once, and is looked at again before anybody hears of it."""

from collections.abc import Callable, Iterable

from services.keeping.findings import Finding

_LOOKS_AGAIN = 2
Look = Callable[[], Iterable[Finding]]


class Suspects:
    """What was found at first, each with how to look again. Bounded by how much is wrong."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[Look, list[Finding]]] = {}

    def add(self, subject: tuple[str, str], findings: list[Finding], again: Look) -> None:
        """Put findings of a subject aside; none is no suspicion."""
        if findings:
            self._found[subject] = (again, findings)

    def confirmed(self, pause: Callable[[], None]) -> list[Finding]:
        """Those that hold at every later look, each after a pause."""
        left = self._found
        for _ in range(_LOOKS_AGAIN):
            if left:
                pause()
            looks = {subject: (again, _still(again, found)) for subject, (again, found) in left.items()}
            left = {subject: look for subject, look in looks.items() if look[1]}
        return [finding for _, found in left.values() for finding in found]


def _still(again: Look, found: list[Finding]) -> list[Finding]:
    """Those of the findings that a new look finds too."""
    now = set(again())
    return [finding for finding in found if finding in now]
