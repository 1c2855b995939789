"""The directory in which `cohort up` keeps everything: state, logs, secrets, and what clients need to find it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.problems import Usage


@dataclass(frozen=True)
class Home:
    """Names of what is in the directory. Only its owner may look inside."""

    path: Path

    @property
    def client_file(self) -> Path:
        """URL and key of the local API, for clients of the same user."""
        return self.path / "client.json"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def stack_file(self) -> Path:
        """Ports and processes of the stack that runs, or that ran last."""
        return self.path / "stack.json"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def redis_config(self) -> Path:
        """Holds Redis's password."""
        return self.redis / "redis.conf"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def state(self) -> Path:
        """What the worker and the controller keep on disk."""
        return self.path / "state"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def make(self) -> None:
        """Create what is missing, closed to others."""
        for directory in (self.path, self.redis, self.artifacts, self.state, self.logs):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the home for this process. Raises `Usage` where another one has it.

        The kernel lets go of the lock when the process dies, however it dies.
        """
        with open(self.path / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Usage(
                    f"Cohort runs already with the home {self.path}; stop it with Ctrl-C there, or give another --home"
                ) from error
            yield


def home_at(path: Path) -> Home:
    """The home at `path`, `~` and all."""
    return Home(path.expanduser().absolute())


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read. Readers see the old content or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(scratch, path)


def write_json(path: Path, content: Any) -> None:
    """The same for a JSON document."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The document in such a file; empty where there is none. Raises `Usage` where it is damaged."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Usage(f"{path} is damaged; remove it, and start `cohort up` again") from error
    if not isinstance(content, dict):
        raise Usage(f"{path} is damaged; remove it, and start `cohort up` again")
    return content
