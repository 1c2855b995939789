"""helm and kubectl as an operator has them, on the cluster that KUBECONFIG names."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import bound_to_us

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "cohort"
Values = Mapping[str, Any]
_SECONDS = 300


def path_of(program: str) -> str:
    """Where it is: on the PATH, or with the programs of the cluster."""
    home = os.environ.get("COHORT_KUBE_HOME", str(Path.home() / ".cache" / "cohort-kube"))
    found = shutil.which(program, path=f"{os.environ['PATH']}:{home}/bin")
    if found is None:
        raise AssertionError(f"there is no {program}, on the PATH or in {home}/bin")
    return found


def kubectl(*arguments: str, timeout: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is."""
    command = [path_of("kubectl"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """kubectl, until the context's end at the latest. What it says comes over one pipe."""
    command = bound_to_us([path_of("kubectl"), *arguments])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Release:
    """One release of the chart. What helm cannot do fails the test, with what helm said."""

    name: str
    namespace: str

    def install(self, values: Values) -> None:
        """Returns when all of it is up."""
        self._run("install", self.name, str(CHART), *_WAITING, values=values)

    def upgrade(self, values: Values) -> None:
        """To these values. Returns when all of it is up again."""
        self._run("upgrade", self.name, str(CHART), *_WAITING, values=values)

    def test(self) -> str:
        """`helm test`: what its pod said. Fails if it failed."""
        return self._run("test", self.name, "--logs", "--timeout", f"{_SECONDS}s")

    def uninstall(self) -> None:
        """Returns when all is gone that goes with the release."""
        self._run("uninstall", self.name, *_WAITING)

    def notes(self) -> str:
        """What helm said after the install."""
        return self._run("get", "notes", self.name)

    def _run(self, *arguments: str, values: Values | None = None) -> str:
        # JSON is YAML; by stdin, so that numbers and lists stay what they are.
        further: Sequence[str] = () if values is None else ("-f", "-")
        done = subprocess.run(
            [path_of("helm"), *arguments, "--namespace", self.namespace, *further],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=_SECONDS + 30,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"helm {arguments[0]}: {done.stdout}\n{done.stderr}")
        return done.stdout


_WAITING = ("--wait", "--timeout", f"{_SECONDS}s")
