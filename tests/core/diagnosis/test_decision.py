import pytest

from services.core.diagnosis.decision import diagnose
from services.core.diagnosis.ending import Ending
from services.core.diagnosis.finding import Finding
from services.core.log_scan import scan
from services.core.taxonomy import Failure
from tests.core.diagnosis.samples import Sample, samples


def diagnosed(log: str, exit_code: int | None = 1, reason: str = "") -> Finding:
    return diagnose(scan([log.encode()]), Ending(exit_code, reason))


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_what_programs_really_print_is_of_its_class(sample: Sample) -> None:
    assert diagnosed(sample.log, sample.exit_code).failure is sample.failure


def test_there_is_a_sample_of_every_class() -> None:
    assert {sample.failure for sample in samples()} == set(Failure)
