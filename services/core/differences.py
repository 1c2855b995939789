"""What differs between two snapshots: which files, and their text as a unified diff. Does no I/O of its own."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.core.trees import LoadTree, Node, Tree, below, walk

_CONTEXT_LINES = 3
_MAX_FILE_BYTES = 1 << 20
# difflib's worst case is the product of the two lengths and worse; past this the changed middle is shown as replaced.
_MAX_LINE_PAIRS = 1_000_000

Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class Entry:
    """A file in a snapshot: its path from the top, its content's hash, its size in bytes, 0o644 or 0o755."""

    path: str
    sha256: str
    size: int
    mode: int


class DiffKind(StrEnum):
    """What happened to a file between two snapshots."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


@dataclass(frozen=True)
class FileDiff:
    """One file that is not the same in both snapshots; at least one side is there."""

    path: str
    old: Entry | None
    new: Entry | None

    @property
    def kind(self) -> DiffKind:
        if self.old is None:
            return DiffKind.ADDED
        return DiffKind.REMOVED if self.new is None else DiffKind.MODIFIED


def compare(load: LoadTree, old: Tree, new: Tree, prefix: str = "") -> Iterator[FileDiff]:
    """The files that differ. Directories with equal hashes are never opened."""
    before = {node.name: node for node in old}
    after = {node.name: node for node in new}
    for name in sorted(before.keys() | after.keys(), key=str.encode):
        yield from _compare_nodes(load, f"{prefix}{name}", before.get(name), after.get(name))


def _compare_nodes(load: LoadTree, path: str, old: Node | None, new: Node | None) -> Iterator[FileDiff]:
    if old == new:
        return
    if old and new and old.is_directory and new.is_directory:
        yield from compare(load, below(load, old, path), below(load, new, path), f"{path}/")
    elif old and new and not old.is_directory and not new.is_directory:
        yield FileDiff(path, _entry(path, old), _entry(path, new))
    else:
        yield from (FileDiff(entry.path, entry, None) for entry in _files(load, path, old))
        yield from (FileDiff(entry.path, None, entry) for entry in _files(load, path, new))


def _files(load: LoadTree, path: str, node: Node | None) -> Iterator[Entry]:
    if node is None:
        return
    if node.is_directory:
        yield from (_entry(*found) for found in walk(load, below(load, node, path), f"{path}/"))
    else:
        yield _entry(path, node)


def _entry(path: str, node: Node) -> Entry:
    return Entry(path, node.sha256, node.size, node.mode)


def render(diffs: Sequence[FileDiff], read: Callable[[str], bytes], limit: int) -> str:
    """A unified diff as `git` writes it, at most `limit` characters plus one line that says what was left out."""
    parts: list[str] = []
    length = 0
    for index, diff in enumerate(diffs):
        text = "".join(_render_file(diff, read))
        if length + len(text) > limit:
            parts.append(text[: limit - length])
            left = len(diffs) - index - 1
            parts.append(f"\n[diff cut at {limit} characters; {left} more files differ: ask for single files]\n")
            break
        parts.append(text)
        length += len(text)
    return "".join(parts)


def _render_file(diff: FileDiff, read: Callable[[str], bytes]) -> Iterator[str]:
    yield f"diff --git a/{diff.path} b/{diff.path}\n"
    if diff.old and diff.new and diff.old.mode != diff.new.mode:
        yield f"old mode 100{diff.old.mode:o}\nnew mode 100{diff.new.mode:o}\n"
        if diff.old.sha256 == diff.new.sha256:
            return
    if diff.old is None and diff.new is not None:
        yield f"new file mode 100{diff.new.mode:o}\n"
    if diff.new is None and diff.old is not None:
        yield f"deleted file mode 100{diff.old.mode:o}\n"
    old, new = _lines(diff.old, read), _lines(diff.new, read)
    if old is None or new is None:
        sizes = [str(entry.size) if entry else "none" for entry in (diff.old, diff.new)]
        yield f"Binary or large files differ ({sizes[0]} -> {sizes[1]} bytes)\n"
        return
    if old or new:
        yield f"--- {f'a/{diff.path}' if diff.old else '/dev/null'}\n"
        yield f"+++ {f'b/{diff.path}' if diff.new else '/dev/null'}\n"
        yield from _hunks(old, new)


def _lines(entry: Entry | None, read: Callable[[str], bytes]) -> list[str] | None:
    """The file's lines with their ends; None if it is no text or too large to compare."""
    if entry is None:
        return []
    if entry.size > _MAX_FILE_BYTES:
        return None
    try:
        text = read(entry.sha256).decode()
    except UnicodeDecodeError:
        return None
    # Only "\n" ends a line here: str.splitlines would also cut at form feeds and Unicode separators.
    return None if "\0" in text else [line + "\n" for line in text.split("\n")[:-1]] + _last_line(text)


def _last_line(text: str) -> list[str]:
    rest = text.rpartition("\n")[2]
    return [rest] if rest else []


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    for group in _Matcher(None, old, new).get_grouped_opcodes(_CONTEXT_LINES):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from map(_row, " " * (i2 - i1), old[i1:i2])
                continue
            yield from map(_row, "-" * (i2 - i1), old[i1:i2])
            yield from map(_row, "+" * (j2 - j1), new[j1:j2])


def _row(sign: str, line: str) -> str:
    return sign + line if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def _range(start: int, stop: int) -> str:
    """Line numbers as unified diffs write them (POSIX `diff -u`)."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


class _Matcher(difflib.SequenceMatcher[str]):
    """difflib's matcher with its cost bounded: exact on small changes, coarse but correct on huge ones."""

    def __init__(self, isjunk: None, a: list[str], b: list[str]) -> None:
        self._head = _common(a, b)
        self._tail = _common(a[self._head :][::-1], b[self._head :][::-1])
        self._lengths = (len(a), len(b))
        self._middle = (a[self._head : len(a) - self._tail], b[self._head : len(b) - self._tail])
        super().__init__(isjunk, *self._middle)

    def get_opcodes(self) -> list[Opcode]:  # type: ignore[override]  # typeshed narrows the tag to literals
        old, new = self._middle
        if len(old) * len(new) > _MAX_LINE_PAIRS:
            middle: Sequence[Opcode] = [("replace", 0, len(old), 0, len(new))]
        else:
            middle = super().get_opcodes()
        head, (end, new_end) = self._head, self._lengths
        moved = [(tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in middle]
        before: list[Opcode] = [("equal", 0, head, 0, head)] if head else []
        after: list[Opcode] = [("equal", end - self._tail, end, new_end - self._tail, new_end)] if self._tail else []
        return before + moved + after


def _common(a: list[str], b: list[str]) -> int:
    """How many leading lines are the same."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
