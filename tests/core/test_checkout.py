import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.artifacts import ArtifactStore
from services.core.checkout import Checkout, Laid, NotLaid
from services.core.workspace import EMPTY, Change, Limits, Workspace

FILES = {"train.py": b"print(1)\n", "src/model.py": b"class Model: ...\n", "src/deep/er/x": b"", "data/a b.txt": b"ab"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(ArtifactStore(f"file://{tmp_path}/store"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "tree"


@pytest.fixture
def checkout(tree: Path, workspace: Workspace) -> Checkout:
    return Checkout(tree, workspace, max_file_bytes=1000)


@pytest.fixture
def snapshot(workspace: Workspace) -> str:
    return workspace.apply(workspace.import_files(FILES), [Change("run.sh", b"echo\n", 0o755)])


def on_disk(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def changed(checkout: Checkout) -> dict[str, bool]:
    """Path -> whether it is still there."""
    return {change.path: change.content is not None for change in checkout.changes()[0]}


def test_the_directory_becomes_the_snapshot(checkout: Checkout, tree: Path, snapshot: str) -> None:
    assert checkout.lay(snapshot) == Laid(written=5, removed=0)
    assert on_disk(tree) == FILES | {"run.sh": b"echo\n"}
    assert (os.access(tree / "run.sh", os.X_OK), (tree / "train.py").stat().st_mode & 0o777) == (True, 0o644)
    assert checkout.changes() == ([], [])
    assert checkout.snapshot == snapshot


def test_laying_touches_only_what_differs(checkout: Checkout, tree: Path, snapshot: str, workspace: Workspace) -> None:
    checkout.lay(snapshot)
    untouched = (tree / "train.py").stat()
    assert checkout.lay(snapshot) == Laid(0, 0)
    later = workspace.apply(snapshot, [Change("src/model.py", b"new"), Change("data/a b.txt", None)])
    assert checkout.lay(later) == Laid(written=1, removed=1)
    assert (tree / "train.py").stat() == untouched
    assert not (tree / "data").exists()
    assert checkout.lay(EMPTY).written == 0
    assert on_disk(tree) == {}


def test_what_a_program_did_is_undone(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    (tree / "train.py").unlink()
    (tree / "src/model.py").write_bytes(b"class Modem: ...\n")
    (tree / "run.sh").chmod(0o600)
    (tree / "extra/sub").mkdir(parents=True)
    (tree / "extra/sub/file").touch()
    (tree / "data/a b.txt").unlink()
    (tree / "data/a b.txt").mkdir()
    (tree / "__pycache__").mkdir()
    checkout.lay(snapshot)
    assert on_disk(tree) == FILES | {"run.sh": b"echo\n"}
    assert {path.name for path in tree.iterdir()} == {"train.py", "src", "run.sh", "data"}
    assert os.access(tree / "run.sh", os.X_OK)


def test_what_a_program_did_is_found_and_becomes_a_snapshot(
    checkout: Checkout, tree: Path, snapshot: str, workspace: Workspace
) -> None:
    checkout.lay(snapshot)
    (tree / "train.py").unlink()
    (tree / "src/model.py").write_bytes(b"class Modem: ...\n")
    (tree / "src/new").write_bytes(b"new")
    (tree / "run.sh").chmod(0o644)
    (tree / "src/deep/er/x").unlink()
    (tree / "src/deep/er").rmdir()
    (tree / "src/deep/er").write_bytes(b"a file now")
    (tree / "data/a b.txt").unlink()
    (tree / "data/a b.txt").mkdir()
    (tree / "data/a b.txt/c").write_bytes(b"c")
    changes, skipped = checkout.changes()
    assert skipped == []
    assert {change.path: change.content is not None for change in changes} == {
        "train.py": False,
        "src/model.py": True,
        "src/new": True,
        "run.sh": True,
        "src/deep/er/x": False,
        "src/deep/er": True,
        "data/a b.txt": False,
        "data/a b.txt/c": True,
    }
    taken_over = workspace.apply(snapshot, changes)
    assert {entry.path: workspace.read(taken_over, entry.path) for entry in workspace.list(taken_over)} == on_disk(tree)
    assert checkout.lay(taken_over) == Laid(0, 0)
    assert checkout.changes() == ([], [])


def test_an_edit_that_keeps_size_and_time_is_found(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    before = (tree / "train.py").stat()
    with (tree / "train.py").open("r+b") as file:
        file.write(b"print(2)\n")
    os.utime(tree / "train.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed(checkout) == {"train.py": True}
    checkout.lay(snapshot)
    assert (tree / "train.py").read_bytes() == FILES["train.py"]


def test_caches_and_repositories_are_not_changes(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    for name in ("__pycache__/x.py", ".git/config", "src/old.pyc"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    assert checkout.changes() == ([], [])


def test_what_cannot_be_kept_is_named_with_the_reason(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "train.py").unlink()
    (tree / "train.py").symlink_to("src/model.py")
    (tree / "big").write_bytes(b"x" * 1001)
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "socket"))
    (tree / "a\nb").touch()
    with open(os.fsencode(tree) + b"/\xff", "wb"):
        pass
    deep = tree / "/".join(["d"] * 33)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    changes, skipped = checkout.changes()
    assert changes == []
    reasons = {entry.path: entry.reason for entry in skipped}
    assert "symbolic link" in reasons["link"]
    assert "symbolic link" in reasons["train.py"]
    assert "1001 bytes" in reasons["big"]
    assert "neither" in reasons["pipe"]
    assert "neither" in reasons["socket"]
    assert "control character" in reasons["a\\nb"]
    assert "not UTF-8" in reasons["\\udcff"]
    assert "levels deep" in reasons["/".join(["d"] * 33)]
    assert len(reasons) == 8
    checkout.lay(snapshot)
    assert on_disk(tree) == FILES | {"run.sh": b"echo\n"}


def test_a_link_never_leads_out_of_the_directory(checkout: Checkout, tree: Path, snapshot: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.py").write_bytes(b"mine")
    checkout.lay(snapshot)
    for name in ("src/model.py", "src/deep/er/x"):
        (tree / name).unlink()
    for name in ("src/deep/er", "src/deep", "src"):
        (tree / name).rmdir()
    (tree / "src").symlink_to(outside)
    (tree / "train.py").unlink()
    os.link(outside / "model.py", tree / "train.py")
    assert [change.path for change in checkout.changes()[0]] == ["train.py"]
    checkout.lay(snapshot)
    assert on_disk(tree) == FILES | {"run.sh": b"echo\n"}
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"model.py": b"mine"}


def test_a_directory_deeper_than_any_stack_is_removed(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    top = os.open(tree, os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_DIRECTORY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    assert len(checkout.changes()[1]) == 1
    checkout.lay(snapshot)
    assert {path.name for path in tree.iterdir()} == {"train.py", "src", "run.sh", "data"}


def test_locked_directories_are_opened_and_removed(checkout: Checkout, tree: Path, snapshot: str) -> None:
    checkout.lay(snapshot)
    (tree / "locked/inner").mkdir(parents=True)
    (tree / "locked/inner/file").touch()
    for name in ("locked/inner", "locked", "src"):
        (tree / name).chmod(0)
    assert changed(checkout) == {"locked/inner/file": True}
    (tree / "locked/inner").chmod(0)
    checkout.lay(snapshot)
    assert on_disk(tree) == FILES | {"run.sh": b"echo\n"}


def test_more_changes_than_the_workspace_may_hold_are_named_not_stored(tree: Path, tmp_path: Path) -> None:
    workspace = Workspace(ArtifactStore(f"file://{tmp_path}/store"), Limits(files=5, total_bytes=100))
    checkout = Checkout(tree, workspace)
    checkout.lay(EMPTY)
    (tree / "0").write_bytes(b"x" * 101)
    for number in range(1, 8):
        (tree / str(number)).touch()
    changes, skipped = checkout.changes()
    assert [change.path for change in changes] == ["1", "2", "3", "4", "5"]
    assert [(entry.path, "100 bytes" in entry.reason) for entry in skipped] == [("0", True), ("6", False), ("7", False)]
    workspace.apply(EMPTY, changes)


def test_a_directory_without_snapshot_has_no_changes_to_tell(checkout: Checkout, tree: Path) -> None:
    assert checkout.snapshot is None
    with pytest.raises(NotLaid):
        checkout.changes()


def test_a_damaged_index_costs_time_only(checkout: Checkout, tree: Path, snapshot: str, tmp_path: Path) -> None:
    checkout.lay(snapshot)
    (tmp_path / ".tree.checkout/index.json").write_bytes(b"{")
    (tree / "train.py").write_bytes(b"other")
    assert checkout.lay(snapshot) == Laid(1, 0)


LAYER = """
import sys
from collections.abc import Callable
from pathlib import Path
from services.core.artifacts import ArtifactStore
from services.core.checkout import Checkout
from services.core.workspace import Workspace
store, tree, *snapshots = sys.argv[1:]
checkout = Checkout(Path(tree), Workspace(ArtifactStore(store)))
print("ready", flush=True)
while True:
    for snapshot in snapshots:
        checkout.lay(snapshot)
        print("laid", flush=True)
"""


def test_laying_again_repairs_what_a_kill_left(workspace: Workspace, tree: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    models = [{f"d{i % 4}/f{i}": rng.randbytes(200) for i in range(150)} for _ in range(2)]
    models[1]["d0"] = b"a file now"
    models[1] = {name: data for name, data in models[1].items() if not name.startswith("d0/")}
    snapshots = [workspace.import_files(model) for model in models]
    checkout = Checkout(tree, workspace)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", LAYER, workspace.store.url, str(tree), *snapshots], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 5)):
            assert process.stdout.readline()
        kill_while(process, (tmp_path / ".tree.checkout/laying").exists)
        process.communicate()
        with pytest.raises(NotLaid):
            checkout.changes()
        which = rng.randrange(2)
        checkout.lay(snapshots[which])
        assert on_disk(tree) == models[which]
        assert checkout.changes() == ([], [])


def kill_while(process: "subprocess.Popen[bytes]", condition: Callable[[], bool]) -> None:
    """Stop the process until it is caught where the condition holds, then kill it."""
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline
        if condition():
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            if condition():
                process.kill()
                return
            process.send_signal(signal.SIGCONT)
