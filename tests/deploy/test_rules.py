"""Prometheus' rules: right by promtool, each alert tried where it fires and where it must not, each with a runbook."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.arguments import parser
from tests.deploy.chart import CHART, of_kind
from tests.servers import program

ROOT = Path(__file__).parents[2]
FILES = sorted((CHART / "files" / "rules").glob("*.yaml"))
TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
GROUPS: list[dict[str, Any]] = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
HEADINGS = ["What it means", "Who is affected", "How to look", "What to do", "How to know that it is over"]
every_alert = pytest.mark.parametrize("alert", ALERTS)


def promtool(*arguments: object) -> None:
    command = [program("promtool", "prometheus"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def runbook(alert: str) -> str:
    return (RUNBOOKS / f"{alert}.md").read_text()


def test_promtool_has_nothing_to_say_against_the_rules() -> None:
    promtool("check", "rules", *FILES)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_where_they_should_and_nowhere_else(file: Path) -> None:
    promtool("test", "rules", file)


@every_alert
def test_every_alert_is_tried_where_it_fires_and_where_it_must_not(alert: str) -> None:
    tried = [
        bool(asked["exp_alerts"])
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for asked in test["alert_rule_test"]
        if asked["alertname"] == alert
    ]
    assert {*tried} == {True, False}


@every_alert
def test_an_alert_says_whom_it_wakes_what_it_means_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert all(said[name].endswith(".") for name in ("summary", "description"))
    # What is the same in every alert of a kind, so that they can be put together.
    assert "{{" not in said["summary"]
    assert said["runbook_url"] == f"docs/runbooks/{alert}.md"
    # A value is told wherever there is more than one.
    is_yes_or_no = re.search(r"unless group|== 0$", rule["expr"])
    assert is_yes_or_no or "$value" in said["description"]


def test_no_two_rules_are_of_one_name() -> None:
    names = [rule.get("alert") or rule["record"] for group in GROUPS for rule in group["rules"]]
    assert len(names) == len({*names})


def test_what_a_rule_reads_of_other_rules_is_recorded() -> None:
    recorded = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    read = {name for group in GROUPS for rule in group["rules"] for name in re.findall(r"\w+:\w+:\w+", rule["expr"])}
    assert recorded == read


def test_every_alert_has_a_runbook_and_every_runbook_its_alert() -> None:
    assert {file.stem for file in RUNBOOKS.glob("Cohort*.md")} == {*ALERTS}
    assert {*re.findall(r"\]\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())} >= {*ALERTS}


@every_alert
def test_a_runbook_answers_the_same_questions_in_the_same_order(alert: str) -> None:
    text = runbook(alert)
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert f"Severity: {ALERTS[alert]['labels']['severity']}." in text
    sections = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    # Somebody who was just woken gets something to run, not only something to think about.
    assert "```" in sections[2]


@every_alert
def test_commands_of_ours_in_a_runbook_are_understood(alert: str) -> None:
    for line in re.findall(r"(?:^|`)(cohort [^`\n|]+)", runbook(alert), re.MULTILINE):
        # Raises SystemExit for what argparse does not understand.
        parser().parse_args(shlex.split(line)[1:])


@every_alert
def test_what_a_runbook_looks_for_in_logs_is_logged(alert: str) -> None:
    source = "".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    sought = re.findall(r"kubectl -n \$NS logs .* \| grep (.+)$", runbook(alert), re.MULTILINE)
    for event in (word for words in sought for word in words.split() if word != "-e"):
        assert f'"{event}"' in source, event


def test_values_of_the_chart_that_runbooks_name_are_there() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    text = "".join(runbook(alert) for alert in ALERTS)
    paths = {path for path in re.findall(r"`([a-z][A-Za-z]+(?:\.[A-Za-z_]+)+)`", text) if not path.endswith(".io")}
    assert len(paths) > 10
    for path in paths:
        found: Any = schema
        for name in path.split("."):
            assert name in found.get("properties", {}) or found.get("$ref"), path
            found = found["properties"][name] if "properties" in found else found


def test_queries_in_runbooks_are_right_and_read_what_rules_and_dashboards_know(tmp_path: Path) -> None:
    asked = [
        query.strip()
        for alert in ALERTS
        for block in re.findall(r"```promql\n(.*?)```", runbook(alert), re.DOTALL)
        for query in block.split("\n\n")
    ]
    assert len(asked) > 20
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(asked)]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    promtool("check", "rules", file)


def test_the_chart_says_where_the_runbooks_are() -> None:
    [found] = of_kind("on", "PrometheusRule")
    rules = [rule for group in found["spec"]["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(group["rules"]) for group in GROUPS)
    urls = {rule["alert"]: rule["annotations"].pop("runbook_url") for rule in rules if "alert" in rule}
    assert urls == {alert: f"https://wiki.example.com/cohort/{alert}.md" for alert in ALERTS}
    for rule in rules:
        if "alert" in rule:
            kept = {name: text for name, text in ALERTS[rule["alert"]]["annotations"].items() if name != "runbook_url"}
            assert rule == ALERTS[rule["alert"]] | {"annotations": kept}
