"""`read`, `write` and `edit` on the run's workspace."""

import pytest

from services.worker.tools.tool import ToolError
from tests.worker.bench import Bench

LONG = "x" * 5_000


# --- read -------------------------------------------------------------------------------------------------------------


def test_read_numbers_the_lines(bench: Bench) -> None:
    bench.put("a.txt", "one\ntwo\nthree\n")

    assert bench.use("read", path="a.txt").text == "1\tone\n2\ttwo\n3\tthree"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"offset": 2, "limit": 1}, "2\ttwo\n[1 more lines; continue with offset=3]"),
        ({"offset": 3}, "3\tthree"),
        ({"limit": 2}, "1\tone\n2\ttwo\n[1 more lines; continue with offset=3]"),
    ],
)
def test_read_shows_a_range_and_how_to_go_on(bench: Bench, arguments: dict[str, int], text: str) -> None:
    bench.put("a.txt", "one\ntwo\nthree")

    assert bench.use("read", path="a.txt", **arguments).text == text


def test_reading_on_from_where_it_says_shows_every_line_once(bench: Bench) -> None:
    lines = [f"line {number} {'y' * 80}" for number in range(1_000)]
    bench.put("a.txt", "\n".join(lines))

    seen: list[str] = []
    while len(seen) < len(lines):
        shown = bench.use("read", path="a.txt", offset=len(seen) + 1).text.splitlines()
        seen += [line.partition("\t")[2] for line in shown if "\t" in line]

    assert seen == lines


@pytest.mark.parametrize(
    ("content", "arguments", "problem"),
    [
        (b"one\ntwo", {"offset": 3}, "has 2 lines; offset 3 is past the end"),
        (b"PK\0\0zip", {}, "is binary (7 bytes)"),
        (b"one", {"path": "missing.txt"}, "is not in this snapshot"),
        (b"one", {"path": "../etc/passwd"}, ".."),
        (b"one", {"path": "output:nonsense"}, "is no sha256"),
        (b"one", {"path": "output:" + "0" * 64}, "is not in the artifact store"),
        (b"one", {"path": "output:../../secret"}, "is no sha256"),
    ],
)
def test_what_cannot_be_read_is_said(bench: Bench, content: bytes, arguments: dict[str, str], problem: str) -> None:
    bench.put("a.txt", content)

    with pytest.raises(ToolError) as refused:
        bench.use("read", **{"path": "a.txt", **arguments})
    assert problem in str(refused.value)


def test_an_empty_file_is_said_to_be_empty(bench: Bench) -> None:
    bench.put("a.txt", "")

    assert bench.use("read", path="a.txt").text == "(the file is empty)"
    assert bench.use("read", path="a.txt", offset=9).text == "(the file is empty)"


def test_a_long_line_of_a_file_is_cut_and_said_to_be(bench: Bench) -> None:
    bench.put("a.txt", f"{LONG}\nshort")

    first, second = bench.use("read", path="a.txt").text.splitlines()
    assert first == "1\t" + "x" * 2_000 + " [line cut]"
    assert second == "2\tshort"


def test_bytes_that_are_no_text_are_shown_as_such(bench: Bench) -> None:
    bench.put("a.txt", b"caf\xe9 \xf0\x9f\x99\x82")

    assert bench.use("read", path="a.txt").text == "1\tcaf\ufffd 🙂"


def test_lines_are_counted_as_editors_count_them(bench: Bench) -> None:
    bench.put("a.txt", "a\x0cb\u2028c\r\nd\n")

    assert bench.use("read", path="a.txt").text == "1\ta\x0cb\u2028c\n2\td"


# --- write ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "lines"), [("", 0), ("x", 1), ("x\n", 1), ("x\ny", 2), ("مرحبا 🙂\n", 1)])
def test_write_creates_a_file_and_counts_its_lines(bench: Bench, content: str, lines: int) -> None:
    result = bench.use("write", path="src/a.txt", content=content)

    assert result.text == f"wrote src/a.txt, {lines} lines"
    assert bench.content("src/a.txt") == content


def test_write_replaces_the_whole_content_and_keeps_the_mode(bench: Bench) -> None:
    bench.put("run.sh", "old and long", mode=0o755)

    bench.use("write", path="run.sh", content="new")

    assert bench.content("run.sh") == "new"
    assert bench.desk.workspace.entry(bench.state.snapshot, "run.sh").mode == 0o755


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "a\0b", "x" * 5_000, "dir", "file/a"])
def test_a_path_that_cannot_be_is_refused(bench: Bench, path: str) -> None:
    bench.put("dir/file", "x")
    bench.put("file", "x")
    before = bench.state.snapshot

    with pytest.raises(ToolError):
        bench.use("write", path=path, content="x")
    assert bench.state.snapshot == before


@pytest.mark.parametrize(
    ("path", "content", "has_warning"),
    [
        ("a.py", "print(1)\n", False),
        ("a.py", "print(1\n", True),
        ("a.py", "x = '\0'", True),
        ("a.py", "-" * 100_000 + "1", True),
        ("a.py", "(" * 5_000, True),
        ("a.txt", "print(1", False),
    ],
)
def test_a_python_file_that_does_not_parse_is_written_with_a_warning(
    bench: Bench, path: str, content: str, has_warning: bool
) -> None:
    result = bench.use("write", path=path, content=content)

    assert result.success
    assert ("warning: this does not parse" in result.text) is has_warning
    assert bench.content(path) == content


# --- edit -------------------------------------------------------------------------------------------------------------


def test_edit_replaces_the_one_passage_and_says_where(bench: Bench) -> None:
    bench.put("train.py", "lr = 1\nepochs = 2\n", mode=0o755)

    result = bench.use("edit", path="train.py", old="epochs = 2", new="epochs = 20")

    assert result.text == "edited train.py at line 2"
    assert bench.content("train.py") == "lr = 1\nepochs = 20\n"
    assert bench.desk.workspace.entry(bench.state.snapshot, "train.py").mode == 0o755


def test_edit_replaces_everywhere_when_asked_to(bench: Bench) -> None:
    bench.put("a.txt", "a b a b a")

    assert bench.use("edit", path="a.txt", old="a", new="c", replace_all=True).text == "edited a.txt in 3 places"
    assert bench.content("a.txt") == "c b c b c"


def test_edit_warns_of_what_does_not_parse_any_more(bench: Bench) -> None:
    bench.put("a.py", "print(1)\n")

    assert "warning: this does not parse" in bench.use("edit", path="a.py", old="(1)", new="(1").text


@pytest.mark.parametrize(
    ("content", "arguments", "problem"),
    [
        (b"a b", {"old": "c"}, "has no such passage"),
        (b"a b a", {"old": "a"}, "has the passage 2 times"),
        (b"a", {"path": "missing.txt"}, "is not in this snapshot"),
        (b"a", {"path": "/a"}, "/a"),
        (b"\xff\xfe", {}, "is not UTF-8 text"),
        (b"a", {"old": "a", "new": "a"}, "the same"),
    ],
)
def test_an_edit_that_is_not_clear_changes_nothing(
    bench: Bench, content: bytes, arguments: dict[str, str], problem: str
) -> None:
    bench.put("a.txt", content)
    before = bench.state.snapshot

    with pytest.raises(ToolError) as refused:
        bench.use("edit", **{"path": "a.txt", "old": "a", "new": "b", **arguments})

    assert problem in str(refused.value)
    assert bench.state.snapshot == before
