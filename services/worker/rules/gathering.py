"""Finding out what the rules go by: reads snapshots and the records of attempts, decides nothing."""

from collections.abc import Sequence

from services.core.attempts import AttemptStore
from services.core.contents import ArtifactNotFound, Blob, Change
from services.core.pools import Pools
from services.core.records import MICRODOLLARS, Attempt, RunState
from services.core.sandboxes import SANDBOX
from services.core.workspace import Entry, Workspace
from services.worker.rules.commands import scripts_of
from services.worker.rules.evaluation_data import altered
from services.worker.rules.facts import Asked, Earlier, Facts, out_of_memory
from services.worker.rules.program import Program, read_program


def gather(
    asked: Asked,
    state: RunState,
    workspace: Workspace,
    attempts: AttemptStore,
    pools: Pools,
    line_dollars: float,
    now: float,
) -> Facts:
    """Everything that may speak against the step. `line_dollars` is the install's cost line; the goal's own wins."""
    given = state.rules.cost_line_dollars
    program = read_program(workspace, state.snapshot, asked.command)
    spent = out_of_memory(state.steps.get(asked.step))
    inputs = [entry.path for entry in workspace.list(state.input_snapshot)] if state.rules.evaluation_data else []
    return Facts(
        asked=asked,
        program=program,
        state=state,
        line_microdollars=round((line_dollars if given is None else given) * MICRODOLLARS),
        now=now,
        earlier=_earlier(program, state, workspace, attempts, pools),
        spent=spent,
        before=_ran(spent, workspace),
        evaluation=tuple(path for path in inputs if state.rules.is_evaluation_data(path)),
        inputs=tuple(inputs),
        altered=tuple(entry.path for entry in altered_data(state, workspace)),
    )


def altered_data(state: RunState, workspace: Workspace) -> list[Entry]:
    """The goal's evaluation files that are not in the workspace any more as they came, as they came."""
    if not state.rules.evaluation_data or state.snapshot == state.input_snapshot:
        return []
    brought = [one for one in workspace.list(state.input_snapshot) if state.rules.is_evaluation_data(one.path)]
    lost = set(altered(brought, workspace.list(state.snapshot)))
    return [entry for entry in brought if entry.path in lost]


def restored(entries: Sequence[Entry]) -> tuple[Change, ...]:
    """What puts these files back."""
    return tuple(Change(entry.path, Blob(entry.sha256, entry.size), entry.mode) for entry in entries)


def _earlier(
    program: Program, state: RunState, workspace: Workspace, attempts: AttemptStore, pools: Pools
) -> tuple[Earlier, ...]:
    known = [(step.name, one) for step in state.steps.values() for one in step.attempts if step.name != SANDBOX]
    records = attempts.records_of([one for _, one in known])
    found = [
        Earlier(name, one, ranks[0], pools.named(one.pool), _is_same(program, one, state, workspace))
        for (name, one), ranks in zip(known, records, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: one.attempt.submitted))


def _is_same(program: Program, attempt: Attempt, state: RunState, workspace: Workspace) -> bool:
    """Whether the attempt ran the program as it is now. Of one that is not known, all files count."""
    if scripts_of(attempt.command) != program.scripts:
        return False
    if attempt.snapshot == state.snapshot:
        return True
    try:
        changed = {one.path for one in workspace.diff(attempt.snapshot, state.snapshot)}
    except ArtifactNotFound:
        return False
    return bool(program.files) and changed.isdisjoint(program.files)


def _ran(attempt: Attempt | None, workspace: Workspace) -> Program | None:
    """The program of an attempt; None for no attempt, or where its files are gone."""
    try:
        return None if attempt is None else read_program(workspace, attempt.snapshot, attempt.command)
    except ArtifactNotFound:
        return None
