"""Runs of an installed Cohort as its client sees them: over HTTP, with patience while the API is away."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar
from uuid import uuid4

from services.cli.client import ApiClient, path_of
from services.cli.commands.submit import post_goal
from services.cli.fetching import log_pieces
from services.cli.follow import read_event
from services.cli.goal import Goal
from services.cli.problems import Bewildering, Unreachable
from services.cli.report import read_run
from services.cli.sse import Message
from services.core.errors import CohortError
from services.core.events import Event, RunAccepted
from services.core.fold import first_state, fold
from services.core.records import Attempt, RunState
from tests.cluster.admin import wait_until
from tests.cluster.gates import Gates

T = TypeVar("T")

# What the command line says of an answer that is no problem document of ours.
STRANGER = "not as Cohort's API does"
# A client of a tenant.
Clients = Callable[[str], ApiClient]

PLAYBOOKS = Path(__file__).parent / "playbooks"
PROGRAM = PLAYBOOKS / "errand" / "program.py"
STEP = "train"
NEEDS = {"cpu": 0.1, "memory": "128Mi"}
_PAUSE_SECONDS = 0.05
_LONGEST_SECONDS = 120
_LAST_EVENTS = 12


@dataclass(frozen=True)
class Errand:
    """One run whose programs stop at gates. `token` is its name there."""

    api: ApiClient
    run: str
    token: str

    @property
    def attempt(self) -> str:
        return f"{self.run}-{STEP}-1"

    def state(self) -> RunState:
        return read_run(patiently(lambda: self.api.get(path_of("v1", "runs", self.run)))).state

    def step(self) -> Attempt | None:
        """The step's last attempt."""
        step = self.state().steps.get(STEP)
        return step.last if step else None

    def events(self) -> list[Event]:
        """All of them."""
        path = path_of("v1", "runs", self.run, "events")
        items = patiently(lambda: self.api.get(path, {"limit": 1000}))["items"]
        told = [read_event(item) for item in items]
        assert [one.seq for one in told] == list(range(1, len(told) + 1))
        return [
            Event(run=self.run, seq=one.seq, time=one.time, turn=one.turn, data=one.data) for one in told if one.data
        ]

    def state_at(self, moment: float) -> RunState:
        """How it stood at that time, in seconds since the epoch."""
        accepted, *events = [event for event in self.events() if event.time <= moment]
        assert isinstance(accepted.data, RunAccepted)
        state = first_state(self.run, accepted.data, accepted.time)
        for event in events:
            state = fold(state, event)
        return state

    def until_over(self) -> None:
        """Wait for its end."""
        try:
            wait_until(lambda: self.state().status.is_final, timeout=_LONGEST_SECONDS, pause=0.2)
        except AssertionError as error:
            last = [f"{event.time:.1f} {event.data}"[:300] for event in self.events()[-_LAST_EVENTS:]]
            raise AssertionError("\n".join([f"{error}: {self.run}", *last])) from None

    def log(self) -> bytes:
        return patiently(lambda: b"".join(log_pieces(self.api, self.run, STEP, {"attempt": 1})))

    def cancel(self) -> None:
        patiently(lambda: self.api.post(path_of("v1", "runs", self.run, "cancel"), {"why": "the test wants it"}))


def begin(api: ApiClient, gates: Gates, closed: tuple[str, ...] = (), looks: bool = False) -> Errand:
    """Post a goal whose step, after a command in the sandbox if it `looks`, stops at the points that are `closed`."""
    token = uuid4().hex[:12]
    for point in closed:
        gates.close(token, point)
    train = f"`python program.py {gates.url}/{token}`"
    ask = f"import urllib.request as u; u.urlopen('{gates.url}/{token}/look').read()"
    goal = Goal(
        text=f'look with `python -c "{ask}"`, train with {train}' if looks else f"run {train}",
        model="scripted/errand" if looks else "scripted/train-fast",
        inputs=(("program.py", PROGRAM),),
        resources=dict(NEEDS),
    )
    return Errand(api, str(patiently(lambda: post_goal(api, goal, f"errand-{token}"))["run"]), token)


def is_away(error: CohortError) -> bool:
    """Whether nobody answered, or not the API: while a Service has no endpoint, whoever is on the way may answer."""
    return isinstance(error, Unreachable | Bewildering) or STRANGER in str(error)


def patiently(ask: Callable[[], T]) -> T:
    """The answer, as soon as there is one."""

    def answer() -> tuple[T] | None:
        try:
            return (ask(),)
        except CohortError as error:
            if not is_away(error):
                raise
            return None

    return wait_until(answer, pause=0.05)[0]


@dataclass
class Reading:
    """What came over a stream, however often it was opened. `cuts`: how often it ended too early."""

    messages: list[Message] = field(default_factory=list)
    cuts: int = 0


@contextmanager
def reading(errand: Errand, *path: str) -> Iterator[Reading]:
    """Read a stream of a run beside the test, and open it again after the last id; it is over at the context's end."""
    found, given_up = Reading(), threading.Event()

    def read() -> None:
        while not ((found.messages and found.messages[-1].event == "end") or given_up.wait(_PAUSE_SECONDS)):
            last = next((message.id for message in reversed(found.messages) if message.id), "")
            try:
                found.messages.extend(errand.api.stream(path_of("v1", "runs", errand.run, *path), last_id=last))
            except CohortError as error:
                if not is_away(error):
                    raise
                found.cuts += 1

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield found
        wait_until(lambda: not thread.is_alive(), message=f"the stream {path} ends")
    finally:
        given_up.set()


def expected_log(attempt: str) -> bytes:
    """What the program prints."""
    return b"".join(_program().log_of(attempt))


def _program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("errand_program", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
