"""The runs of the crash tests: how they are begun, and what must have come of them."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from services.core import events as ev
from services.core.keys import new_run_id
from services.core.lifecycle import Status
from services.core.records import MICRODOLLARS, Attempt, Limits, RunState
from services.core.workspace import EMPTY
from tests.crash import invariants
from tests.crash.fleet import Fleet
from tests.crash.pipeline import Pipeline

_WAIT = "wait_for_steps"
PLAYBOOKS = Path(__file__).parent / "playbooks"


def undisturbed(fleet: Fleet) -> None:
    """A story from beginning to end."""
    run = begin(fleet)
    fleet.until(ended(fleet, run))
    went_well(fleet, run)


def submitted(fleet: Fleet) -> None:
    """A story that is submitted over HTTP."""
    pipeline = Pipeline(fleet, "tenant-http")
    run = pipeline.submit(goal_of(fleet, "http"), "scripted/story", "pipeline-1")
    fleet.runs.append(run)
    fleet.until(ended(fleet, run))
    went_well(fleet, run)
    assert fleet.client.zcard(fleet.keys.tenant(fleet.keys.tag(run), "tenant-http")) == 1


def spoken_to(fleet: Fleet) -> None:
    """A story in which somebody says something while the step runs."""
    fleet.hold_programs()
    run = begin(fleet)
    pipeline = Pipeline(fleet, f"tenant-{run}")
    until_begun(fleet, run)
    fleet.until(lambda: fleet.store.state(run).status is Status.WAITING)
    pipeline.say(run, "How far is it?")
    fleet.until(lambda: "a message has come" in str(events_of(fleet, run)))
    fleet.let_programs_go()
    fleet.until(ended(fleet, run))
    went_well(fleet, run)
    messages = [event for event in events_of(fleet, run) if isinstance(event, ev.MessageReceived)]
    assert len(messages) == 1


def answered(fleet: Fleet) -> None:
    """A story in which the agent asks a person, once, and gets an answer."""
    run = begin(fleet, "answered")
    fleet.until(lambda: fleet.store.state(run).status is Status.NEEDS_HUMAN)
    Pipeline(fleet, f"tenant-{run}").say(run, "Yes.")
    fleet.until(ended(fleet, run))
    assert fleet.store.state(run).status is Status.SUCCEEDED
    asked = [event for event in events_of(fleet, run) if isinstance(event, ev.ToolOutput) and event.tool == "ask"]
    assert len(asked) == 1, f"asked more than once: {asked}"
    invariants.hold(fleet, run)


def cancelled(fleet: Fleet) -> None:
    """A story that is cancelled while its step runs."""
    fleet.hold_programs()
    run = begin(fleet)
    pipeline = Pipeline(fleet, f"tenant-{run}")
    until_begun(fleet, run)
    pipeline.cancel(run)
    fleet.until(ended(fleet, run))
    was_cancelled(fleet, run)


def lost(fleet: Fleet) -> None:
    """A story whose step loses its machine once: the platform tries again, and the agent isn't told."""
    fleet.hold_programs()
    run = begin(fleet)
    until_begun(fleet, run)
    fleet.until(lambda: fleet.store.state(run).status is Status.WAITING)
    fleet.attempt(f"{run}-train-1").kill_shim()
    fleet.until(lambda: len(fleet.store.state(run).steps["train"].attempts) == 2)
    fleet.let_programs_go()
    fleet.until(ended(fleet, run))
    went_well(fleet, run)
    state = fleet.store.state(run)
    assert [attempt.status for attempt in state.steps["train"].attempts] == ["lost", "succeeded"]
    waits = [event for event in events_of(fleet, run) if isinstance(event, ev.ToolOutput) and event.tool == _WAIT]
    assert len(waits) == 1, f"the agent was told of an attempt that only the platform lost: {waits}"


def goal_of(fleet: Fleet, name: str) -> str:
    """A goal for the crash tests' playbooks, different for each `name`."""
    return f"Do as the playbook says, name={name} place={fleet.place}"


def begin(fleet: Fleet, playbook: str = "story", **limits: float) -> str:
    """Accept a run, told to nobody: the sweeper has to find it. Returns its id."""
    run = new_run_id()
    fleet.runs.append(run)
    accepted = ev.RunAccepted(
        tenant=f"tenant-{run}",
        goal=goal_of(fleet, run),
        model=f"scripted/{playbook}",
        limits=Limits.model_validate(limits),
        labels={},
        snapshot=EMPTY,
    )
    fleet.until(lambda: fleet.store.create(run, "", accepted) is not None)
    return run


def until_begun(fleet: Fleet, run: str) -> None:
    """Wait until the step's program runs, and the run's log says so."""
    fleet.until(lambda: any(isinstance(event, ev.AttemptStarted) for event in events_of(fleet, run)))


def events_of(fleet: Fleet, run: str) -> list[ev.EventData]:
    """What the run's log holds."""
    return [event.data for event in fleet.store.events(run)]


def ended(fleet: Fleet, *runs: str) -> Callable[[], bool]:
    """The condition that all of `runs` and their researches are over and archived, and nothing works for them."""

    def is_so() -> bool:
        states = [fleet.store.state(run) for run in runs]
        family = {*runs, *(research for state in states for research in state.researches)}
        if not all(state.status.is_final for state in states) or family & set(fleet.store.ended()):
            return False
        if any(left_over(fleet, state) for state in states):
            return False
        return not any(run in command for command in fleet.strays().values() for run in runs)

    return is_so


