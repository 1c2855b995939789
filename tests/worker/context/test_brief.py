"""Where a run stands, as its agent is told each turn: never more than a page, and true whatever was forgotten."""

from typing import Literal

from services.core.lifecycle import Status
from services.core.notes import Best
from services.core.records import Diagnosis, FileRef, Limits, PlanItem, Step
from services.core.research import Research
from services.core.taxonomy import Failure
from services.worker.context.brief import HEAD, best_results, brief
from tests.worker.states import CREATED, attempt, said, spend_of, state_of, step_of, steps_of

NOW = CREATED + 60 * 60


def item(number: int, status: Literal["pending", "in_progress", "completed"]) -> PlanItem:
    return PlanItem(id=str(number), content=f"item {number}", status=status)


def test_a_run_that_has_done_nothing_knows_what_is_left() -> None:
    assert brief(state_of(), [], (), NOW) == f"{HEAD}\nLeft: 300 turns, 23 h 00 min."


def test_every_limit_is_told() -> None:
    limits = Limits(turns=10, minutes=90, tokens=1_000, dollars=5.0)
    state = state_of(turn=4, limits=limits, spend=spend_of(tokens=400, dollars=1.25))

    assert brief(state, [], (), NOW).endswith("Left: 6 turns, 30 min 00 s, 600 tokens, $3.75.")


def test_the_plan_is_told_with_its_marks() -> None:
    plan = (item(1, "completed"), item(2, "in_progress"), item(3, "pending"))

    assert "Plan:\n[x] item 1\n[~] item 2\n[ ] item 3\n" in brief(state_of(plan=plan), [], (), NOW)


def test_of_a_long_plan_what_is_open_is_told() -> None:
    plan = tuple(item(number, "completed" if number < 60 else "pending") for number in range(70))

    text = brief(state_of(plan=plan), [], (), NOW)

    assert "[ ] item 60" in text and "[x]" not in text
    assert "(60 completed items are not shown)" in text


def test_each_step_is_told_with_what_became_of_it() -> None:
    failed = attempt(
        2,
        "failed",
        "tune",
        reason="exit code 1",
        diagnosis=Diagnosis(failure=Failure.OUT_OF_MEMORY, owner=Failure.OUT_OF_MEMORY.owner, code="oom", summary="x"),
    )
    good = attempt(1, "succeeded", "prepare", outputs=(FileRef(path="data.npz", sha256="0" * 64, size=1),))
    steps = steps_of(
        Step(name="prepare", attempts=(good,)),
        Step(name="tune", attempts=(attempt(1, "failed", "tune"), failed)),
        step_of("running"),
        step_of("running", name="sandbox"),
    )

    assert (
        "Steps:\n- prepare: attempt 1 succeeded; outputs: data.npz\n"
        "- tune: attempt 2 failed; out_of_memory; 2 of 5 allowed failures\n- train: attempt 1 running\n"
    ) in brief(state_of(steps=steps), [], (), NOW)


def test_of_many_steps_the_last_are_told() -> None:
    steps = steps_of(*(step_of("succeeded", name=f"s{number}") for number in range(50)))

    text = brief(state_of(steps=steps), [], (), NOW)

    assert "(30 earlier ones are not shown)\n- s30: " in text and "- s29:" not in text


def test_results_and_a_persons_last_word_are_told() -> None:
    text = brief(state_of(), [said(3, "first"), said(7, "Use seed 3. " * 100)], ["accuracy 0.97 (train, epoch 3)"], NOW)

    assert "Best results so far:\n- accuracy 0.97 (train, epoch 3)\n" in text
    assert "A person last said (turn 7): Use seed 3. " in text and text.endswith("…")


def test_researches_under_way_are_told_with_how_to_wait_for_them() -> None:
    live = Research(run="r1", tool_call_id="a", title="Look into it", limits=Limits(tokens=300), started=CREATED)
    over = live.model_copy(update={"run": "r2", "status": Status.SUCCEEDED})
    state = state_of(researches={"r1": live, "r2": over}, limits=Limits(tokens=1_000), spend=spend_of(tokens=400))

    text = brief(state, [], (), NOW)

    assert "Under way: research r1 (Look into it); research(resume='r1') waits for its findings." in text
    assert "r2" not in text
    assert "300 tokens" in text


def test_the_last_turn_is_told_to_be_the_last() -> None:
    assert "Left: 1 turn, the last," in brief(state_of(turn=299), [], (), NOW)


def test_the_best_of_all_attempts_is_told_for_each_step() -> None:
    first = attempt(1, "failed", best=(Best(name="val_loss", value=0.5, epoch=3), Best(name="val_acc", value=0.8)))
    second = attempt(2, "succeeded", best=(Best(name="val_loss", value=0.6, epoch=1), Best(name="val_acc", value=0.9)))
    state = state_of(steps=steps_of(Step(name="train", attempts=(first, second)), step_of("running", name="other")))

    assert best_results(state) == ["train: val_loss 0.5 (attempt 1 epoch 3), val_acc 0.9 (attempt 2)"]
