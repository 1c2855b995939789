import pytest
from hypothesis import given, strategies as st

from services.core.loglines import MAX_LINE_BYTES, LogLine, LogLines, clean


def lines_of(*pieces: bytes) -> list[LogLine]:
    lines = LogLines()
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.finish())


def test_a_log_becomes_lines_with_their_places() -> None:
    assert lines_of(b"one\ntwo 50%\rtwo 100%\r\n\nlast") == [
        LogLine("one", 0, False),
        LogLine("two 50%", 4, True),
        LogLine("two 100%", 12, True),
        LogLine("", 21, False),
        LogLine("last", 23, False),
    ]


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", "é∞".encode(), b"\x08\x08", b"\xff", b"\x1b[1m"]), max_size=30),
    st.data(),
)
def test_lines_do_not_depend_on_how_the_bytes_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    kept = [line for line in lines_of(whole) if line.text]
    assert [line for line in lines_of(*pieces) if line.text] == kept


def test_a_line_without_end_takes_bounded_memory() -> None:
    (line,) = lines_of(*[b"x" * 10_000] * 20)
    assert len(line.text) == MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, 100% fine", "plain text, 100% fine"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07and \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "red and link"),
        ("a\rb\r\nc\td", "a\nb\nc\td"),
        ("bell\x07 null\0 del\x7f csi\x9b31m", "bell null del csi31m"),
        ("user\u202egpj.exe\u2066x\u200b\ufeff", "usergpj.exex"),
        ("tag\U000e0041s", "tags"),
        ("a\u00a0b\u2028c\u00add", "a b cd"),
        ("größe 损失 ━━━ 🎉", "größe 损失 ━━━ 🎉"),
        ("shown \x1b]0;a title that never ends\nshown too", "shown \nshown too"),
        ("\x1b", ""),
        ("\x1b[", ""),
    ],
)
def test_clean_text_has_nothing_hidden_in_it(raw: str, shown: str) -> None:
    assert clean(raw) == shown
    assert clean(shown) == shown
