"""The scripted model as a real process."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers import bound_to_us


class ScriptedServer:
    """`python -m services.scripted` on a free port, from `with` to its end."""

    def __init__(self, playbooks: Path | None = None, *options: str) -> None:
        more = ["--playbooks", str(playbooks)] if playbooks else []
        self._command = [sys.executable, "-m", "services.scripted", "--port", "0", *more, *options]
        self.url = ""
        """The address of its API, ending in `/v1`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(bound_to_us(self._command), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://\S+/v1", line)
        assert found, f"the scripted model did not start: {line!r}"
        self.url = found[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def post(self, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/chat/completions", json=body, **options)

    def requests(self) -> dict[str, Any]:
        seen: dict[str, Any] = httpx.get(f"{self.root}/requests").json()
        return seen
