"""What the benchmarks stand on: the product's own processes, started for one measurement, and a store beside them."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.cli import environment
from services.cli.home import Home, read_json
from services.cli.programs import Given, Secrets, redis_url
from services.cli.stack import Stack, Wishes, stack
from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.payload import Payloads
from services.core.records import Limits
from services.core.redis import connect
from services.core.store import RunStore
from services.core.workspace import EMPTY

TENANT = "local"


@dataclass(frozen=True)
class Stand:
    """A stack that is up, and a store on its Redis."""

    stack: Stack
    store: RunStore
    artifacts: ArtifactStore
    broker_url: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.address.key}"}

    @property
    def url(self) -> str:
        return self.stack.address.url

    def pid(self, name: str) -> int:
        """The process of one service."""
        return int(read_json(self.stack.home.stack_file)["pids"][name])


@contextmanager
def up(tuning: Mapping[str, str] | None = None) -> Iterator[Stand]:
    """Redis, API, worker, controller and the scripted model, in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cohort-bench-") as place:
        home = Home(Path(place) / "home")
        given = Given(environment.bare(environment.own()), {"COHORT_LOG_LEVEL": "warning", **(tuning or {})}, {})
        with stack(home, Wishes(given, scripted=True), lambda _: None) as running:
            known = read_json(home.secrets_file)
            secrets = Secrets(runner=str(known["runner"]), redis=str(known["redis"]))
            artifacts = ArtifactStore(home.artifacts.as_uri())
            client = connect(redis_url(running.ports, secrets), client_name="cohort-bench")
            store = RunStore(client, Keys(), Payloads(artifacts))
            yield Stand(running, store, artifacts, redis_url(running.ports, secrets, 1))


def accepted(goal: str, playbook: str) -> ev.RunAccepted:
    """A goal for the scripted model."""
    return ev.RunAccepted(
        tenant=TENANT, goal=goal, model=f"scripted/{playbook}", limits=Limits(), labels={}, snapshot=EMPTY
    )
