import json
import random
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings, strategies as st

from services.core.artifacts import ArtifactNotFound, ArtifactStore
from services.core.workspace import (
    EMPTY,
    BadPath,
    BadSnapshot,
    Change,
    DiffKind,
    Limits,
    PathConflict,
    PathNotFound,
    Workspace,
    WorkspaceFull,
)


def fresh() -> Workspace:
    return Workspace(ArtifactStore(f"memory://{uuid4().hex}"))


@pytest.fixture
def workspace() -> Workspace:
    return fresh()


def contents(workspace: Workspace, snapshot: str) -> dict[str, bytes]:
    return {entry.path: workspace.read(snapshot, entry.path) for entry in workspace.list(snapshot)}


def test_the_empty_snapshot_needs_no_store(workspace: Workspace) -> None:
    assert workspace.list(EMPTY) == []
    assert b"".join(workspace.export_tar(EMPTY))


def test_every_old_snapshot_stays_readable(workspace: Workspace) -> None:
    first = workspace.write(EMPTY, "src/train.py", b"one")
    second = workspace.write(first, "src/train.py", b"two", mode=0o775)
    third = workspace.delete(second, "src/train.py")
    assert workspace.read(first, "src/train.py") == b"one"
    assert workspace.read(second, "./src//train.py") == b"two"
    assert (workspace.entry(first, "src/train.py").mode, workspace.entry(second, "src/train.py").mode) == (0o644, 0o755)
    assert third == EMPTY
    with workspace.open(second, "src/train.py") as file:
        assert file.read(2) == b"tw"


def test_an_edit_in_a_thousand_files_stores_the_blob_and_the_trees_on_its_path(tmp_path: Path) -> None:
    workspace = Workspace(ArtifactStore(f"file://{tmp_path}"))
    files = {f"pkg{i % 10}/mod{i % 7}/f{i}.py": f"value = {i}\n".encode() for i in range(1000)}
    before = workspace.import_files(files)
    stored = {path.name for path in tmp_path.glob("cas/*/*")}
    after = workspace.write(before, "pkg3/mod4/f53.py", b"value = 'new'\n")
    new = {path.name for path in tmp_path.glob("cas/*/*")} - stored
    assert len(new) == 4, "the blob, mod4, pkg3 and the root"
    assert contents(workspace, after) == files | {"pkg3/mod4/f53.py": b"value = 'new'\n"}
    assert contents(workspace, before) == files


def test_a_snapshot_is_named_by_its_content_alone(workspace: Workspace) -> None:
    files = {"b/x": b"1", "a": b"2", "b/y": b"3", "é": b"4"}
    straight = workspace.import_files(files)
    detour = workspace.write(EMPTY, "c/d/e", b"gone")
    for path in reversed(files):
        detour = workspace.write(detour, path, files[path])
    assert workspace.delete(detour, "c") == straight


def test_listing_takes_a_directory_or_a_file(workspace: Workspace) -> None:
    snapshot = workspace.import_files({"src/a": b"", "src/deep/b": b"", "src2/c": b"", "z": b"zz"})

    def listed(prefix: str) -> list[str]:
        return [entry.path for entry in workspace.list(snapshot, prefix)]

    assert listed("") == ["src/a", "src/deep/b", "src2/c", "z"]
    assert listed("src/") == ["src/a", "src/deep/b"]
    assert listed("z") == ["z"]
    assert listed("nothing") == []


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda w, s: w.read(s, "missing"), PathNotFound),
        (lambda w, s: w.read(s, "dir"), PathNotFound),
        (lambda w, s: w.read(s, "file/below"), PathNotFound),
        (lambda w, s: w.delete(s, "dir/missing"), PathNotFound),
        (lambda w, s: w.delete(s, "file/below"), PathNotFound),
        (lambda w, s: w.write(s, "dir", b""), PathConflict),
        (lambda w, s: w.write(s, "file/below", b""), PathConflict),
        (lambda w, s: w.write(s, "../up", b""), BadPath),
        (lambda w, s: w.import_files({"a": b"", "a/b": b""}), PathConflict),
        (lambda w, s: w.list(MISSING), ArtifactNotFound),
    ],
)
def test_what_cannot_be_is_refused(
    workspace: Workspace, act: Callable[[Workspace, str], object], error: type[Exception]
) -> None:
    snapshot = workspace.import_files({"file": b"", "dir/inside": b""})
    with pytest.raises(error):
        act(workspace, snapshot)


MISSING = "f" * 64


def test_changes_are_applied_together_and_deletions_first(workspace: Workspace) -> None:
    snapshot = workspace.import_files({"a": b"file", "b/c": b"below"})
    swapped = workspace.apply(
        snapshot, [Change("a/x", b"1"), Change("b", b"2"), Change("b/c", None), Change("a", None), Change("b", b"3")]
    )
    assert contents(workspace, swapped) == {"a/x": b"1", "b": b"3"}


