"""The demo under a real Prometheus: every panel has data after it, every rule is evaluated, and nothing fires."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.core.lifecycle import Status
from tests.deploy.chart import CHART
from tests.deploy.queries import boards, panels
from tests.e2e.infinity import rows
from tests.prometheus import PrometheusServer
from tests.servers import bound_to_us, wait_until

pytestmark = [pytest.mark.xdist_group("monitoring"), pytest.mark.timeout(300)]
RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
SECONDS = 200
# What a demo on one machine has none of. A panel that has data all the same is to leave this list.
KUBERNETES = "steps run as local processes"
NO_GPU = "the pool has no GPU"
NO_CAP = "the tenant has no cap"
EMPTY: dict[tuple[str, str, str], str] = {}
# Columns that such a demo fills nowhere.
HOLLOW = {
    ("Attempts", "stage"): "no attempt is live",
    ("GPU and processor", "GPU in use"): NO_GPU,
    ("GPU and processor", "memory of the fullest GPU"): NO_GPU,
}


@dataclass(frozen=True)
class Watched:
    """A demo that is over, in a stack that is still up, and what was seen of it from `start` to `end`."""

    prometheus: PrometheusServer
    api: httpx.Client
    run: str
    start: float
    end: float

    def asked(self, expr: str) -> str:
        """A query of a dashboard as Grafana sends it."""
        values = {
            "__rate_interval": "5s",
            "__range": f"{self.end - self.start:.0f}s",
            **dict.fromkeys(("namespace", "pool", "tenant", "model"), ".*"),
        }
        return filled(expr, values)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("monitoring")
    home = directory / "home"
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(directory)}
    command = [sys.executable, "-m", "services.cli", "demo", "--keep", "--home", str(home)]
    with (directory / "demo.log").open("wb") as log:
        demo = subprocess.Popen(bound_to_us(command), env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    prometheus: PrometheusServer | None = None
    try:
        targets = wait_until(lambda: scraped(home), SECONDS, "the stack is written down", pause=0.05)
        start = time.time()
        prometheus = PrometheusServer(directory / "prometheus", targets, RULES)
        address = wait_until(lambda: read(home / "client.json"), SECONDS, "the API is up", pause=0.1)
        headers = {"Authorization": f"Bearer {address['key']}"}
        with httpx.Client(base_url=address["url"], headers=headers, timeout=30, trust_env=False) as api:
            run = wait_until(lambda: ended_run(api), SECONDS, "the run is over", pause=0.2)
            assert run["status"] == "succeeded", (directory / "demo.log").read_text()[-3000:]
            seen = {job: prometheus.scrapes(job) for job in targets}
            wait_until(
                lambda: all(prometheus.scrapes(job) > seen[job] + 3 for job in targets), 30, "what came last is seen"
            )
            yield Watched(prometheus, api, run["run"], start, time.time())
    finally:
        if prometheus is not None:
            prometheus.stop()
        demo.terminate()
        demo.wait(60)


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with the values of its variables."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def scraped(home: Path) -> dict[str, str]:
    """Where the metrics of each part are, once all are written down."""
    stack = read(home / "stack.json")
    return {f"cohort-{part}": urlsplit(url).netloc for part, url in stack.get("metrics", {}).items()}


def ended_run(api: httpx.Client) -> dict[str, Any] | None:
    try:
        runs = api.get("/v1/runs").json().get("items", [])
    except httpx.TransportError:
        return None
    return runs[0] if runs and Status(runs[0]["status"]).is_final else None


def targets() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every query of a dashboard: the dashboard, the panel, the query."""
    for board in boards():
        for panel in panels(board):
            for target in panel["targets"]:
                yield board["uid"], panel["title"], target


def test_every_query_of_every_dashboard_is_right_and_has_data_after_the_demo(watched: Watched) -> None:
    empty, bare = set(), []
    for board, title, target in targets():
        if "expr" not in target:
            continue
        lines = watched.prometheus.over(watched.asked(target["expr"]), watched.start, watched.end)
        if not any(line.values for line in lines):
            empty.add((board, title, target["legendFormat"]))
        wanted = {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
        bare += [(board, title, wanted) for line in lines if not wanted <= {*line.labels}]
    assert bare == []
    assert empty == EMPTY


def test_every_rule_is_evaluated_and_nothing_fires(watched: Watched) -> None:
    groups = watched.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 35
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert {rule["name"]: rule["alerts"] for rule in rules if rule.get("alerts")} == {}


def test_the_run_is_shown_from_its_own_log(watched: Watched) -> None:
    hollow: set[tuple[str, str]] = set()
    values = {"run": watched.run, "metric": "accuracy"}
    for board, title, target in targets():
        if target["datasource"]["type"] != "yesoreyeram-infinity-datasource":
            continue
        params = {param["key"]: filled(param["value"], values) for param in target["url_options"]["params"]}
        answer = watched.api.get(filled(target["url"], values), params=params)
        assert answer.status_code == 200, (board, title, answer.text)
        found = rows(answer.json(), target)
        assert found, (board, title)
        hollow |= {(title, name) for name in found[0] if all(row[name] is None for row in found)}
    assert hollow == {*HOLLOW}
