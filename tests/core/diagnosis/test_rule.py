import time

import pytest
from hypothesis import given, strategies as st

from services.core.diagnosis.rule import Rulebook, Words, has, rule
from services.core.diagnosis.rules import lines_book
from services.core.taxonomy import Failure


@pytest.mark.parametrize(
    ("text", "phrase", "holds"),
    [
        ("it is out of memory now", "out of memory", True),
        ("it is out of time", "out of memory", False),
        ("target 7 is out of bounds", "target … is out of bounds", True),
        ("worker (pid(s) 12) exited", "worker (pid … exited", True),
        ("is out of bounds target", "target … is out of bounds", False),
        ("target " + "x" * 500 + " is out of bounds", "target … is out of bounds", False),
        ("a a a b", "a … b", True),
        ("killed", "=killed", True),
        ("killed it", "=killed", False),
        ("error: no such option", "^error: no such option", True),
        ("typeerror: no such option", "^error: no such option", False),
        ("error: x bad y", "^error: … bad", True),
    ],
)
def test_a_phrase_is_plain_text_with_gaps_and_anchors(text: str, phrase: str, holds: bool) -> None:
    assert has(text, phrase) is holds


BOOK = Rulebook(
    [
        rule(Failure.CODE_ERROR, 0.4, types="ValueError"),
        rule(Failure.DATA_CONTENT, 0.9, "is bad", types="ValueError"),
        rule(Failure.DATA_SCHEMA, 0.8, types="KeyError", frames=("pandas/",)),
        rule(Failure.CONFIG, 0.85, types="KeyError", site=("cfg[",)),
    ]
)


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        (Words("ValueError: this\n   is BAD", "ValueError"), Failure.DATA_CONTENT),
        (Words("ValueError: this is good", "ValueError"), Failure.CODE_ERROR),
        (Words("OSError: this is bad", "OSError"), None),
        (Words("KeyError: 'x'", "KeyError", 'File "/x/Pandas/core.py"'), Failure.DATA_SCHEMA),
        (Words("KeyError: 'x'", "KeyError", "pandas/", "cfg['x']"), Failure.CONFIG),
        (Words("KeyError: 'x'", "KeyError"), None),
    ],
)
def test_the_surest_row_that_fits_is_found(words: Words, failure: Failure | None) -> None:
    found = BOOK.best(words)
    assert (found and found.failure) is failure


@given(st.text(max_size=300))
def test_any_text_is_matched_without_error(text: str) -> None:
    lines_book().best(Words(text))


def test_no_text_takes_long() -> None:
    began = time.process_time()
    for text in ("error " * 20_000, "target " * 20_000, "(" * 100_000, "a… " * 50_000):
        lines_book().best(Words(text, "ValueError", text, text))
    assert time.process_time() - began < 5
