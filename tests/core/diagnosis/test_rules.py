import pytest

from services.core.diagnosis.candidates import exceptions, lines
from services.core.diagnosis.rule import Rule
from services.core.diagnosis.rules import RULES
from services.core.log_scan import scan
from tests.core.diagnosis.samples import samples

FOUND = {
    candidate.rule
    for sample in samples()
    for found in [scan([sample.log.encode()])]
    for candidate in (*exceptions(found), *lines(found))
}


@pytest.mark.parametrize("row", [row for row in RULES if row.failure], ids=lambda row: f"{row.failure} {row.sure}")
def test_every_row_is_the_surest_for_some_sample(row: Rule) -> None:
    assert row in FOUND, f"no sample needs {row}"


@pytest.mark.parametrize("row", RULES, ids=lambda row: f"{row.failure} {row.sure}")
def test_phrases_are_lower_case_and_say_something(row: Rule) -> None:
    for phrase in (*row.phrases, *row.frames, *row.site):
        assert phrase == phrase.lower()
        assert all(part.strip() for part in phrase.lstrip("^=").split("…"))
    assert 0 < row.sure < 1
    assert row.phrases or row.types or row.frames
