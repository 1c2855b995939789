"""What a goal may say about the rules."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.core.rules import TABLE, AskedTerms, Rule, Terms, matches


def test_every_rule_is_explained() -> None:
    assert set(TABLE) == set(Rule)


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("data/test.csv", "data/test.csv", True),
        ("data/test.csv", "data/*.csv", True),
        ("data/test.csv", "*.csv", True),
        ("data/test/a.csv", "data/test", True),
        ("data/test/a.csv", "data/test/", True),
        ("data/test.csv", "test.csv", False),
        ("data/testing.csv", "data/test", False),
        ("data/TEST.csv", "data/test.csv", False),
    ],
)
def test_a_pattern_names_files_and_directories(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, pattern) is fits
    assert Terms(evaluation_data=(pattern,)).is_evaluation_data(path) is fits


def test_a_rule_is_switched_off_with_a_reason() -> None:
    terms = AskedTerms.model_validate({"waived": {"seeds": "bit-wise the same each time"}}).terms

    assert not terms.holds(Rule.SEEDS)
    assert terms.holds(Rule.BATCH)
    assert terms.text == "Rules of submit_step that do not hold in this run: seeds."


def test_what_is_kept_back_is_told() -> None:
    assert "never to be changed: a, b/*" in Terms(evaluation_data=("a", "b/*")).text
    assert Terms().text == ""


@pytest.mark.parametrize(
    "asked",
    [
        {"waived": {"sleep": "because"}},
        {"waived": {"seeds": ""}},
        {"waived": {"seeds": "    "}},
        {"waived": {"seeds": "a\nb"}},
        {"cost_line_dollars": 0},
        {"cost_line_dollars": float("nan")},
        {"evaluation_data": [""]},
        {"evaluation_data": ["a"] * 101},
        {"line": 3},
    ],
)
def test_what_makes_no_sense_is_an_error(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AskedTerms.model_validate(asked)


def test_a_record_of_another_version_is_read() -> None:
    assert Terms.model_validate({"waived": {"newer": "why"}, "more": 1}).waived == {"newer": "why"}
