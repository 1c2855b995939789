"""`submit_step`: ask for a new attempt of a step. The controller makes it so."""

import re

from pydantic import Field, field_validator, model_validator

from services.core import events as ev
from services.core.errors import BudgetSpent
from services.core.keys import attempt_id
from services.core.needs import Needs
from services.core.placement import Refusal, place
from services.core.pools import LOCAL, Pool, Pools
from services.core.quantities import Bytes, Cores
from services.core.records import MICRODOLLARS, RunState
from services.core.resources import Resources
from services.core.sandboxes import SANDBOX
from services.core.step_secrets import refused as refused_secrets
from services.worker.rules import refusals
from services.worker.rules.facts import Asked
from services.worker.rules.gathering import gather
from services.worker.rules.seeds import SEED, seeded
from services.worker.rules.smoke_test import SMOKE_MINUTES
from services.worker.tools.refusing import refused
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError

_MEMORY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(Ki|Mi|Gi|K|M|G)?B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_ENV_BYTES = 64 * 1024
MOST_STEPS = 100


class SubmitStep(Parameters):
    name: str = Field(pattern=r"^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$", description="The step's name, such as train.")
    command: str = Field(min_length=1, max_length=20_000, description="Shell command, run in a copy of the workspace.")
    deadline_minutes: float = Field(60, gt=0, le=60 * 24 * 14, description="The program is stopped after so long.")
    uses: list[str] = Field([], max_length=20, description="Steps whose outputs the program reads.")
    gpus: int = Field(0, ge=0, description="GPUs of one node; none unless you or the goal say so.")
    gpu_memory: Bytes | None = Field(None, description="Memory that each GPU must have, such as 40Gi.")
    cpu: Cores | None = Field(None, description="CPU cores of one node, such as 4 or 500m.")
    memory: str | None = Field(None, description="Memory limit, such as 4GiB.")
    shm: Bytes | None = Field(None, description="Size of /dev/shm, such as 8Gi; it counts as memory.")
    nodes: int = Field(1, ge=1, description="How many nodes run the command at once, each as a rank.")
    pool: list[str] = Field([], max_length=20, description="Pools to try, in this order; none: the cheapest.")
    image: str = Field("", max_length=500, description="Container image; the install's own unless told.")
    env: dict[str, str] = Field({}, description="Further environment variables.")
    secrets: list[str] = Field([], max_length=20, description="Names of secrets that the program gets as variables.")
    resume: bool = Field(False, description="Begin with the step's newest checkpoint in $COHORT_CHECKPOINT_DIR.")
    smoke: bool = Field(False, description=f"A try on very little data, of {SMOKE_MINUTES} minutes at most.")
    evaluates: bool = Field(False, description="It measures and trains nothing: it may read evaluation data.")

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not _ENV_NAME.fullmatch(name) or (name.startswith("COHORT_") and name != SEED):
                raise ValueError(f"{name!r} cannot be set: use letters, digits and _, not beginning with COHORT_")
            if "\0" in value:
                raise ValueError(f"the value of {name} holds a NUL character")
        if sum(len(name) + len(value.encode()) for name, value in env.items()) > _MOST_ENV_BYTES:
            raise ValueError(f"together they have more than {_MOST_ENV_BYTES} bytes; write a file and read that")
        return env

    @field_validator("pool", mode="before")
    @classmethod
    def _one_pool(cls, pool: object) -> object:
        return [pool] if isinstance(pool, str) else pool

    @model_validator(mode="after")
    def _check_smoke(self) -> "SubmitStep":
        if self.smoke and "deadline_minutes" in self.model_fields_set and self.deadline_minutes > SMOKE_MINUTES:
            raise ValueError(f"a smoke test has deadline_minutes {SMOKE_MINUTES} at most; use less data")
        return self

    @property
    def seconds(self) -> float:
        """The deadline; that of a smoke test is short unless told."""
        return 60 * (min(self.deadline_minutes, SMOKE_MINUTES) if self.smoke else self.deadline_minutes)

    @model_validator(mode="after")
    def _check_resources(self) -> "SubmitStep":
        if self.gpu_memory is not None and not self.gpus:
            raise ValueError("gpu_memory is the memory of a GPU: say with gpus how many there are to be")
        return self

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: str) -> str:
        if "\0" in command:
            raise ValueError("the command holds a NUL character")
        return command


def _run(call: Call, wanted: SubmitStep) -> Result:
    state = call.state
    _check(state, wanted)
    _check_secrets(call.desk.pools, state.tenant, wanted)
    step = state.steps.get(wanted.name)
    attempt_number = len(step.attempts) + 1 if step else 1
    attempt = attempt_id(state.run, wanted.name, attempt_number)
    resources = _resources(wanted, state.resources)
    asked = _asked(wanted, resources, _place(call.desk.pools, state.tenant, resources))
    if refusal := _refusal(call, asked):
        return refusal
    _reserve(call, attempt, asked.microdollars)
    submitted = ev.StepSubmitted(
        step=wanted.name,
        attempt=attempt,
        number=attempt_number,
        command=wanted.command,
        snapshot=state.snapshot,
        uses=wanted.uses,
        env=seeded(wanted.env, resources.gpus),
        deadline_seconds=asked.deadline_seconds,
        resources=resources,
        pool=asked.pool.name,
        price_per_hour=asked.pool.price_per_hour,
        reserved_microdollars=asked.microdollars,
        restores=step.checkpoint if step and wanted.resume else "",
        secrets=tuple(wanted.secrets),
        smoke=wanted.smoke,
        evaluates=wanted.evaluates,
    )
    where = "" if asked.pool.name == LOCAL else f" to pool {asked.pool.name}"
    text = f"submitted attempt {attempt_number} of step {wanted.name}{where}; wait_for_steps tells how it ends"
    return Result(text, events=(submitted,))


