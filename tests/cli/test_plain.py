"""What hostile text may do to a terminal: nothing."""

import pytest

from services.cli.plain import columns, cut, one_line, plain


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("loss 0.31\n", "loss 0.31\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone?", "gone?"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=", ""),
        ("\x1b]never ended\nnext line", "\nnext line"),
        ("\x9b31mred", "31mred"),
        ("bell\x07 back\x08space\x00", "bell backspace"),
        ("10 %\r20 %\r30 %\n", "30 %\n"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("a\tb", "a   b"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("two\u2028lines", "two lines"),
        ("half \ud800 pair", "half  pair"),
        ("数字の分類 ✔ ß", "数字の分類 ✔ ß"),
    ],
)
def test_only_what_can_be_read_is_left(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_many_escapes_take_linear_time() -> None:
    assert plain("\x1b[" * 200_000 + "end") == "nd"
    assert plain("x" * 500_000 + "\r") == "x" * 500_000


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("a bit too long", 8, "a bit t…"),
        ("数字の分類", 10, "数字の分類"),
        ("数字の分類", 6, "数字…"),
    ],
)
def test_a_line_is_cut_to_the_columns_there_are(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
    assert columns(shown) <= width


def test_several_lines_become_one() -> None:
    assert one_line("goal:\n\n  train\x1b[1m it\n", 40) == "goal: train it"
