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


def crash(kind: str, rank: int | None = None, path: str = "/job/train.py", source: str = "go()") -> str:
    lines = ["Traceback (most recent call last):", f'  File "{path}", line 3, in <module>', f"    {source}", kind]
    prefix = "" if rank is None else f"[rank{rank}]: "
    return "".join(f"{prefix}{line}\n" for line in lines)


STEPS = "".join(f"step {n} loss {1 / n:.3f}\n" for n in range(1, 400))
DIRECT = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
RESET = "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]:4"


@pytest.mark.parametrize(
    ("log", "failure", "rank"),
    [
        (
            crash("OSError: [Errno 28] No space left on device") + DIRECT + crash("RuntimeError: saving"),
            "disk_full",
            "",
        ),
        (
            crash("KeyError: 'x'") + DURING + crash("torch.OutOfMemoryError: CUDA out of memory."),
            "out_of_gpu_memory",
            "",
        ),
        (
            crash(RESET, 0) + crash("IndexError: Target 3 is out of bounds.", 1) + crash(RESET, 2),
            "index_out_of_range",
            "1",
        ),
        (crash("ZeroDivisionError: division by zero", 2) + crash(RESET, 0) * 5, "code_error", "2"),
        (
            crash("ZeroDivisionError: division by zero")
            + "Broken pipe\n"
            + crash("BrokenPipeError: [Errno 32] Broken pipe"),
            "code_error",
            "",
        ),
        (crash(RESET, 3), "collective", "3"),
    ],
)
def test_the_root_and_the_first_rank_count_and_not_the_loudest(log: str, failure: str, rank: str) -> None:
    found = diagnosed(log)
    assert (found.failure, found.rank) == (failure, rank)


def test_what_the_program_went_on_after_is_not_the_reason() -> None:
    skipped = "WARNING: skipping a sample\n" + crash("OSError: image file is truncated (3 bytes not processed)")
    assert diagnosed(skipped + STEPS + crash("ZeroDivisionError: division by zero")).failure is Failure.CODE_ERROR
    caught = crash("OSError: image file is truncated (3 bytes not processed)")
    assert diagnosed(caught + STEPS + crash("ZeroDivisionError: division by zero")).failure is Failure.CODE_ERROR


def test_what_came_first_counts_where_others_only_followed() -> None:
    log = (
        crash("torch.OutOfMemoryError: CUDA out of memory.")
        + "retrying\n"
        + crash("FileExistsError: [Errno 17] File exists: 'run'")
    )
    assert diagnosed(log).failure is Failure.OUT_OF_GPU_MEMORY


def test_an_exit_code_of_0_is_believed_unless_the_program_died() -> None:
    assert diagnosed(STEPS, 0).failure is Failure.NONE
    assert diagnosed(STEPS + crash("ZeroDivisionError: division by zero"), 0).failure is Failure.CODE_ERROR
    assert diagnosed(crash("ZeroDivisionError: division by zero") + STEPS, 0).failure is Failure.NONE
    assert diagnosed("Exception ignored in: <function f>\n" + crash("ValueError: x"), 0).failure is Failure.NONE


def test_the_lines_say_where_they_stand() -> None:
    log = STEPS + crash("ValueError: something with é\n  and more of it")
    (first, second) = diagnosed(log).lines
    assert log.encode()[first.offset :].startswith(b"ValueError: something")
    assert log.splitlines()[first.number - 1] == first.text
    assert log.splitlines()[second.number - 1] == second.text


def test_what_the_silent_ranks_said_last_is_told() -> None:
    log = "[rank0] step 1\n[rank1] reading shard 7\n" + crash(
        "RuntimeError: Timed out waiting 12000ms for recv operation", 0
    )
    found = diagnosed(log)
    assert found.failure is Failure.COLLECTIVE
    assert "[rank1] reading shard 7" in [line.text for line in found.context]


def test_a_cause_among_other_ranks_output_is_found() -> None:
    others = "".join(f"[rank{n % 7 + 1}] step {n} loss 0.5\n" for n in range(9_000))
    found = diagnosed(STEPS * 20 + crash("IndexError: Target 3 is out of bounds.") + others)
    assert found.failure is Failure.INDEX_OUT_OF_RANGE
