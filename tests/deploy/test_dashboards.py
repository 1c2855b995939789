"""The dashboards: what is committed is what the code makes, readable by whoever is woken, and shipped by the chart."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.boards import DIRECTORY, files
from deploy.grafana.infinity import API
from services.api.views import dashboard
from services.cli.arguments import parser
from tests.deploy.chart import named, of_kind, template
from tests.deploy.queries import Board, boards, matched, panels
from tests.worker.states import state_of

DOCS = Path(__file__).parents[2] / "docs"
BOARDS = boards()
every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
# A ConfigMap holds a MiB, and `kubectl apply` writes what it applies beside it.
MOST_BYTES = 200_000


def variables(board: Board) -> dict[str, Any]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def test_what_is_committed_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in DIRECTORY.glob("*.json")} == files()


def test_the_six_are_there_and_lead_to_one_another() -> None:
    titles = ["Control plane", "Failures", "Fleet", "Models", "Pools and tenants", "Run"]
    assert sorted(board["title"].removeprefix("Cohort / ") for board in BOARDS) == titles
    for board in BOARDS:
        [link] = board["links"]
        assert link["type"] == "dashboards" and {*link["tags"]} <= {*board["tags"]}
        assert link["includeVars"] and link["keepTime"]


@every_board
def test_every_panel_has_a_title_a_unit_and_says_what_a_bad_value_means(board: Board) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len({*titles}) and all(titles)
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] == "table" or "unit" in panel["fieldConfig"]["defaults"], panel["title"]


@every_board
def test_a_dashboard_is_read_in_one_sitting_and_nothing_lies_over_anything(board: Board) -> None:
    assert len(panels(board)) <= 35
    everything = board["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@every_board
def test_a_dashboard_names_no_data_source_but_what_is_chosen(board: Board) -> None:
    uids = {*re.findall(r'"uid": "(\$[^"]+)"', json.dumps(board))}
    assert uids == {f"${{{name}}}" for name, one in variables(board).items() if one["type"] == "datasource"}
    assert json.dumps(board).count('"uid": ') == json.dumps(board).count('"uid": "$') + 1


@every_board
def test_variables_that_are_used_are_there_and_the_other_way_round(board: Board) -> None:
    text = json.dumps([board["panels"], board["templating"]])
    used = {name for name in re.findall(r"\$\{?([a-z]+)\b", text) if not name.startswith("__")}
    assert used == {*variables(board)}


@every_board
def test_counters_are_asked_for_their_growth_over_the_windows_that_grafana_knows(board: Board) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            expr = target.get("expr", "")
            assert {*re.findall(r"\[([^]]+)\]", expr)} <= {"$__rate_interval", "$__range"}, panel["title"]
            for name, _ in matched(expr):
                bare = re.search(rf"(?<!rate\()(?<!increase\()\b{name}\{{", expr)
                assert not (name.endswith(("_total", "_bucket")) and bare), panel["title"]


@every_board
def test_no_run_and_no_step_is_a_label(board: Board) -> None:
    asked = [target.get("expr", "") for panel in panels(board) for target in panel["targets"]]
    labels = {label for expr in asked for _, found in matched(expr) for label in found}
    assert not labels & {"run", "step", "attempt", "key"}


def test_a_run_leads_to_a_dashboard_that_is_there() -> None:
    [address] = dashboard("https://grafana.example.com/", state_of()).values()
    uid, name = re.findall(r"/d/([^/]+)/run\?var-([a-z]+)=", address)[0]
    [board] = [board for board in BOARDS if board["uid"] == uid]
    assert name in variables(board)


def test_the_chart_brings_them_where_grafana_looks() -> None:
    shipped = [body for body in of_kind("on", "ConfigMap") if "grafana_dashboard" in body["metadata"]["labels"]]
    data = {name: text for body in shipped for name, text in body["data"].items()}
    assert {name: json.loads(text) for name, text in data.items()} == {
        name: json.loads(text) for name, text in files().items()
    }
    for body in shipped:
        assert body["metadata"]["namespace"] == "monitoring"
        assert body["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert body["metadata"]["annotations"] == {"grafana_folder": "Cohort"}
        assert len(json.dumps(body)) < MOST_BYTES
    assert named("on", "ConfigMap", "cohort-run-dashboard")["data"].keys() == {"cohort-run.json"}
    assert not [body for body in of_kind("default", "ConfigMap") if "dashboard" in body["metadata"]["name"]]


def test_the_page_on_dashboards_names_all_of_them_and_values_that_there_are() -> None:
    text = (DOCS / "dashboards.md").read_text()
    listed = re.findall(r"^\| ([A-Z][a-z ]+) \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(board["title"].removeprefix("Cohort / ") for board in BOARDS)
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    done = template({**blocks[0], "ingress": {"enabled": False}})
    assert done.returncode == 0, done.stderr
    assert blocks[1]["datasources"][0]["type"] == API.type_val
    for command in re.findall(r"^cohort .+$", text, re.MULTILINE):
        parser().parse_args(shlex.split(command)[1:])
