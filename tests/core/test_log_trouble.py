from hypothesis import given, settings, strategies as st

from services.core.log_scan import Scan, scan
from services.core.taxonomy import Failure

CRASH = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: bad\n'
PARTS = [
    CRASH,
    "step 1 loss 0.5\n",
    "[rank1] step 2\n",
    "ERROR x failed\n",
    "a\rb\r\n",
    "Killed\n",
    "é∞ error\n",
    "\n",
    "cut",
]


def scanned(text: str) -> Scan:
    return scan([text.encode()])


def test_an_exception_is_seen_in_its_surroundings() -> None:
    (crash,) = scanned("[rank1] loading\nloading\n" + CRASH + "next\n[rank1] waiting\nand next\n").crashes
    assert [line.data for line in crash.context.before] == [b"loading"]
    assert [line.data for line in crash.context.others] == [b"[rank1] loading"]
    assert [line.data for line in crash.after] == [b"next", b"and next"]
    assert crash.lines_after == 2


def test_the_same_exception_is_seen_once_and_counted() -> None:
    (crash,) = scanned(CRASH * 500).crashes
    assert crash.count == 500


def test_of_very_many_exceptions_the_first_and_the_last_are_kept() -> None:
    crashes = scanned("".join(CRASH.replace("bad", "x" * n) for n in range(1, 100))).crashes
    assert len(crashes) == 40
    lengths = [len(crash.chain.parts[0].message[0]) for crash in crashes]
    assert lengths[:3] == [13, 14, 15] and lengths[-1] == 12 + 99


def test_a_line_is_known_by_the_table_and_numbered() -> None:
    (template,) = scanned("one\ntwo\nbash: foo: command not found\nfour\n").templates
    assert template.rule is not None and template.rule.failure is Failure.COMMAND_NOT_FOUND
    assert (template.number, template.offset) == (3, 8)


def test_lines_are_numbered_by_newlines_whatever_else_ends_them() -> None:
    (template,) = scanned("a 1%\ra 2%\ra 3%\nERROR at the second line\n").templates
    assert template.number == 2


def test_very_many_forms_of_trouble_are_counted_and_not_kept() -> None:
    names = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(5_000)]
    found = scanned("".join(f"ERROR in {name}\n" for name in names))
    assert len(found.templates) == 1_000
    assert found.templates_left_out == 4_000


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_seen_does_not_depend_on_how_the_bytes_come(data: st.DataObject) -> None:
    log = "".join(data.draw(st.lists(st.sampled_from(PARTS), max_size=20))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=8)))
    pieces = [log[start:end] for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    one, other = scan(pieces), scan([log])
    assert (one.crashes, one.templates, one.tail) == (other.crashes, other.templates, other.tail)
