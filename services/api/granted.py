"""Which objects of the shared store an attempt may read: remembered, so that its list is not made anew for each."""

from collections import OrderedDict
from threading import Lock

from services.core.manifest import Manifest


class Granted:
    """Sizes by sha256, for the attempts that asked last. Safe for threads."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._lock = Lock()
        self._sizes: OrderedDict[str, dict[str, int]] = OrderedDict()

    def grant(self, attempt: str, manifest: Manifest) -> None:
        """Let the attempt read what its list names."""
        with self._lock:
            self._sizes[attempt] = {file.sha256: file.size for file in manifest.files}
            self._sizes.move_to_end(attempt)
            while len(self._sizes) > self._most:
                self._sizes.popitem(last=False)

    def size(self, attempt: str, sha256: str) -> int | None:
        """The object's bytes; None where nothing is known that lets the attempt read it."""
        with self._lock:
            return self._sizes.get(attempt, {}).get(sha256)