def _check(state: RunState, wanted: SubmitStep) -> None:
    if wanted.name == SANDBOX:
        raise ToolError(f"name: {SANDBOX} is the step in which bash runs; give yours another name")
    step = state.steps.get(wanted.name)
    if step is None and len(state.steps) >= MOST_STEPS:
        raise ToolError(f"a run has at most {MOST_STEPS} steps; submit a step that exists again")
    if step is not None and step.last.is_live:
        raise ToolError(f"step {wanted.name} is running; wait for it or cancel it first")
    if wanted.resume and not (step and step.checkpoint):
        raise ToolError(f"resume: step {wanted.name} has left no checkpoint; submit it without resume")
    for name in wanted.uses:
        if name not in state.steps or not any(a.status == "succeeded" for a in state.steps[name].attempts):
            raise ToolError(f"uses: no attempt of step {name!r} has succeeded, so there are no outputs to use")


def _check_secrets(pools: Pools, tenant: str, wanted: SubmitStep) -> None:
    if wanted.secrets and not pools.runs_images:
        raise ToolError("secrets: steps run as programs of this machine here, and get none; leave them out")
    why = refused_secrets(pools.secrets, tenant, wanted.secrets, list(wanted.env))
    if why:
        raise ToolError(f"secrets: {why}")


def _resources(wanted: SubmitStep, goal: Needs) -> Resources:
    """What the step gets: what it says, and for the rest what the goal says. Raises `ToolError`."""
    memory = memory_bytes(wanted.memory)
    if memory is not None and wanted.shm is not None and wanted.shm > memory:
        raise ToolError("shm: it counts as memory, so it cannot be more than memory; ask for more memory or less shm")
    strangers = [name for name in wanted.pool if goal.pool and name not in goal.pool]
    if strangers:
        raise ToolError(f"pool: the goal allows {', '.join(goal.pool)}, and not {strangers[0]!r}")
    said = Resources(
        gpus=wanted.gpus,
        gpu_memory=wanted.gpu_memory,
        cpu=wanted.cpu,
        memory=memory,
        nodes=wanted.nodes,
        pools=tuple(wanted.pool),
        image=wanted.image,
        shm=wanted.shm,
    )
    # Some models write null where they have nothing to say.
    fields = frozenset(name for name in wanted.model_fields_set if getattr(wanted, name) is not None)
    return goal.completed(said, fields)


def _place(pools: Pools, tenant: str, resources: Resources) -> Pool:
    """The pool for the step. Raises `ToolError` where it could never run."""
    choice = place(pools, tenant, resources)
    if isinstance(choice, Refusal):
        raise ToolError(choice.text)
    return choice.pool


def _asked(wanted: SubmitStep, resources: Resources, pool: Pool) -> Asked:
    return Asked(
        step=wanted.name,
        command=wanted.command,
        env=wanted.env,
        deadline_seconds=wanted.seconds,
        resources=resources,
        pool=pool,
        smoke=wanted.smoke,
        evaluates=wanted.evaluates,
        resume=wanted.resume,
    )


def _refusal(call: Call, asked: Asked) -> Result | None:
    """What the run's rules say against it; None where they say nothing."""
    desk = call.desk
    facts = gather(asked, call.state, desk.workspace, desk.attempts, desk.pools, desk.cost_line_dollars, call.now)
    return refused(call, refusals(facts))


def _reserve(call: Call, attempt: str, microdollars: int) -> None:
    cap, spend = call.state.limits.dollars, call.state.spend
    if cap is not None and spend.microdollars + spend.reserved_microdollars + microdollars > cap * MICRODOLLARS:
        left = cap - (spend.microdollars + spend.reserved_microdollars) / MICRODOLLARS
        needed = microdollars / MICRODOLLARS
        raise ToolError(f"the run has ${left:.2f} left and this step could cost ${needed:.2f}; shorten its deadline")
    try:
        call.desk.ledger.reserve(call.state.tenant, f"step:{attempt}", microdollars)
    except BudgetSpent as error:
        raise ToolError(str(error)) from error


def memory_bytes(text: str | None) -> int | None:
    """Bytes of `4GiB`, `512M` or a plain number. Raises `ToolError`."""
    if text is None:
        return None
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ToolError(f"memory: {text!r} is no amount; write it like 4GiB or 512MiB")
    amount = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if amount < 16 * 2**20:
        raise ToolError(f"memory: {text!r} is less than any program needs; give at least 16MiB")
    return int(amount)


TOOL = Tool(
    name="submit_step",
    description=(
        "Run a program as a step of its own: a training, an evaluation. It gets a copy of the workspace as it is now; "
        "what it writes under $COHORT_OUTPUT_DIR is kept; outputs of the steps in `uses` are under "
        "$COHORT_INPUT_DIR/<step>/. A long training saves its state under $COHORT_CHECKPOINT_DIR and goes on from what "
        "it finds there: an attempt lost with its machine is tried again by itself from the newest state saved. "
        "On several GPUs or nodes torchrun needs no options: it finds PET_… set. Give other launchers $NNODES, "
        "$NODE_RANK, $NPROC_PER_NODE, $MASTER_ADDR and $MASTER_PORT. Rank 0 hands over outputs and checkpoints; "
        "outputs of another rank are under rank-N/. "
        "Submitting a step's name again makes a new attempt."
    ),
    parameters=SubmitStep,
    run=_run,
    replay=Replay.IDEMPOTENT,
    effects=frozenset({Effect.SPENDS}),
)
