"""The demo under a real Prometheus: every panel has data after it, every rule is evaluated, and nothing fires."""

import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.cli import environment
from services.cli.client import ApiClient, path_of
from services.cli.commands.submit import post_goal
from services.cli.demo import MODEL, goal
from services.cli.digits import split
from services.cli.home import Home, home_at, read_json
from services.cli.programs import Given
from services.cli.report import read_run
from services.cli.stack import Wishes, stack
from services.core.lifecycle import Status
from tests.deploy.chart import CHART
from tests.deploy.queries import boards, panels
from tests.e2e.infinity import rows
from tests.prometheus import PrometheusServer
from tests.servers import wait_until

pytestmark = [pytest.mark.xdist_group("monitoring"), pytest.mark.timeout(300)]
RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
SECONDS = 200
# What the demo on one machine brings nothing of: by the metric that is asked for.
KUBERNETES, NO_GPU = "steps run as local processes", "the pool has no GPU"
EMPTY = {
    "cohort_kubernetes_.*": KUBERNETES,
    "cohort_attempt_stage_seconds_bucket.*stage!=": KUBERNETES,
    "cohort_redis_memory_limit_bytes": "this Redis has no limit",
    "cohort_gpu_.*": NO_GPU,
    "cohort_pool_gpus": NO_GPU,
    "cohort_tenant_dollars.*cap": "the tenant has no cap",
    "cohort_tenant_gpu_quota": "the tenant has no quota",
    "cohort_cancel_seconds": "nothing is cancelled",
    "cohort_lease_renew_seconds": "no slice need be so long that its lease is renewed",
    "cohort_attempt_warnings_total.* > 0": "nothing is warned of",
    "cohort_rules_refused_total.* > 0": "no rule refuses anything",
    "cohort_model_calls_total.*result!=.* > 0": "every call is answered",
}
# Columns that it fills nowhere, or not always.
HOLLOW = {
    ("Attempts", "stage"): "no attempt is live",
    ("GPU and processor", "CPU (100 is a core)"): "it takes two samples, five seconds apart",
    ("GPU and processor", "GPU in use"): NO_GPU,
    ("GPU and processor", "memory of the fullest GPU"): NO_GPU,
}


@dataclass(frozen=True)
class Watched:
    """A demo that is over, in a stack that is still up, and what was seen of it from `start` to `end`."""

    prometheus: PrometheusServer
    api: httpx.Client
    home: Home
    run: str
    start: float
    end: float

    def asked(self, expr: str) -> str:
        """A query of a dashboard as Grafana sends it."""
        values = {
            "__rate_interval": "10s",
            "__range": f"{self.end - self.start:.0f}s",
            **dict.fromkeys(("namespace", "pool", "tenant", "model"), ".*"),
        }
        return filled(expr, values)

    def value(self, expr: str) -> float:
        """What a query is now; 0 where there is nothing."""
        lines = self.prometheus.at(expr, time.time())
        return lines[0].values[0] if lines else 0.0

    def active(self) -> set[str]:
        """The alerts that fire, or will if nothing changes."""
        groups = self.prometheus.ask("rules")["groups"]
        return {rule["name"] for group in groups for rule in group["rules"] if rule.get("alerts")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The demo's goal, on the demo's stack, that Prometheus sees from its first moment on."""
    directory = tmp_path_factory.mktemp("monitoring")
    home, digits = home_at(directory / "home"), split()
    data = directory / "digits-train.npz"
    data.write_bytes(digits.given)
    given = Given(environment.bare(environment.own()), {"COHORT_MODEL": MODEL}, {})
    with stack(home, Wishes(given, scripted=True), print) as up:
        parts = {f"cohort-{part}": urlsplit(url).netloc for part, url in up.ports.metrics_urls.items()}
        prometheus = PrometheusServer(directory / "prometheus", parts, RULES)
        try:
            wait_until(lambda: seen(prometheus, parts, 3), SECONDS, "every part is scraped", pause=0.2)
            start = time.time()
            with closing(ApiClient(up.address.url, up.address.key)) as api:
                run = str(post_goal(api, goal(data), "monitored")["run"])
                wait_until(lambda: is_over(api, run), SECONDS, "the run is over", pause=0.2)
            scrapes = max(map(prometheus.scrapes, parts)) + 3
            wait_until(lambda: seen(prometheus, parts, scrapes), 60, "the run's end is seen", pause=0.2)
            headers = {"Authorization": f"Bearer {up.address.key}"}
            with httpx.Client(base_url=up.address.url, headers=headers, timeout=30, trust_env=False) as http:
                yield Watched(prometheus, http, home, run, start - 3, time.time())
        finally:
            prometheus.stop()


def seen(prometheus: PrometheusServer, parts: Iterable[str], times: int) -> bool:
    return all(prometheus.scrapes(part) >= times for part in parts)


def is_over(api: ApiClient, run: str) -> bool:
    state = read_run(api.get(path_of("v1", "runs", run))).state
    assert state.status in {Status.SUCCEEDED} or not state.status.is_final, state.detail
    return state.status.is_final


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with the values of its variables."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)


def targets() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every query of a dashboard: the dashboard, the panel, the query."""
    for board in boards():
        for panel in panels(board):
            for target in panel["targets"]:
                yield board["uid"], panel["title"], target


def test_every_query_of_every_dashboard_is_right_and_has_data_after_the_demo(watched: Watched) -> None:
    empty, bare = [], []
    for board, title, target in targets():
        if "expr" not in target:
            continue
        lines = watched.prometheus.over(watched.asked(target["expr"]), watched.start, watched.end)
        if not any(line.values for line in lines):
            empty += (
                [] if any(re.search(known, target["expr"]) for known in EMPTY) else [(board, title, target["expr"])]
            )
        wanted = {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
        bare += [(board, title, wanted) for line in lines if not wanted <= {*line.labels}]
    assert bare == []
    assert [one for one in empty if not any(re.search(known, one[2]) for known in EMPTY)] == []
    # What is not among those it is said of is a mistake in writing.
    asked = [target.get("expr", "") for _, _, target in targets()]
    assert [known for known in EMPTY if not any(re.search(known, expr) for expr in asked)] == []


def test_every_rule_is_evaluated_and_nothing_fires(watched: Watched) -> None:
    groups = watched.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 35
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    assert watched.active() == set()


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
    assert hollow <= {*HOLLOW}


def test_a_worker_that_hangs_is_noticed_and_nothing_is_lost_by_it(watched: Watched) -> None:
    pids = read_json(watched.home.stack_file)["pids"]
    assert isinstance(pids, dict)
    os.kill(pids["worker"], signal.SIGSTOP)
    try:
        run = watched.api.post("/v1/runs", json={"goal": "Say hello.", "model": "scripted/hello"}).json()["run"]
        lag, oldest = "max(cohort_runs_due_lag_seconds)", "max(cohort_runs_queued_oldest_seconds)"
        wait_until(lambda: min(watched.value(lag), watched.value(oldest)) > 7, 60, "the run is overdue", pause=0.2)
        wait_until(lambda: "CohortWorkersDown" in watched.active(), 60, "its worker is missed", pause=0.2)
    finally:
        os.kill(pids["worker"], signal.SIGCONT)
    assert watched.api.get(f"/v1/runs/{run}", params={"wait": 60}).json()["status"] == "succeeded"
    wait_until(lambda: watched.value(lag) == 0 and not watched.active(), 60, "all is well again", pause=0.2)
