"""What is still named by anybody: every digest in Redis and in the archives, and whatever those objects name in turn.

Nothing here knows which record has which field: 64 hex digits anywhere in a value may be the name of an object. So an
event of a newer version keeps its objects too, and what only looks like a digest keeps nothing that is there.
"""

import gzip
import re
from collections.abc import Iterator

from services.core.artifacts import ArtifactDamaged, ArtifactNotFound, ArtifactStore
from services.core.redis import Client, translated
from services.core.trees import BadSnapshot, decode

_DIGEST = re.compile(rb"(@?)(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
_TREE = b'["cohort-tree-'
_ROWS = 200
# Of a digest so much is remembered: two of ten million objects share it once in 100,000 installs, and then one stays
# that could go.
_BITS = 60


class Marks:
    """Digests that are named. About 100 bytes for each. Raises `StoreUnavailable`, `ArtifactStoreUnavailable`."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._marked: set[int] = set()

    def __contains__(self, sha256: str) -> bool:
        return _short(sha256) in self._marked

    def __len__(self) -> int:
        return len(self._marked)

    def take_redis(self, client: Client) -> None:
        """Mark what any value in Redis names."""
        with translated():
            for key in client.scan_iter(count=1_000):
                for value in _values(client, key):
                    self.take(value)

    def take_archives(self) -> None:
        """Mark what the archives name. After Redis, so that what leaves it meanwhile is seen in one or the other."""
        for name in self._artifacts.list_named("archive/"):
            try:
                data = self._artifacts.get_named(name)
                self.take(gzip.decompress(data) if name.endswith(".gz") else data)
            except ArtifactNotFound:
                continue  # Removed since it was listed.

    def take(self, value: bytes) -> None:
        """Mark every digest in a value, with all that those objects name."""
        waiting = [(found[1] == b"@", found[2].decode()) for found in _DIGEST.finditer(value)]
        while waiting:
            is_payload, sha256 = waiting.pop()
            if _short(sha256) in self._marked:
                continue
            self._marked.add(_short(sha256))
            waiting += self._named_by(sha256, is_payload)

    def _named_by(self, sha256: str, is_payload: bool) -> Iterator[tuple[bool, str]]:
        """What an object names, if it is a payload of an event or a tree: (whether it may name more, digest)."""
        try:
            if not is_payload and not self._is_tree(sha256):
                return
            data = self._artifacts.get(sha256)
        except (ArtifactNotFound, ArtifactDamaged):
            return
        try:
            tree = decode(data)
        except BadSnapshot:
            yield from ((found[1] == b"@", found[2].decode()) for found in _DIGEST.finditer(data))
            return
        for node in tree:
            if node.is_directory:
                yield False, node.sha256
            else:
                # A file names nothing that anybody would look for.
                self._marked.add(_short(node.sha256))

    def _is_tree(self, sha256: str) -> bool:
        with self._artifacts.open(sha256) as file:
            return file.read(len(_TREE)) == _TREE


def _short(sha256: str) -> int:
    return int(sha256[: _BITS // 4], 16)


def _values(client: Client, key: bytes) -> Iterator[bytes]:
    match client.type(key):
        case b"string":
            yield client.get(key) or b""
        case b"hash":
            yield from (value for _, value in client.hscan_iter(key, count=_ROWS))
        case b"list":
            yield from _rows(client, key)
        case b"stream":
            yield from _entries(client, key)
        case b"zset" | b"set":
            # Indexes of runs and segments: no objects.
            return


def _rows(client: Client, key: bytes) -> Iterator[bytes]:
    start = 0
    while rows := client.lrange(key, start, start + _ROWS - 1):
        yield from rows
        start += len(rows)


def _entries(client: Client, key: bytes) -> Iterator[bytes]:
    after = "-"
    while rows := client.xrange(key, min=after, count=_ROWS):
        for _, fields in rows:
            yield from fields.values()
        after = f"({rows[-1][0].decode()}"
