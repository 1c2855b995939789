"""`effective_batch`: a smaller batch comes with as much more accumulation, as far as that can be seen."""

import pytest

from services.core.resources import Resources
from services.core.taxonomy import Failure
from services.worker.rules.effective_batch import refuse
from services.worker.rules.facts import Asked, Earlier
from tests.worker.rules.cases import asked, earlier, facts

T = "python train.py"
OPTION = "parser.add_argument('--batch-size', type=int, default=32)"


def refused(old: str, new: str, old_text: str = "", new_text: str = "", wanted: Asked | None = None) -> str | None:
    """What is said to the new command after the old one ran out of memory, with the program's text of both times."""
    before = earlier("train", "failed", old, failure=Failure.OUT_OF_GPU_MEMORY)
    return refuse(facts(wanted or asked(new), before, text=new_text, old_text=old_text))


@pytest.mark.parametrize(
    ("old", "new", "old_text", "new_text"),
    [
        (f"{T} --batch-size 32", f"{T} --batch-size 16", "", ""),
        (f"{T} --batch_size=32", f"{T} --batch-size=16", "", ""),
        (f"{T} -b 32", f"{T} -b 16", "", ""),
        (T, f"{T} --batch-size 16", OPTION, OPTION),
        (T, T, "BATCH = 32", "BATCH = 16"),
        (T, T, "batch_size: 32\n", "batch_size: 16\n"),
        (T, T, '{"per_device_train_batch_size": 32}', '{"per_device_train_batch_size": 16}'),
        (T, T, "Args(per_device_train_batch_size=32)", "Args(per_device_train_batch_size=16)"),
        (f"{T} --batch-size 32", f"{T} --batch-size 8 --gradient_accumulation_steps 2", "", ""),
        (
            T,
            T,
            "Args(per_device_train_batch_size=16, gradient_accumulation_steps=2)",
            "Args(per_device_train_batch_size=8, gradient_accumulation_steps=2)",
        ),
        (T, T, "train_batch_size: 64\nmicro_batch_size: 8", "train_batch_size: 32\nmicro_batch_size: 8"),
        (f"{T} --global-batch-size 64", f"{T} --global-batch-size 32", "", ""),
    ],
)
def test_a_batch_that_shrinks_is_refused(old: str, new: str, old_text: str, new_text: str) -> None:
    assert refused(old, new, old_text, new_text) is not None


def test_the_accumulation_that_keeps_it_is_said() -> None:
    text = refused(f"{T} --batch-size 32 --grad-accum 2", f"{T} --batch-size 12 --grad-accum 2")

    assert text is not None
    assert "lowers the effective batch from 64 to 24 (batch 32 to 12, accumulation 2 to 2)" in text
    assert "batch 12 with 6 steps of gradient accumulation" in text


@pytest.mark.parametrize(
    ("old", "new", "old_text", "new_text"),
    [
        (f"{T} --batch-size 32", f"{T} --batch-size 16 --gradient-accumulation-steps 2", "", ""),
        (f"{T} --batch-size 32 --accum 1", f"{T} --batch-size 8 --accum 4", "", ""),
        (T, T, "batch_size = 32", "batch_size = 16\naccum_steps = 2"),
        (T, T, "batch_size = 32", "batch_size = 16\naccum_steps = 32 // batch_size"),
        (T, T, "batch_size = 32", "batch_size = 32\nmodel.gradient_checkpointing_enable()"),
        (T, T, "batch_size = 32\nloader(batch_size=256)", "batch_size = 32\nloader(batch_size=64)"),
        (T, T, "per_device_eval_batch_size=64", "per_device_eval_batch_size=8"),
        (T, T, "batch_size = 4 * 8", "batch_size = 4 * 2"),
        (T, T, "train_batch_size: 64\nmicro_batch_size: 8", "train_batch_size: 64\nmicro_batch_size: 4"),
        (f"{T} --global-batch-size 64 -b 8", f"{T} --global-batch-size 64 -b 4", "", ""),
        (T, T, "B = 8\nbatch_size = 64", "B = 8\nbatch_size = 8\ntotal_batch = steps * batch_size"),
        (f"{T} --batch-size 16", f"{T} --batch-size 32", "", ""),
        (T, f"{T} --batch-size 16", "", ""),
        (T, f"{T} --precision bf16", "", ""),
    ],
    ids=[
        "accumulates now",
        "accumulates more",
        "in the program",
        "an expression",
        "checkpointing",
        "which of two",
        "evaluation",
        "a product",
        "DeepSpeed's whole batch",
        "a whole batch",
        "a whole batch, computed",
        "larger",
        "unknown before",
        "untouched",
    ],
)
def test_what_keeps_it_or_cannot_be_seen_passes(old: str, new: str, old_text: str, new_text: str) -> None:
    assert refused(old, new, old_text, new_text) is None


def test_more_gpus_may_make_up_for_it() -> None:
    wanted = asked(f"{T} --batch-size 16", resources=Resources(gpus=2))

    assert refused(f"{T} --batch-size 32", "", wanted=wanted) is None


@pytest.mark.parametrize(("status", "failure"), [("failed", Failure.CODE_ERROR), ("failed", None), ("succeeded", None)])
def test_only_after_memory_ran_out(status: str, failure: Failure | None) -> None:
    before = earlier("train", status, f"{T} --batch-size 32", failure=failure)

    assert refuse(facts(asked(f"{T} --batch-size 16"), before, old_text="")) is None


@pytest.mark.parametrize(
    ("since", "is_kept"),
    [
        ([earlier("train", "failed", failure=Failure.CODE_ERROR, number=2)], True),
        ([earlier("train", "succeeded", smoke=True, number=2)], True),
        ([earlier("train", "succeeded", number=2)], False),
    ],
    ids=["failed otherwise since", "smoked since", "succeeded since"],
)
def test_it_is_kept_until_the_step_has_succeeded(since: list[Earlier], is_kept: bool) -> None:
    before = earlier("train", "failed", f"{T} --batch-size 32", failure=Failure.OUT_OF_MEMORY)

    assert (refuse(facts(asked(f"{T} --batch-size 16"), before, *since, old_text="")) is not None) is is_kept


def test_a_smoke_test_may_have_any_batch() -> None:
    assert refused(f"{T} --batch-size 32", "", wanted=asked(f"{T} --batch-size 2", smoke=True)) is None
