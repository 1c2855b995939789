"""The copy that a node keeps of what a container wrote to its stdout."""

import time
from collections import deque
from collections.abc import Iterable

import structlog

from services.worker.executors import MOST_REMAINS_BYTES, Observed, Remains
from services.worker.executors.kubernetes.case import MAIN, Case
from services.worker.executors.kubernetes.client import Cluster, ClusterUnreachable, Refused

log = structlog.get_logger()

_MOST_SECONDS = 20.0


def remains_of(cluster: Cluster, seen: Observed, case: Case) -> Remains | None:
    """What the node has of the program's output, as far as the shim passed on all of it; None where that is not so.

    A node that never told of the program's end is not asked: it would keep everybody waiting.
    """
    exit = seen.exit
    if case.pod is None or case.is_pod_gone or not case.main.terminated or exit is None:
        return None
    if exit.gaps or exit.stdout_left_out_bytes:
        return None
    try:
        before, data = last_of(cluster.read_log(case.pod["metadata"]["name"], MAIN))
    except (Refused, ClusterUnreachable) as error:
        log.warning("remains_not_read", attempt=seen.attempt, rank=case.rank, why=str(error))
        return None
    # Of a program whose shim was killed with it, nobody counted the bytes.
    return Remains(data, before, exit.bytes or None, is_exact=False) if data else None


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
