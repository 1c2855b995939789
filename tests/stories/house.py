"""A whole Cohort on this machine, as `cohort up` starts it, in which every story is played; all of them side by side.

Its model is the scripted one with the playbooks beside this file. Everything is looked at over the API.
"""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.cli import environment
from services.cli.client import ApiClient, path_of
from services.cli.home import Home
from services.cli.programs import Given
from services.cli.report import read_run
from services.cli.stack import Wishes, stack
from services.core import events as ev
from services.core.lifecycle import Status
from services.core.records import RunState
from tests.collector import Collector
from tests.scripted.server import ScriptedServer
from tests.servers import wait_until

PLAYBOOKS = Path(__file__).parent / "playbooks"
STORY_SECONDS = 150.0
CLIENT_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_PAGE = 1000
_WHEEL = "curves-1.0-py3-none-any.whl"
_SETTINGS = {
    "COHORT_SWEEP_SECONDS": "0.2",
    "COHORT_CANCEL_GRACE_SECONDS": "0.5",
    "COHORT_MODEL_API_KEY": "none-needed",
}


@dataclass
class House:
    """A stack that is up, and the run of each story."""

    api: ApiClient
    home: Home
    collector: Collector
    runs: dict[str, str] = field(default_factory=dict)

    def play(self, story: str) -> str:
        """The run of the story, begun now if it has not been; returns its id."""
        if story not in self.runs:
            body = {"goal": f"Play {story}.", "model": f"scripted/{story}", "files_base64": inputs_of(story)}
            headers = {"Idempotency-Key": story, "traceparent": CLIENT_TRACE}
            accepted = self.api.post("/v1/runs", body, headers)
            self.runs[story] = accepted["run"]
        return self.runs[story]

    def state(self, story: str) -> RunState:
        """Where its run stands."""
        return read_run(self.api.get(path_of("v1", "runs", self.play(story)))).state

    def events(self, story: str) -> list[ev.EventData]:
        """Everything that has happened in its run."""
        found: list[ev.EventData] = []
        while True:
            query: dict[str, str | int | list[str]] = {"after": len(found), "limit": _PAGE}
            page = self.api.get(path_of("v1", "runs", self.play(story), "events"), query)["items"]
            found += [ev.read_data(one["event_type"], json.dumps(one["data"])) for one in page]
            if len(page) < _PAGE:
                return found

    def until(self, story: str, holds: Callable[[RunState], object]) -> RunState:
        """Its state once that holds; where it never does, what has happened is told."""

        def is_so() -> RunState | None:
            state = self.state(story)
            return state if holds(state) else None

        try:
            return wait_until(is_so, STORY_SECONDS, story, pause=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.account(story)}") from None

    def rest(self, story: str) -> RunState:
        """Its state once nothing goes on by itself any more."""
        return self.until(story, lambda state: state.status.is_final or state.status is Status.NEEDS_HUMAN)

    def say(self, story: str, text: str) -> None:
        """Answer the agent, as a person does."""
        self.api.post(
            path_of("v1", "runs", self.play(story), "messages"), {"content": text, "message_id": f"to-{story}"}
        )

    def log(self, story: str, step: str, attempt: int | None = None) -> str:
        """What the step's attempt has written so far: that one, or the last."""
        query: dict[str, str | int | list[str]] = {} if attempt is None else {"attempt": attempt}
        with self.api.download(path_of("v1", "runs", self.play(story), "steps", step, "log"), query) as log:
            return b"".join(log.chunks).decode()

    def account(self, story: str) -> str:
        """What is needed to understand a story that went another way."""
        state = self.state(story)
        lines = [f"{story}: {state.status} {state.reason} {state.detail}"]
        for event in self.events(story):
            if isinstance(event, ev.ToolOutput):
                lines.append(f"{event.tool_call_id} {event.tool}: {event.output}")
            elif isinstance(event, ev.LlmFailed | ev.StatusChanged):
                lines.append(repr(event))
        return "\n".join(lines)


@contextmanager
def house_in(directory: Path) -> Iterator[House]:
    """Start everything, and stop it at the end."""
    with ScriptedServer(PLAYBOOKS) as model, Collector() as collector:
        environ = environment.own()
        tuning = {**_SETTINGS, "COHORT_MODEL_BASE_URL": model.url, "COHORT_TRACES_URL": collector.url}
        given = Given(environment.bare(environ), tuning, {})
        home = Home(directory)
        with (
            stack(home, Wishes(given), lambda _: None) as up,
            closing(ApiClient(up.address.url, up.address.key)) as api,
        ):
            yield House(api, home, collector)


def inputs_of(story: str) -> dict[str, str]:
    """The files that the story's goal brings, in base64."""
    below = PLAYBOOKS / story / "inputs"
    found = {str(path.relative_to(below)): path.read_bytes() for path in sorted(below.rglob("*")) if path.is_file()}
    if story == "missing-package":
        found[f"wheels/{_WHEEL}"] = _wheel()
    return {path: base64.b64encode(content).decode() for path, content in found.items()}


def _wheel() -> bytes:
    """A package that is on no index: one module, which smooths a curve."""
    files: dict[str, Any] = {
        "curves.py": "def smooth(values):\n    return [sum(values[: n + 1]) / (n + 1) for n in range(len(values))]\n",
        "curves-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: curves\nVersion: 1.0\n",
        "curves-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "curves-1.0.dist-info/RECORD": "curves.py,,\ncurves-1.0.dist-info/METADATA,,\ncurves-1.0.dist-info/WHEEL,,\n",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()
