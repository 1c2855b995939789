"""From a run as it stands to what the rules go by, and to events that say which of them refused."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from services.core import events as ev
from services.core.pools import Pool, Pools
from services.core.records import Diagnosis
from services.core.rules import Rule, Terms
from services.core.store import RunStore
from services.core.taxonomy import Failure, Owner
from services.core.workspace import Workspace
from services.worker.tools.tool import Desk, Result
from tests.worker.bench import Bench

DEAR = Pools(pools=(Pool(name="big", price_per_hour=10.0),))
GOOD = "import torch\ntorch.manual_seed(int(os.environ['COHORT_SEED']))\nsave(os.environ['COHORT_OUTPUT_DIR'])\n"
FILES = {"data/test.csv": b"1,2\n", "data/train.csv": b"3,4\n"}


@pytest.fixture
def dear(desk: Desk, store: RunStore) -> Bench:
    """A run on a pool where an hour costs ten dollars, twice the line."""
    return Bench(replace(desk, pools=DEAR), store)


def kept(desk: Desk, store: RunStore, workspace: Workspace, **terms: object) -> Bench:
    """A run whose goal names evaluation data."""
    rules = Terms.model_validate({"evaluation_data": ("data/test.csv",), **terms})
    return Bench(desk, store, snapshot=workspace.import_files(FILES), rules=rules)


def asked(bench: Bench, **fields: object) -> Result:
    return bench.use("submit_step", **{"name": "train", "command": "python train.py", **fields})


def rules_of(result: Result) -> list[str]:
    return [one.rule for one in result.events if isinstance(one, ev.RuleRefused)]


def test_a_dear_step_that_breaks_rules_is_told_all_of_them_and_reserves_nothing(dear: Bench) -> None:
    dear.put("train.py", "import torch")

    result = asked(dear)

    assert (result.success, rules_of(result)) == (False, [Rule.OUTPUTS, Rule.SEEDS, Rule.SMOKE_TEST])
    assert result.text.startswith("error: not done, for the rules of this run:\n- outputs: ")
    assert dear.state.steps == {}
    assert dear.desk.ledger.account("acme")[:2] == (0, 0)


def test_a_smoke_test_that_succeeded_opens_the_way(dear: Bench) -> None:
    dear.put("train.py", GOOD)
    assert rules_of(asked(dear)) == [Rule.SMOKE_TEST]

    asked(dear, name="smoke-train", smoke=True, command="python train.py --tiny")
    smoke = dear.state.steps["smoke-train"].last
    assert (smoke.smoke, smoke.deadline_seconds) == (True, 600)
    dear.close(smoke.id, seconds=20.0)

    assert asked(dear).success
    assert dear.state.steps["train"].last.env == {"COHORT_SEED": "0", "PYTHONHASHSEED": "0"}


def test_a_smoke_test_is_short() -> None:
    from services.worker.tools.submit_step import SubmitStep

    with pytest.raises(ValidationError, match="deadline_minutes 10 at most"):
        SubmitStep(name="smoke", command="true", smoke=True, deadline_minutes=11)
    assert SubmitStep(name="smoke", command="true", smoke=True).seconds == 600
    assert SubmitStep(name="smoke", command="true", smoke=True, deadline_minutes=2).seconds == 120


def test_a_rule_that_the_goal_switches_off_refuses_nothing(desk: Desk, store: RunStore) -> None:
    waived = dict.fromkeys((Rule.SMOKE_TEST, Rule.SEEDS, Rule.OUTPUTS), "proven elsewhere")
    bench = Bench(replace(desk, pools=DEAR), store, rules=Terms(waived=waived))
    bench.put("train.py", "import torch")

    assert asked(bench).success


@pytest.mark.parametrize(("line", "passes"), [(20.0, True), (2.0, False)])
def test_the_goals_own_line_counts(desk: Desk, store: RunStore, line: float, passes: bool) -> None:
    bench = Bench(replace(desk, pools=DEAR), store, rules=Terms(cost_line_dollars=line))
    bench.put("train.py", GOOD)

    assert asked(bench).success is passes


def test_the_program_that_ran_out_of_memory_is_compared_with_the_one_of_now(bench: Bench) -> None:
    bench.put("train.py", "BATCH = 32")
    asked(bench)
    seen = Diagnosis(failure=Failure.OUT_OF_MEMORY, owner=Owner.RESOURCES, code="", summary="")
    bench.close(bench.state.steps["train"].last.id, "failed", diagnosis=seen)
    bench.put("train.py", "BATCH = 16")

    result = asked(bench)

    assert rules_of(result) == [Rule.EFFECTIVE_BATCH]
    bench.put("train.py", "BATCH = 16\nACCUMULATION_STEPS = 2")
    assert asked(bench).success


def test_the_pace_of_a_live_step_is_known(dear: Bench) -> None:
    dear.put("train.py", GOOD)
    asked(dear, name="smoke", smoke=True)
    dear.close(dear.state.steps["smoke"].last.id, seconds=3_600.0)

    result = asked(dear, deadline_minutes=20)

    assert rules_of(result) == [Rule.TIMEOUT]
    assert "needs about 60 minutes; give it deadline_minutes 75 or more" in result.text


def test_a_pace_of_another_version_of_the_program_is_forgotten(dear: Bench) -> None:
    dear.put("train.py", GOOD)
    asked(dear, name="smoke", smoke=True)
    dear.close(dear.state.steps["smoke"].last.id, seconds=3_600.0)
    dear.put("README.md", "no part of it")
    assert rules_of(asked(dear, deadline_minutes=20)) == [Rule.TIMEOUT]

    dear.put("train.py", GOOD + "fast = True\n")

    assert asked(dear, deadline_minutes=20).success


def test_files_that_are_gone_keep_no_step_back(bench: Bench) -> None:
    seen = Diagnosis(failure=Failure.OUT_OF_MEMORY, owner=Owner.RESOURCES, code="", summary="")
    bench.close(bench.submit(), "failed", diagnosis=seen)

    assert asked(bench).success


# --- Evaluation data ----------------------------------------------------------------------------------------------


def test_a_training_must_not_name_evaluation_data_and_an_evaluation_may(
    desk: Desk, store: RunStore, workspace: Workspace
) -> None:
    bench = kept(desk, store, workspace)
    bench.put("measure.py", "open('data/test.csv')")

    assert rules_of(asked(bench, command="python measure.py")) == [Rule.EVALUATION_DATA]
    assert asked(bench, command="python measure.py", evaluates=True).success
    assert bench.state.steps["train"].last.evaluates


@pytest.mark.parametrize("change", [b"9,9\n", None], ids=["changed", "deleted"])
def test_changed_evaluation_data_is_put_back_and_said(
    desk: Desk, store: RunStore, workspace: Workspace, change: bytes | None
) -> None:
    bench = kept(desk, store, workspace)

    def spoil() -> None:
        if change is None:
            changed = workspace.delete(bench.state.snapshot, "data/test.csv")
        else:
            changed = workspace.write(bench.state.snapshot, "data/test.csv", change)
        bench.record(ev.WorkspaceChanged(snapshot=changed, parent=bench.state.snapshot, tool_call_id="x", paths=[]))

    spoil()
    result = asked(bench, command="true")
    assert rules_of(result) == [Rule.EVALUATION_DATA]
    assert bench.content("data/test.csv") == "1,2\n"
    assert asked(bench, command="true").success
    bench.close(bench.state.steps["train"].last.id)

    spoil()
    finished = bench.use("finish", summary="Done.")
    assert (finished.finished, rules_of(finished)) == (None, [Rule.EVALUATION_DATA])
    assert bench.content("data/test.csv") == "1,2\n"
    assert bench.use("finish", summary="Done.").finished is not None


def test_without_that_rule_evaluation_data_is_the_agents(desk: Desk, store: RunStore, workspace: Workspace) -> None:
    bench = kept(desk, store, workspace, waived={Rule.EVALUATION_DATA: "the split is made by the agent"})
    bench.put("data/test.csv", "5,6\n")

    assert asked(bench, command="cat data/test.csv").success
    bench.close(bench.state.steps["train"].last.id)
    assert bench.use("finish", summary="Done.").finished is not None
