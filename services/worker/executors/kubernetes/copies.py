"""The copy that a node keeps of what a container wrote to its stdout."""

import time
from collections import deque
from collections.abc import Iterable

from services.worker.executors import MOST_REMAINS_BYTES
from services.worker.executors.kubernetes.client import ClusterUnreachable

_MOST_SECONDS = 20.0


def last_of(
    pieces: Iterable[bytes], most: int = MOST_REMAINS_BYTES, seconds: float = _MOST_SECONDS
) -> tuple[int, bytes]:
    """How many bytes came before the last `most`, and those. Holds little more in memory.

    Raises `ClusterUnreachable` where it takes longer than `seconds`: a copy without its end is none.
    """
    give_up, before, held = time.monotonic() + seconds, 0, 0
    kept: deque[bytes] = deque()
    for piece in pieces:
        if time.monotonic() > give_up:
            raise ClusterUnreachable(f"a log took longer than {seconds:g} s")
        kept.append(piece)
        held += len(piece)
        while held - len(kept[0]) >= most:
            held -= len(kept[0])
            before += len(kept.popleft())
    data = b"".join(kept)
    return before + max(0, held - most), data[-most:]
