import re
from pathlib import Path

from services.core.diagnosis.remedies import REMEDIES, table
from services.core.taxonomy import Failure


def test_every_class_of_failure_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Failure)
    assert [failure for failure in Failure if not REMEDIES[failure]] == [Failure.NONE]


def test_short_of_gpu_memory_the_effective_batch_stays_as_it_is() -> None:
    first, *others = REMEDIES[Failure.OUT_OF_GPU_MEMORY]
    assert "gradient accumulation" in first and "effective batch stays the same" in first
    assert "more memory" in others[-1]


def test_the_documentation_has_this_very_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "failures.md").read_text()
    found = re.search(r"<!-- remedies -->\n(.*?)\n<!-- /remedies -->", text, re.DOTALL)
    assert found and found[1] == table()
