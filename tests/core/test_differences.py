import random
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from services.core.artifacts import ArtifactStore
from services.core.workspace import EMPTY, Change, Workspace


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(ArtifactStore(f"memory://{uuid4().hex}"))


def test_a_diff_reads_as_git_writes_it(workspace: Workspace) -> None:
    old = workspace.import_files({"train.py": b"a\nb\nc\nd\ne\nlr = 1\n", "gone": b"x\n"})
    new = workspace.apply(
        old, [Change("train.py", b"a\nb\nc\nd\ne\nlr = 2"), Change("gone", None), Change("run.sh", b"", 0o755)]
    )
    assert workspace.unified_diff(old, new) == (
        "diff --git a/gone b/gone\n"
        "deleted file mode 100644\n"
        "--- a/gone\n"
        "+++ /dev/null\n"
        "@@ -1 +0,0 @@\n"
        "-x\n"
        "diff --git a/run.sh b/run.sh\n"
        "new file mode 100755\n"
        "diff --git a/train.py b/train.py\n"
        "--- a/train.py\n"
        "+++ b/train.py\n"
        "@@ -3,4 +3,4 @@\n"
        " c\n"
        " d\n"
        " e\n"
        "-lr = 1\n"
        "+lr = 2\n"
        "\\ No newline at end of file\n"
    )
    assert workspace.unified_diff(new, new) == ""


def test_a_changed_mode_alone_is_shown(workspace: Workspace) -> None:
    old = workspace.write(EMPTY, "run.sh", b"echo\n")
    assert workspace.unified_diff(old, workspace.write(old, "run.sh", b"echo\n", 0o755)).endswith(
        "old mode 100644\nnew mode 100755\n"
    )


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b\n", b"x" * (1 << 20) + b"\n"])
def test_what_is_no_readable_text_is_named_with_its_sizes(workspace: Workspace, data: bytes) -> None:
    old = workspace.write(EMPTY, "f", b"1\n")
    text = workspace.unified_diff(old, workspace.write(old, "f", data))
    assert text.splitlines()[1:] == [f"Binary or large files differ (2 -> {len(data)} bytes)"]


def test_a_long_diff_says_what_was_left_out(workspace: Workspace) -> None:
    new = workspace.import_files({f"f{i}": b"line\n" * 20 for i in range(50)})
    text = workspace.unified_diff(EMPTY, new, limit=1000)
    assert len(text) < 1100
    assert "more files differ: ask for single files" in text.splitlines()[-1]


def test_a_rewritten_file_of_many_equal_lines_costs_no_time(workspace: Workspace) -> None:
    lines = [b"%d\n" % (i % 300) for i in range(15_000)]
    old = workspace.write(EMPTY, "f", b"".join(lines))
    new = workspace.write(old, "f", b"".join(reversed(lines)))
    text = workspace.unified_diff(old, new)
    assert (text.count("\n-"), text.count("\n+")) == (15_001, 15_001), "with the two header lines"


def test_git_applies_the_diff_and_gets_the_new_snapshot(workspace: Workspace, tmp_path: Path) -> None:
    rng = random.Random(7)

    def text() -> bytes:
        end = rng.choice(["\n", ""])
        return (
            "\n".join(rng.choice(["a", "b", "c\x0c", "ü\u2028", ""]) for _ in range(rng.randrange(40))) + end
        ).encode()

    def edited(data: bytes) -> bytes:
        lines = data.split(b"\n")
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(lines))
            lines[at : at + rng.randrange(3)] = [b"new"] * rng.randrange(3)
        return b"\n".join(lines)

    before = {f"d{i % 5}/f{i}": text() for i in range(80)}
    after = {name: edited(data) for name, data in before.items() if rng.random() > 0.1} | {"d9/new": text()}
    for name, data in before.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    diff = workspace.unified_diff(workspace.import_files(before), workspace.import_files(after))
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=diff.encode(), cwd=tmp_path, check=True)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == after
