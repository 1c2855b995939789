"""A real Prometheus for the tests: scrapes every second, evaluates our rules, answers queries."""

import json
import math
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers import bound_to_us, free_port, program, wait_until

_START_SECONDS = 60


@dataclass(frozen=True)
class Line:
    """One series of an answer: its labels, and its values, without those that are no numbers."""

    labels: Mapping[str, str]
    values: Sequence[float]


class Wrong(AssertionError):
    """Prometheus does not accept what it was asked."""


class PrometheusServer:
    """A server that keeps its data in `directory`. `targets`: by job, where its `/metrics` is."""

    def __init__(self, directory: Path, targets: Mapping[str, str], rules: Sequence[Path]) -> None:
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target], "labels": {"namespace": "here"}}]}
                for job, target in targets.items()
            ],
        }
        # JSON is YAML.
        (directory / "prometheus.yml").write_text(json.dumps(config))
        command = [program("prometheus", "prometheus"), f"--config.file={directory}/prometheus.yml"]
        command += [f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{self.port}"]
        command += ["--log.level=warn"]
        with (directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(bound_to_us(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        wait_until(self._is_ready, _START_SECONDS, "Prometheus is ready", pause=0.1)

    def stop(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()

    def at(self, expr: str, moment: float) -> list[Line]:
        """What an expression is at a moment. Raises `Wrong`."""
        data = self.ask("query", {"query": expr, "time": f"{moment:.3f}"})
        if data["resultType"] == "scalar":
            return [Line({}, _numbers([data["result"]]))]
        return [Line(row["metric"], _numbers([row["value"]])) for row in data["result"]]

    def over(self, expr: str, start: float, end: float) -> list[Line]:
        """What an expression was at each second of a time. Raises `Wrong`."""
        asked = {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": "1"}
        return [Line(row["metric"], _numbers(row["values"])) for row in self.ask("query_range", asked)["result"]]

    def ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """The data of an answer of the API. Raises `Wrong`."""
        answer = (
            self._http.post(f"/api/v1/{path}", data=parameters) if parameters else self._http.get(f"/api/v1/{path}")
        )
        body = answer.json()
        if body["status"] != "success":
            raise Wrong(f"{body['error']}: {parameters}")
        return body["data"]

    def scrapes(self, job: str) -> int:
        """How often a job has answered so far."""
        lines = self.at(f'count_over_time(up{{job="{job}"}}[1h]) and up{{job="{job}"}} == 1', time.time())
        return int(lines[0].values[0]) if lines else 0

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus ended"
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def _numbers(values: Sequence[Sequence[Any]]) -> list[float]:
    found = [float(value) for _, value in values]
    return [value for value in found if not math.isnan(value)]
