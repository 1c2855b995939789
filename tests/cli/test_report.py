"""Where a run stands, as a person sees it."""

from services.cli.look import Look
from services.cli.report import RunView, dashboard_of, run_lines
from services.core.lifecycle import Status
from services.core.records import Limits, Wait
from services.core.research import Parent, Research
from tests.worker.states import CREATED, RUN, state_of

LIVE = Research(run="r1", tool_call_id="a", title="Look into\nit", limits=Limits(), started=CREATED)


def test_a_run_names_its_researches_and_what_they_cost() -> None:
    over = LIVE.model_copy(update={"run": "r2", "status": Status.OVER_LIMIT, "cost_usd": 0.25})
    wait = Wait(kind="research", researches=("r1",))

    lines = run_lines(state_of(researches={"r1": LIVE, "r2": over}, wait=wait), Look(width=80), CREATED + 1)

    place = lines.index("  researches")
    assert lines[place + 1 : place + 3] == [
        "    r1 under way: Look into it",
        "    r2 over_limit, $0.2500: Look into it",
    ]
    assert "  waits     for research r1" in lines


def test_a_research_names_its_parent() -> None:
    research = state_of(parent=Parent(run="r9", tool_call_id="a"))

    assert "  parent    r9" in run_lines(research, Look(width=80), CREATED + 1)
    assert not [line for line in run_lines(state_of(), Look(width=80), CREATED + 1) if "parent" in line]
    assert RUN in run_lines(research, Look(width=80), CREATED + 1)[0]


def test_a_dashboard_is_named_whole_where_the_api_knows_of_one() -> None:
    address = f"https://grafana.example.com/{'x' * 200}"
    told = RunView(state_of(), {"links": {"dashboard": address}})
    assert f"  dashboard {address}" in run_lines(told.state, Look(width=80), CREATED + 1, dashboard_of(told))
    for wire in ({}, {"links": {}}, {"links": None}):
        assert dashboard_of(RunView(state_of(), wire)) == ""
