import pytest

from services.core.diagnosis.ending import Ending
from services.core.taxonomy import Failure
from tests.core.diagnosis.test_decision import diagnosed

STEPS = "".join(f"step {n} loss {1 / n:.3f}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (124, Failure.HANG),
        (126, Failure.PERMISSION_DENIED),
        (127, Failure.COMMAND_NOT_FOUND),
        (130, Failure.STOPPED),
        (132, Failure.NATIVE_CRASH),
        (134, Failure.NATIVE_CRASH),
        (135, Failure.NATIVE_CRASH),
        (136, Failure.NATIVE_CRASH),
        (137, Failure.OUT_OF_MEMORY),
        (139, Failure.NATIVE_CRASH),
        (-11, Failure.NATIVE_CRASH),
        (143, Failure.STOPPED),
        (-15, Failure.STOPPED),
        (1, Failure.CODE_ERROR),
        (None, Failure.CODE_ERROR),
        (0, Failure.NONE),
    ],
)
def test_where_the_log_is_silent_the_exit_code_speaks(code: int | None, failure: Failure) -> None:
    assert diagnosed("", code).failure is failure


@pytest.mark.parametrize(
    ("reason", "code", "failure"),
    [
        ("OOMKilled", 137, Failure.OUT_OF_MEMORY),
        ("Error", 137, Failure.STOPPED),
        ("DeadlineExceeded", 137, Failure.DEADLINE),
        ("deadline: it ran longer than its deadline and was stopped", 143, Failure.DEADLINE),
        ("Evicted", 137, Failure.STOPPED),
        ("Evicted: it exceeded its limit of ephemeral storage", 137, Failure.DISK_FULL),
        ("PreemptionByScheduler", 143, Failure.STOPPED),
        ("ImagePullBackOff", None, Failure.IMAGE_PULL),
        ("Unschedulable", None, Failure.UNSCHEDULABLE),
        ("StartError", 128, Failure.COMMAND_NOT_FOUND),
        ("CreateContainerConfigError", None, Failure.CONFIG),
        ("Error", 1, Failure.CODE_ERROR),
    ],
)
def test_the_platforms_word_counts(reason: str, code: int | None, failure: Failure) -> None:
    assert diagnosed(STEPS, code, reason).failure is failure


def test_who_wrote_nothing_until_its_deadline_hung() -> None:
    assert diagnosed("", 137, "DeadlineExceeded").failure is Failure.HANG
    assert diagnosed("importing\n", 137, "DeadlineExceeded").failure is Failure.HANG
    assert (
        diagnosed(STEPS + "rank 0 waits for the others at the barrier\n", 137, "DeadlineExceeded").failure
        is Failure.HANG
    )


def test_what_the_cluster_found_is_not_doubted() -> None:
    assert Ending(0, known=Failure.STOPPED).told is Failure.STOPPED
    assert not Ending(0, known=Failure.STOPPED).is_clean
