"""Carries out the calls of a playbook in a directory, as the worker's tools would, and answers in their words.

Only for following a playbook along with the programs it writes: real files, real processes; no run, no
worker, no executor.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.scripted.replay import Reply

SECONDS = 60


@dataclass
class Workbench:
    """`ended` holds the answers of steps that are over, by name; `finished` the arguments of `finish`."""

    directory: Path
    outputs: Path
    ended: dict[str, list[str]] = field(default_factory=dict)
    finished: dict[str, Any] | None = None

    def answer(self, reply: Reply) -> list[dict[str, Any]]:
        """The tool messages for a reply's calls."""
        return [
            {"role": "tool", "tool_call_id": call.id, "content": self._tool(call.tool)(**json.loads(call.arguments))}
            for call in reply.calls
        ]

    def run(self, command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command in the directory, with the tests' Python as `python`."""
        return subprocess.run(
            ["sh", "-c", command],
            cwd=self.directory,
            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _tool(self, name: str) -> Callable[..., str]:
        tool: Callable[..., str] = getattr(self, f"_{name}")
        return tool

    def _plan(self, items: list[dict[str, str]]) -> str:
        return f"plan noted, {sum(item['status'] == 'completed' for item in items)} of {len(items)} done"

    def _bash(self, command: str, timeout_seconds: float) -> str:
        done = self.run(command)
        return f"exit code: {done.returncode}\n{done.stdout}"

    def _write(self, path: str, content: str) -> str:
        (self.directory / path).write_text(content)
        return f"wrote {path}"

    def _read(self, path: str, offset: int, limit: int) -> str:
        lines = (self.directory / path).read_text().splitlines()
        return "\n".join(f"{number}\t{lines[number - 1]}" for number in range(offset, min(offset + limit, len(lines))))

    def _edit(self, path: str, old: str, new: str) -> str:
        text = (self.directory / path).read_text()
        if text.count(old) != 1:
            return f"{path} has the passage {text.count(old)} times"
        (self.directory / path).write_text(text.replace(old, new))
        return f"edited {path}"

    def _submit_step(self, name: str, command: str, deadline_minutes: float, uses: tuple[str, ...] = ()) -> str:
        (self.outputs / name).mkdir(parents=True, exist_ok=True)
        done = self.run(command, COHORT_OUTPUT_DIR=str(self.outputs / name), COHORT_INPUT_DIR=str(self.outputs))
        answers = self.ended.setdefault(name, [])
        outcome = "failed" if done.returncode else "succeeded"
        answers.append(f"Step {name}, attempt {len(answers) + 1}: {outcome}\n{done.stdout}")
        return f"submitted attempt {len(answers)} of step {name}; wait_for_steps tells how it ends"

    def _wait_for_steps(self, steps: list[str], until: str, max_minutes: float) -> str:
        return "\n\n".join(self.ended[step][-1] for step in steps)

    def _finish(self, **claimed: Any) -> str:
        self.finished = claimed
        return "every claim holds; the run is finished"
