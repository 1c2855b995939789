from dataclasses import replace

import pytest

from services.core import events as ev
from services.core.keys import run_of_attempt
from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner
from services.worker.controller.inquest import Inquest
from services.worker.controller.verdict import Close
from services.worker.executors import Observed, Phase
from tests.worker.controller.conftest import Control, go_round
from tests.worker.controller.test_attempts import finish

FAILED = Close("failed", "exit code 1")
TRACEBACK = (
    b"Traceback (most recent call last):\n"
    b'  File "/job/train.py", line 3, in <module>\n'
    b"    loss.backward()\n"
    b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\x1b[0m\n"
)


def diagnosis(code: str) -> Diagnosis:
    return Diagnosis(failure=Failure.CODE_ERROR, owner=Owner.CODE, code=code, summary="it failed")


@pytest.mark.parametrize(
    ("close", "is_due"),
    [
        (FAILED, True),
        (replace(FAILED, diagnosis=diagnosis("rank_failed")), True),
        (replace(FAILED, diagnosis=diagnosis("oom_container")), False),
        (Close("lost", "gone"), False),
        (Close("cancelled", "cancelled"), False),
        (Close("succeeded", "exit code 0"), False),
    ],
)
def test_the_log_is_asked_where_a_program_failed_and_nobody_knows_why(close: Close, is_due: bool) -> None:
    assert Inquest.is_due(close) is is_due


def test_the_end_of_an_attempt_carries_the_class_that_its_log_tells(control: Control) -> None:
    attempt = control.submit()
    control.reconciler.logs.append(attempt, 0, TRACEBACK)
    finish(control, attempt, exit_code=1)

    go_round(control.reconciler)

    events = [event.data for event in control.store.events(run_of_attempt(attempt))]
    (finished,) = [data for data in events if isinstance(data, ev.AttemptFinished)]
    found = finished.diagnosis
    assert found is not None
    assert (finished.outcome, found.failure, found.owner) == ("failed", Failure.OUT_OF_GPU_MEMORY, Owner.RESOURCES)
    assert found.code == "from_log"
    assert not found.is_retriable
    assert found.evidence == ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",)
    assert "double the gradient accumulation" in found.remedy
    assert 0.9 < found.confidence < 1


def test_of_a_large_log_both_ends_are_asked(control: Control) -> None:
    attempt = control.submit()
    filler, offset = b"step 1 loss 0.5\n" * 65_536, 0
    for piece in [*[filler] * 18, TRACEBACK]:
        control.reconciler.logs.append(attempt, offset, piece)
        offset += len(piece)

    close = Inquest(control.reconciler.logs).hold(
        control.store.state(run_of_attempt(attempt)).steps["train"].last, Observed(attempt, Phase.FINISHED), FAILED
    )

    assert close.diagnosis is not None
    assert close.diagnosis.failure is Failure.OUT_OF_GPU_MEMORY


def test_a_log_that_says_nothing_leaves_what_the_exit_code_says(control: Control) -> None:
    attempt = control.submit()
    finish(control, attempt, exit_code=127)

    go_round(control.reconciler)

    last = control.store.state(run_of_attempt(attempt)).steps["train"].last
    assert last.diagnosis is not None
    assert last.diagnosis.failure is Failure.COMMAND_NOT_FOUND