def test_a_stored_blob_need_not_be_sent_again(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"large")
    snapshot = workspace.apply(EMPTY, [Change("data", workspace.store.put_file(tmp_path / "data"))])
    assert workspace.read(snapshot, "data") == b"large"


def test_limits_hold_over_the_whole_workspace() -> None:
    workspace = Workspace(ArtifactStore(f"memory://{uuid4().hex}"), Limits(files=3, total_bytes=10))
    snapshot = workspace.import_files({"a/a": b"123", "a/b": b"456", "c": b"789"})
    with pytest.raises(WorkspaceFull, match="4 files"):
        workspace.write(snapshot, "d", b"")
    with pytest.raises(WorkspaceFull, match="11 bytes"):
        workspace.write(snapshot, "c", b"78901")
    assert workspace.write(snapshot, "c", b"7890")


def test_a_difference_names_the_files_and_what_happened(workspace: Workspace) -> None:
    old = workspace.import_files({"same": b"1", "gone": b"2", "dir/changed": b"3", "turns": b"4"})
    changes = [Change("gone", None), Change("dir/changed", b"5"), Change("turns", None), Change("turns/into", b"6")]
    new = workspace.apply(old, [*changes, Change("added", b"7")])
    found = [(diff.path, diff.kind) for diff in workspace.diff(old, new)]
    assert found == [
        ("added", DiffKind.ADDED),
        ("dir/changed", DiffKind.MODIFIED),
        ("gone", DiffKind.REMOVED),
        ("turns", DiffKind.REMOVED),
        ("turns/into", DiffKind.ADDED),
    ]
    assert workspace.diff(new, new) == []


def forged(workspace: Workspace, rows: object) -> str:
    data = json.dumps(["cohort-tree-1", rows], separators=(",", ":")).encode() + b"\n"
    return workspace.store.put(data)


@pytest.mark.parametrize(
    "rows",
    [
        [["../x", 0o644, MISSING, 1, 1]],
        [["x", 0o644, MISSING, -1, 1]],
        [["x", 0o120000, MISSING, 1, 1]],
        [["b", 0o644, MISSING, 1, 1], ["a", 0o644, MISSING, 1, 1]],
        [["a", 0o644, MISSING, 1, 1], ["a", 0o644, MISSING, 1, 1]],
        [["a", 0o644, MISSING, 1]],
        [["a", 0o644, 5, 1, 1]],
        [["a", 0o040000, MISSING, 1, 10**9]],
        7,
    ],
)
def test_a_forged_tree_is_no_snapshot(workspace: Workspace, rows: object) -> None:
    snapshot = forged(workspace, rows)
    with pytest.raises(BadSnapshot):
        workspace.list(snapshot)


@pytest.mark.parametrize("data", [b"", b"print('hello')", b"[" * 100_000, b'"cohort-tree-1"', b"\xff\xfe"])
def test_a_file_is_no_snapshot(workspace: Workspace, data: bytes) -> None:
    snapshot = workspace.store.put(data)
    with pytest.raises(BadSnapshot):
        workspace.list(snapshot)


def test_a_forged_tree_cannot_unfold_without_end(workspace: Workspace) -> None:
    tree = forged(workspace, [[f"f{i}", 0o644, MISSING, 1, 1] for i in range(9)])
    for _ in range(20):
        tree = forged(workspace, [[f"d{i}", 0o040000, tree, 9, 9] for i in range(9)])
    with pytest.raises(BadSnapshot):
        workspace.list(tree)


NAMES = st.sampled_from(["a", "b", "c", "dé"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PATHS, st.none() | st.binary(max_size=3)), max_size=25))
def test_a_snapshot_behaves_like_a_plain_mapping(steps: list[tuple[str, bytes | None]]) -> None:
    workspace, model, snapshot = fresh(), dict[str, bytes](), EMPTY
    for path, data in steps:
        below = {name for name in model if name.startswith(f"{path}/")}
        above = {name for name in model if path.startswith(f"{name}/")}
        before = snapshot, dict(model)
        if data is None:
            doomed = below | ({path} & model.keys())
            if doomed:
                snapshot = workspace.delete(snapshot, path)
                model = {name: model[name] for name in model.keys() - doomed}
        elif not below | above:
            snapshot = workspace.write(snapshot, path, data)
            model[path] = data
        assert contents(workspace, snapshot) == model
        changed = {name for name in before[1].keys() | model.keys() if before[1].get(name) != model.get(name)}
        assert {diff.path for diff in workspace.diff(before[0], snapshot)} == changed
    shuffled = random.Random(0).sample(sorted(model), len(model))
    assert workspace.import_files({name: model[name] for name in shuffled}) == snapshot
