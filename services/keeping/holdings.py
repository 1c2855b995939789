"""Whether what is named is in the artifact store, whole. What was found good once is not looked at again."""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256 as hash_of
from typing import BinaryIO

import google_crc32c

from services.core.artifacts import CHUNK_BYTES, ArtifactDamaged, ArtifactNotFound, ArtifactStore
from services.core.logs import Layout, LogStore, Segment, object_of
from services.core.trees import EMPTY, BadSnapshot, decode

_REMEMBERED = 200_000
_SPAN = 2**32


class Holdings:
    """Looks at objects. Of their bytes a `fraction` of all objects is read, 1 for every one; others are only there and
    as long as they should be. Raises `ArtifactStoreUnavailable`."""

    def __init__(self, artifacts: ArtifactStore, fraction: float) -> None:
        self._artifacts = artifacts
        self._fraction = fraction
        # Another part of the objects at each time.
        self._turn = random.randrange(_SPAN)
        self._good: OrderedDict[str, None] = OrderedDict()
        self.looked_at = 0
        self.read = 0

    def object(self, sha256: str, size: int | None = None) -> str | None:
        """What is wrong with the object, None where nothing is."""
        if sha256 in self._good:
            return None
        self.looked_at += 1
        try:
            there = self._artifacts.size(sha256)
            if size is not None and there != size:
                return f"object {sha256} has {there} bytes, not {size}"
            if self._is_chosen(sha256) and self._digest(self._artifacts.open, sha256) != sha256:
                return f"object {sha256} does not hash to its name"
        except ArtifactNotFound:
            return f"object {sha256} is not in the artifact store"
        self._remember(sha256)
        return None

    def snapshot(self, root: str) -> Iterator[str]:
        """What is wrong with a snapshot: its trees, and the files they name."""
        waiting = [] if root in ("", EMPTY) else [root]
        while waiting:
            sha256 = waiting.pop()
            if f"tree:{sha256}" in self._good:
                continue
            self.looked_at += 1
            try:
                tree = decode(self._artifacts.get(sha256))
            except ArtifactNotFound:
                yield f"tree {sha256} of snapshot {root} is not in the artifact store"
                continue
            except (ArtifactDamaged, BadSnapshot):
                yield f"tree {sha256} of snapshot {root} is damaged"
                continue
            waiting += [node.sha256 for node in tree if node.is_directory and node.sha256 != EMPTY]
            problems = [self.object(node.sha256, node.size) for node in tree if not node.is_directory]
            yield from (f"{problem} (snapshot {root})" for problem in problems if problem)
            if not any(problems):
                self._remember(f"tree:{sha256}")

    def step_log(self, logs: LogStore, name: str) -> Iterator[str]:
        """What is wrong with the log of an attempt, or of one rank of it."""
        layout = logs.layout(name)
        yield from gaps(layout)
        for segment in layout.segments:
            if problem := self._segment(name, segment):
                yield problem

    def _segment(self, name: str, segment: Segment) -> str | None:
        key = object_of(name, segment)
        if key in self._good:
            return None
        self.looked_at += 1
        try:
            there = self._artifacts.size_named(key)
            if there != segment.length:
                return f"{key} has {there} bytes, not {segment.length}"
            if self._is_chosen(hash_of(key.encode()).hexdigest()) and self._crc32c(key) != segment.crc32c:
                return f"{key} does not have its checksum"
        except ArtifactNotFound:
            return f"{key} is not in the artifact store"
        self._remember(key)
        return None

    def _is_chosen(self, sha256: str) -> bool:
        return (int(sha256[:8], 16) + self._turn) % _SPAN < self._fraction * _SPAN

    def _digest(self, opened: Callable[[str], BinaryIO], name: str) -> str:
        digest = hash_of()
        self.read += 1
        with opened(name) as file:
            while data := file.read(CHUNK_BYTES):
                digest.update(data)
        return digest.hexdigest()

    def _crc32c(self, key: str) -> str:
        value = 0
        self.read += 1
        with self._artifacts.open_named(key) as file:
            while data := file.read(CHUNK_BYTES):
                value = google_crc32c.extend(value, data)
        return f"{value:08x}"

    def _remember(self, name: str) -> None:
        self._good[name] = None
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)


def gaps(layout: Layout) -> Iterator[str]:
    """Where the segments and the tail of a log do not follow one another."""
    end = 0
    for segment in layout.segments:
        if segment.offset != end:
            yield f"its log goes on at {segment.offset} after {end} bytes"
        end = segment.offset + segment.length
    if end + layout.tail_bytes != layout.size:
        yield f"its log has {layout.size} bytes, and {end + layout.tail_bytes} of them are held"