def left_over(fleet: Fleet, state: RunState) -> list[Path]:
    """Directories of a run that is over. An attempt whose log did not arrive whole keeps its own."""
    attempts = [attempt for step in state.steps.values() for attempt in step.attempts if attempt.log_complete]
    places = [fleet.state / "runs" / state.run, *(fleet.state / "attempts" / attempt.id for attempt in attempts)]
    return [place for place in places if place.exists()]


def went_well(fleet: Fleet, *runs: str) -> None:
    """Check that the runs succeeded, with all that a story leaves behind, and that every invariant holds."""
    for run in runs:
        state = fleet.store.state(run)
        assert state.status is Status.SUCCEEDED, f"{state.status}: {state.reason} {state.detail}"
        researches_reported(fleet, state)
        notes_were_made_once(fleet, run)
        for step in state.steps.values():
            programs_ran_once(fleet, state)
            for attempt in step.attempts:
                log_is_the_programs(fleet, attempt)
        artifacts_are_there(fleet, state)
    invariants.hold(fleet, *runs)


def was_cancelled(fleet: Fleet, *runs: str) -> None:
    """Check that the runs were cancelled, and that every invariant holds."""
    for run in runs:
        state = fleet.store.state(run)
        assert state.status is Status.CANCELLED, f"{state.status}: {state.reason} {state.detail}"
        for step in state.steps.values():
            for attempt in step.attempts:
                log_is_the_programs(fleet, attempt)
    invariants.hold(fleet, *runs)


def researches_reported(fleet: Fleet, state: RunState) -> None:
    """Each call of `research` made one run, which its parent paid for and whose report it heard."""
    calls = [event for event in events_of(fleet, state.run) if isinstance(event, ev.ToolCall)]
    wanted = [call for call in calls if call.tool == "research"]
    assert len(state.researches) == len(wanted), f"{len(wanted)} calls made {list(state.researches)}"
    for known in state.researches.values():
        research = fleet.store.state(known.run)
        assert (research.status, known.status) == (Status.SUCCEEDED, Status.SUCCEEDED), f"{research.reason}"
        assert round(known.cost_usd * MICRODOLLARS) == research.spend.microdollars > 0
        assert not research.spend.holds


def notes_were_made_once(fleet: Fleet, run: str) -> None:
    """A command whose outcome is known happened once; one whose outcome isn't, once at most."""
    path = fleet.place / f"{run}.journal"
    noted = Counter(path.read_text().split() if path.exists() else ())
    outputs = [event for event in events_of(fleet, run) if isinstance(event, ev.ToolOutput)]
    for word, answer in zip(("first", "second"), answers_in_order(outputs), strict=True):
        if "outcome unknown" in answer:
            assert noted[word] <= 1, f"{word} happened {noted[word]} times"
        else:
            assert noted[word] == 1, f"{word} happened {noted[word]} times, and the agent was told: {answer}"


def answers_in_order(outputs: list[ev.ToolOutput]) -> list[str]:
    """What the agent was told of its commands, in the order in which it gave them."""
    told = [(output.tool_call_id, output.output) for output in outputs if output.tool == "bash"]
    return [text for _, text in sorted(told)]


def programs_ran_once(fleet: Fleet, state: RunState) -> None:
    """No attempt's program began twice, no two ran at once, and the last one saw the edited file."""
    lines = (fleet.place / f"{state.run}.executions").read_text().splitlines()
    begun = Counter(line.split()[1] for line in lines if line.startswith("begun"))
    assert set(begun.values()) == {1}, f"a program began more than once: {begun}"
    assert not [line for line in lines if line.startswith("overlap")], f"two programs at once: {lines}"
    assert lines[-1] == f"ended {state.steps['train'].last.id} edited", f"the last line is {lines[-1]}"


def log_is_the_programs(fleet: Fleet, attempt: Attempt) -> None:
    """Every byte that the program wrote is in the log once. Of one that was killed, what it wrote until then."""
    expected = b"".join(program().log_of(attempt.id))
    kept = b"".join(fleet.logs.stream(attempt.id))
    assert len(kept) == attempt.log_bytes, f"{len(kept)} bytes are kept, {attempt.log_bytes} on record"
    if attempt.status == "succeeded":
        assert kept == expected, f"the log differs: {len(kept)} bytes instead of {len(expected)}"
        assert attempt.log_complete, "the log is whole and not said to be"
        assert attempt.gap_bytes == 0
        return
    # Its shell has the last word, where it was told to end.
    kept = kept.removesuffix(b"Terminated\n")
    assert expected.startswith(kept), "the log holds what the program never wrote"
    assert not (attempt.log_complete and attempt.gap_bytes)


def artifacts_are_there(fleet: Fleet, state: RunState) -> None:
    """What the run hands over can be fetched."""
    assert state.artifacts, "nothing was handed over"
    for file in state.artifacts:
        data = fleet.artifacts.get(file.sha256)
        assert len(data) == file.size
        if file.path == "train/model.txt":
            assert data.decode() == f"trained by {state.steps['train'].last.id}\n"


def program() -> ModuleType:
    """The story's program, which knows what it prints."""
    spec = importlib.util.spec_from_file_location("story_program", PLAYBOOKS / "story" / "program.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
