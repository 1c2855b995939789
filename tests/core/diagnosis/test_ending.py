import pytest

from services.core.diagnosis.ending import Ending
from services.core.taxonomy import Failure as F
from tests.core.diagnosis.test_decision import diagnosed

STEPS = "".join(f"step {n} loss {1 / n:.3f}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (124, F.HANG),
        (126, F.PERMISSION_DENIED),
        (127, F.COMMAND_NOT_FOUND),
        (130, F.STOPPED),
        (132, F.NATIVE_CRASH),
        (134, F.NATIVE_CRASH),
        (135, F.NATIVE_CRASH),
        (136, F.NATIVE_CRASH),
        (137, F.OUT_OF_MEMORY),
        (139, F.NATIVE_CRASH),
        (-11, F.NATIVE_CRASH),
        (143, F.STOPPED),
        (-15, F.STOPPED),
        (1, F.CODE_ERROR),
        (None, F.CODE_ERROR),
        (0, F.NONE),
    ],
)
def test_where_the_log_is_silent_the_exit_code_speaks(code: int | None, failure: F) -> None:
    assert diagnosed("", code).failure is failure


@pytest.mark.parametrize(
    ("reason", "code", "failure"),
    [
        ("OOMKilled", 137, F.OUT_OF_MEMORY),
        ("Error", 137, F.STOPPED),
        ("DeadlineExceeded", 137, F.DEADLINE),
        ("deadline: it ran longer than its deadline and was stopped", 143, F.DEADLINE),
        ("Evicted", 137, F.STOPPED),
        ("Evicted: it exceeded its limit of ephemeral storage", 137, F.DISK_FULL),
        ("PreemptionByScheduler", 143, F.STOPPED),
        ("ImagePullBackOff", None, F.IMAGE_PULL),
        ("Unschedulable", None, F.UNSCHEDULABLE),
        ("StartError", 128, F.COMMAND_NOT_FOUND),
        ("CreateContainerConfigError", None, F.CONFIG),
        ("Error", 1, F.CODE_ERROR),
    ],
)
def test_the_platforms_word_counts(reason: str, code: int | None, failure: F) -> None:
    assert diagnosed(STEPS, code, reason).failure is failure


def test_who_wrote_nothing_until_its_deadline_hung() -> None:
    assert diagnosed("", 137, "DeadlineExceeded").failure is F.HANG
    assert diagnosed("importing\n", 137, "DeadlineExceeded").failure is F.HANG
    assert diagnosed(STEPS + "rank 0 waits for the others at the barrier\n", 137, "DeadlineExceeded").failure is F.HANG


def test_what_the_cluster_found_is_not_doubted() -> None:
    assert Ending(0, known=F.STOPPED).told is F.STOPPED
    assert not Ending(0, known=F.STOPPED).is_clean
