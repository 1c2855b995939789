"""Dashboards, rules and runbooks ask for series that the code has, and for labels that these have."""

import re
from collections.abc import Iterator

import yaml

from services.core.monitoring.series import Kind
from tests.architecture.test_monitoring import declared
from tests.deploy.queries import boards, grouped, matched, panels
from tests.deploy.test_rules import ALERTS, GROUPS, runbook

# What Prometheus puts to a series, and what every program has.
_GIVEN = {"namespace", "job", "instance", "le"}
_SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}


def known() -> dict[str, set[str]]:
    """Every series that a process of Cohort has, with its labels."""
    return {
        one.name + suffix: {*one.labels}
        for series in declared().values()
        for one in series
        for suffix in _SUFFIXES[one.kind]
    }


def asked() -> Iterator[tuple[str, str]]:
    """Every expression, and who asks."""
    for board in boards():
        for panel in panels(board):
            yield from ((panel["title"], target["expr"]) for target in panel["targets"] if "expr" in target)
        for variable in board["templating"]["list"]:
            query = variable.get("query")
            if isinstance(query, dict):
                yield variable["name"], re.sub(r"label_values\((.*), (\w+)\)", r"count by (\2) (\1)", query["query"])
    for group in GROUPS:
        yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in group["rules"])
    for alert in ALERTS:
        for block in re.findall(r"```promql\n(.*?)```", runbook(alert), re.DOTALL):
            yield from ((alert, query) for query in block.split("\n\n"))


def test_every_series_that_is_asked_for_is_one_that_the_code_has() -> None:
    there = known()
    assert len(there) > 90
    unknown = {(who, name) for who, expr in asked() for name, _ in matched(expr) if name.startswith("cohort_")}
    assert {(who, name) for who, name in unknown if name not in there} == set()


def test_labels_that_are_asked_for_are_those_of_the_series() -> None:
    there = known()
    wrong: list[tuple[str, str, str]] = []
    for who, expr in asked():
        names = [name for name, _ in matched(expr) if name in there]
        for name, labels in matched(expr):
            wrong += [(who, name, label) for label in labels if name in there and label not in there[name] | _GIVEN]
        have = set().union(*(there[name] for name in names)) | _GIVEN
        # A rule that reads another rule has the labels that this one groups by.
        if names and not re.search(r"\w:\w", expr):
            wrong += [(who, ", ".join(names), label) for label in grouped(expr) - have]
    assert wrong == []


def test_every_series_that_says_that_something_is_wrong_is_looked_at() -> None:
    seen = {re.sub(r"_(bucket|count|sum)$", "", name) for _, expr in asked() for name, _ in matched(expr)}
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known()}
    assert names - seen <= {
        "cohort_events_total",
        "cohort_researches_total",
        "cohort_observations_total",
        "cohort_attempt_seconds",
        "cohort_kubernetes_jobs_in_flight",
    }


def test_labels_in_what_an_alert_says_are_those_that_it_fires_with() -> None:
    for alert, rule in ALERTS.items():
        named = {*re.findall(r"\$labels\.(\w+)", yaml.safe_dump(rule["annotations"]))}
        recorded = {label for label in re.findall(r"(?:namespace|tenant|model|pool)", rule["expr"])}
        assert named <= grouped(rule["expr"]) | recorded, alert
