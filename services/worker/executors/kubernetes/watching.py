"""One kind of object of the namespace, kept current: list once, watch from there, list again every few minutes.

A watch may miss things or go silent, so the list is the truth and the watch only makes it early. Who is told of a
change is told nothing but where: readers look at what is there now, whenever they look.
"""

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import structlog

from services.worker.executors.kubernetes.client import Cluster, ClusterUnreachable, Json, Kind, Refused, Stream
from services.worker.executors.kubernetes.metrics import DUE, EXPIRED, FAILED, REFUSED, START, UNREACHABLE

log = structlog.get_logger()

_RELIST_SECONDS = 300.0
_WATCH_SECONDS = (240, 290)
# Less than the silence after which a connection counts as dead: without bookmarks there may be nothing to say.
_QUIET_WATCH_SECONDS = (60, 80)
_LONGEST_PAUSE_SECONDS = 10.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Kept:
    """An object as it was last seen, and whether it is gone since."""

    body: Json
    arrived: float
    is_gone: bool = False


class Watched:
    """All objects of one kind with the given labels. `trim` says what of one is worth keeping, `group` what it belongs
    to. With `keeps_gone` an object that was deleted stays readable until its group is forgotten. Without
    `has_bookmarks` the cluster says nothing of this kind while nothing changes.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        selector: str,
        trim: Callable[[Json], Json],
        group: Callable[[Json], str],
        keeps_gone: bool = False,
        has_bookmarks: bool = True,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._selector = selector
        self._trim = trim
        self._group = group
        self._keeps_gone = keeps_gone
        self._watch_seconds = _WATCH_SECONDS if has_bookmarks else _QUIET_WATCH_SECONDS
        self._told: Callable[[str], None] = _to_nobody
        self._listed: Callable[[str], None] = _to_nobody
        self._why = START
        self._heard = time.monotonic()
        self._lock = threading.Lock()
        self._groups: dict[str, dict[str, Kept]] = {}
        self._synced = threading.Event()
        self._stopped = threading.Event()
        self._blind_since: float | None = time.monotonic()
        self.refusal = ""
        """How the cluster words it that it does not show us these objects; '' where it shows them, or is silent."""
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind[1]}", daemon=True)

    def tell(self, told: Callable[[str], None]) -> None:
        """Have `told` called, on the watch's thread, with the group of every object that changes from now on."""
        self._told = told

    def count(self, listed: Callable[[str], None]) -> None:
        """Have `listed` called, on the watch's thread, with the reason of every list that is taken from now on."""
        self._listed = listed

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        stream = self._stream
        if stream is not None:
            stream.stop()
        self._thread.join(_STOP_SECONDS)

    def await_sync(self, seconds: float) -> bool:
        """Wait for the first list; whether there was one."""
        return self._synced.wait(seconds)

    @property
    def name(self) -> str:
        """The kind of objects, in the plural."""
        return self._kind[1]

    @property
    def age_seconds(self) -> float:
        """Since when the cluster has said nothing of these objects, not even that nothing is new. NaN where it has
        refused to show them from the first: some may be kept from us."""
        if self.refusal and not self._synced.is_set():
            return math.nan
        return time.monotonic() - self._heard

    @property
    def blind_seconds(self) -> float:
        """For how long the cluster has not answered; 0 while it does."""
        since = self._blind_since
        return 0.0 if since is None else max(time.monotonic() - since, 0.001)

    def all(self) -> list[Kept]:
        with self._lock:
            return [kept for group in self._groups.values() for kept in group.values()]

    def groups(self) -> set[str]:
        """What has an object that is there."""
        with self._lock:
            return {name for name, group in self._groups.items() if not all(kept.is_gone for kept in group.values())}

    def of(self, group: str) -> list[Kept]:
        with self._lock:
            return list(self._groups.get(group, {}).values())

    def put(self, body: Json) -> None:
        """Take in an object that the cluster has just answered with, ahead of the watch."""
        self._keep(self._trim(body))

    def forget_but(self, groups: set[str]) -> None:
        """Drop every group but these."""
        with self._lock:
            for name in self._groups.keys() - groups:
                del self._groups[name]

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                self._follow()
                self._why, failures = DUE, 0
            except ClusterUnreachable as error:
                self._why, self.refusal = UNREACHABLE, ""
                failures = self._blind(failures, str(error))
            except Refused as error:
                if error.status == 410:
                    self._why = EXPIRED
                    log.info("watch_expired", kind=self.name)
                else:
                    self._why, self.refusal = REFUSED, str(error)
                    failures = self._blind(failures, str(error))
            except Exception:
                # The edge of the thread: a watch that ended would never be noticed.
                self._why = FAILED
                log.exception("watch_failed", kind=self.name)
                failures = self._blind(failures, "see the log")

    def _blind(self, failures: int, why: str) -> int:
        """Note that the cluster is not seen, and wait longer each time."""
        if self._stopped.is_set():
            return failures
        if self._blind_since is None:
            self._blind_since = time.monotonic()
            log.warning("cluster_not_seen", kind=self._kind[1], why=why)
        self._stopped.wait(random.uniform(0.5, 1.0) * min(0.5 * 2**failures, _LONGEST_PAUSE_SECONDS))
        return min(failures + 1, 10)

    def _follow(self) -> None:
        """List, then watch until it is time for the next list."""
        asked = time.monotonic()
        listed = self._cluster.list(self._kind, self._selector, self._trim)
        self._replace(listed.objects, asked)
        self._listed(self._why)
        self._see()
        version = listed.version
        relist_at = asked + _RELIST_SECONDS * random.uniform(0.8, 1.2)
        while not self._stopped.is_set() and time.monotonic() < relist_at:
            self._stream = self._cluster.watch(
                self._kind, version, random.randint(*self._watch_seconds), self._selector
            )
            self._see()
            with closing(self._stream) as stream:
                for change, body in stream:
                    self._heard = time.monotonic()
                    version = body["metadata"]["resourceVersion"]
                    self._apply(change, body)
                    if self._stopped.is_set() or time.monotonic() > relist_at:
                        break

    def _see(self) -> None:
        if self._blind_since is not None and self._synced.is_set():
            log.info("cluster_seen_again", kind=self._kind[1], seconds=round(self.blind_seconds, 1))
        self._blind_since, self._heard = None, time.monotonic()
        self.refusal = ""
        self._synced.set()

    def _apply(self, change: str, body: Json) -> None:
        match change:
            case "ADDED" | "MODIFIED":
                self._told(self._keep(self._trim(body)))
            case "DELETED":
                self._told(self._drop(self._trim(body)))
            case _:
                # A bookmark: nothing but a newer version.
                return

    def _keep(self, body: Json) -> str:
        """Take a trimmed object in. Returns its group."""
        name, uid = self._group(body), body["metadata"]["uid"]
        with self._lock:
            group = self._groups.setdefault(name, {})
            before = group.get(uid)
            if before is None or not (before.is_gone or _is_older(body, before.body)):
                group[uid] = Kept(body, time.monotonic())
        return name

    def _drop(self, body: Json) -> str:
        """Note that an object is gone. Returns its group."""
        name, uid = self._group(body), body["metadata"]["uid"]
        with self._lock:
            group = self._groups.setdefault(name, {})
            group.pop(uid, None)
            if self._keeps_gone:
                group[uid] = Kept(body, time.monotonic(), is_gone=True)
            elif not group:
                del self._groups[name]
        return name

    def _replace(self, objects: list[Json], asked: float) -> None:
        """Take a list as the truth, but for what arrived after it was asked for."""
        listed = {body["metadata"]["uid"] for body in objects}
        for body in objects:
            self._keep(body)
        for kept in self.all():
            if not (kept.is_gone or kept.body["metadata"]["uid"] in listed or kept.arrived >= asked):
                self._drop(kept.body)


def _to_nobody(_group: str) -> None:
    """Nobody has asked to be told."""


def _is_older(body: Json, than: Json) -> bool:
    """An answer of ours may come after what the watch has said since."""
    versions = (body["metadata"]["resourceVersion"], than["metadata"]["resourceVersion"])
    return all(version.isdigit() for version in versions) and int(versions[0]) < int(versions[1])
