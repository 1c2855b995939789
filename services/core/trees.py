"""Directories as immutable, content-addressed tree objects, and how one is changed.

A tree object is a JSON line that names its entries in byte order, so equal directories have equal hashes and an edit
costs one blob and the trees on its path. Each entry of a directory also sums up what lies below it, which lets limits
be checked at the root alone. Does no I/O itself: callers pass the function that loads a tree.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.core.errors import BadRequest, CohortError, NotFound
from services.core.paths import name_problem

FILE_MODE = 0o644
EXECUTABLE_MODE = 0o755
DIRECTORY_MODE = 0o040000
_MODES = (FILE_MODE, EXECUTABLE_MODE, DIRECTORY_MODE)
_FORMAT = "cohort-tree-1"
# Far above any limit in use: these only stop forged trees.
_MAX_FILES = 1_000_000
_MAX_DEPTH = 64


class BadSnapshot(CohortError):
    """The object named as a snapshot is no tree, or one that Cohort never writes."""


class PathNotFound(NotFound):
    """No such file in this snapshot."""


class PathConflict(BadRequest):
    """A file stands where a directory is needed, or the other way round. Nothing was changed."""


@dataclass(frozen=True)
class Node:
    """One entry of a tree. For a directory `size` and `files` sum up everything below it."""

    name: str
    sha256: str
    size: int
    mode: int
    files: int = 1

    @property
    def is_directory(self) -> bool:
        return self.mode == DIRECTORY_MODE


Tree = tuple[Node, ...]
LoadTree = Callable[[str], Tree]


def encode(tree: Sequence[Node]) -> bytes:
    """The tree object. Equal content gives equal bytes, whatever the order of `tree`."""
    ordered = sorted(tree, key=lambda node: node.name.encode())
    rows = [[node.name, node.mode, node.sha256, node.size, node.files] for node in ordered]
    return json.dumps([_FORMAT, rows], ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


EMPTY = hashlib.sha256(encode(())).hexdigest()


def decode(data: bytes) -> Tree:
    """The inverse of `encode`. Raises `BadSnapshot`: snapshot ids come from outside and may name any object."""
    try:
        kind, rows = json.loads(data)
        tree = tuple(Node(name, sha256, size, mode, files) for name, mode, sha256, size, files in rows)
        genuine = kind == _FORMAT and all(map(_is_sound, tree)) and sum(node.files for node in tree) <= _MAX_FILES
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadSnapshot("the object is not a snapshot; take the id from the run's events") from error
    if not genuine or len({node.name for node in tree}) != len(tree) or encode(tree) != data:
        raise BadSnapshot("the object only looks like a snapshot; take the id from the run's events")
    return tree


def _is_sound(node: Node) -> bool:
    counts = type(node.size) is int and node.size >= 0 and type(node.files) is int and node.files >= 1
    return counts and isinstance(node.sha256, str) and node.mode in _MODES and name_problem(node.name) is None


def walk(load: LoadTree, tree: Tree, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every file below a tree as (path, node), in byte order of the names on each level."""
    for node in tree:
        path = f"{prefix}{node.name}"
        if node.is_directory:
            yield from walk(load, below(load, node, path), f"{path}/")
        else:
            yield path, node


def below(load: LoadTree, directory: Node, path: str) -> Tree:
    """The tree a directory entry names, if it holds what the entry says.

    A forged tree that names one subtree many times on many levels would otherwise unfold into more files than atoms.
    """
    tree = load(directory.sha256)
    if sum(node.files for node in tree) != directory.files or path.count("/") > _MAX_DEPTH:
        raise BadSnapshot("the object only looks like a snapshot; take the id from the run's events")
    return tree


def find(load: LoadTree, snapshot: str, path: str) -> Node | None:
    """The file or directory at a clean path, None if there is none."""
    *parents, name = path.split("/")
    for parent in parents:
        node = _named(load(snapshot), parent)
        if node is None or not node.is_directory:
            return None
        snapshot = node.sha256
    return _named(load(snapshot), name)


def _named(tree: Tree, name: str) -> Node | None:
    return next((node for node in tree if node.name == name), None)


class Draft:
    """A directory while it is being changed. Loads only the trees that a change passes through."""

    def __init__(self, load: LoadTree, snapshot: str) -> None:
        self._load = load
        self._entries: dict[str, Node | Draft] = {node.name: node for node in load(snapshot)}

    def put(self, path: str, node: Node) -> None:
        """Place a file; its directories appear. Raises `PathConflict`."""
        *parents, name = path.split("/")
        directory = self
        for depth, parent in enumerate(parents):
            below = directory._open(parent, create=True)
            if below is None:
                taken = "/".join(parents[: depth + 1])
                raise PathConflict(f"{taken!r} is a file, so {path!r} cannot be below it; delete it first", "path")
            directory = below
        existing = directory._open(name)
        if existing is not None and not existing._is_empty():
            raise PathConflict(f"{path!r} is a directory; delete it first or choose another name", "path")
        directory._entries[name] = node

    def remove(self, path: str) -> None:
        """Remove a file or a whole directory. Raises `PathNotFound`."""
        *parents, name = path.split("/")
        directory: Draft | None = self
        for parent in parents:
            directory = directory._open(parent) if directory else None
        if directory is None or name not in directory._entries:
            raise PathNotFound(f"no file {path!r} in this snapshot")
        del directory._entries[name]

    def finish(self, objects: list[bytes]) -> Node:
        """The directory as a node (nameless; `files` is 0 when it is empty). Appends the tree objects to store."""
        tree = []
        for name, entry in self._entries.items():
            node = entry.finish(objects) if isinstance(entry, Draft) else entry
            if node.files:
                tree.append(Node(name, node.sha256, node.size, node.mode, node.files))
        data = encode(tree)
        objects.append(data)
        size, files = sum(node.size for node in tree), sum(node.files for node in tree)
        return Node("", hashlib.sha256(data).hexdigest(), size, DIRECTORY_MODE, files)

    def _open(self, name: str, create: bool = False) -> "Draft | None":
        entry = self._entries.get(name)
        if isinstance(entry, Node):
            if not entry.is_directory:
                return None
            entry = self._entries[name] = Draft(self._load, entry.sha256)
        elif entry is None and create:
            entry = self._entries[name] = Draft(self._load, EMPTY)
        return entry

    def _is_empty(self) -> bool:
        return all(isinstance(entry, Draft) and entry._is_empty() for entry in self._entries.values())
