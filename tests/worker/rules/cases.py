"""What a rule goes by, from few words: a step that is asked for, and what the run has seen before."""

from collections.abc import Mapping
from typing import Any

from services.core.attempts import AttemptRecord
from services.core.observations import Progress
from services.core.pools import Pool
from services.core.records import Diagnosis, Step
from services.core.resources import Resources
from services.core.taxonomy import Failure, Owner
from services.worker.rules.commands import scripts_of
from services.worker.rules.facts import Asked, Earlier, Facts, out_of_memory
from services.worker.rules.program import Program
from tests.worker.states import CREATED, attempt, state_of, steps_of

NOW = CREATED + 1_000
GPU = Pool(name="a100", gpu_product="A100", gpus_per_node=8, price_per_hour=4.0)
SPOT = GPU.model_copy(update={"name": "a100-spot", "price_per_hour": 1.0})
OTHER = Pool(name="t4", gpu_product="T4", gpus_per_node=4, price_per_hour=0.5)
POOLS = {pool.name: pool for pool in (GPU, SPOT, OTHER)}
LINE = 5_000_000
"""Five dollars: 75 minutes of one GPU of a100."""


def asked(command: str = "python train.py", minutes: float = 120, **fields: Any) -> Asked:
    """A training on one GPU of a100, over the line unless told."""
    given = {"step": "train", "env": {}, "resources": Resources(gpus=1), "pool": GPU, **fields}
    return Asked(command=command, deadline_seconds=minutes * 60, **given)


def earlier(
    step: str = "smoke",
    status: str = "succeeded",
    command: str = "python train.py",
    minutes: float = 10,
    progress: Progress | None = None,
    metrics: int = 0,
    failure: Failure | None = None,
    pool: Pool = GPU,
    number: int = 1,
    is_same: bool = True,
    **fields: Any,
) -> Earlier:
    """An attempt of before, of one GPU of a100, and what it told."""
    seen = None if failure is None else Diagnosis(failure=failure, owner=Owner.CODE, code="", summary="")
    given = {"resources": Resources(gpus=1), "price_per_hour": pool.price_per_hour, "submitted": CREATED, **fields}
    one = attempt(
        number,
        status,
        step,
        command=command,
        deadline_seconds=minutes * 60,
        pool=pool.name,
        diagnosis=seen,
        **given,
    )
    record = AttemptRecord(attempt=one.id, progress=progress, metrics_count=metrics)
    return Earlier(step, one, record, POOLS.get(pool.name), is_same)


def program(files: Mapping[str, str] | str | None, command: str = "python train.py") -> Program:
    """A program of these files; one text is train.py, None is not known."""
    if files is None:
        return Program(scripts_of(command))
    texts = {"train.py": files} if isinstance(files, str) else dict(files)
    return Program(scripts_of(command), (next(iter(texts)),), texts)


def facts(
    wanted: Asked,
    *before: Earlier,
    text: Mapping[str, str] | str | None = "",
    old_text: str | None = None,
    **fields: Any,
) -> Facts:
    """Everything together. `text` is the program's now, `old_text` what it was when it ran out of memory."""
    steps: dict[str, Step] = {}
    for one in before:
        attempts = steps[one.step].attempts if one.step in steps else ()
        steps |= steps_of(Step(name=one.step, attempts=(*attempts, one.attempt)))
    return Facts(
        asked=wanted,
        program=program(text, wanted.command),
        state=state_of(steps=steps),
        line_microdollars=LINE,
        now=NOW,
        earlier=before,
        spent=out_of_memory(steps.get(wanted.step)),
        before=None if old_text is None else program(old_text),
        **fields,
    )
