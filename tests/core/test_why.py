"""Why a run is where it is: for every status, every reason and every stage."""

import pytest

from services.core import events as ev
from services.core.attempts import AttemptRecord
from services.core.lifecycle import FINAL, Reason, Status
from services.core.records import Diagnosis, RunState, Stage, Wait
from services.core.resources import Resources
from services.core.taxonomy import Failure, Owner
from services.core.why import REASONS, why
from tests.core.examples import (
    CREATED,
    RUN,
    finished,
    llm_failed,
    llm_request,
    moved,
    parked,
    running,
    state_after,
    submitted,
    tool_call,
)

R, W, H, C = Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING
NOW = CREATED + 60
FULL = "0/4 nodes: insufficient nvidia.com/gpu"
FOUND = Diagnosis(
    failure=Failure.OUT_OF_MEMORY,
    owner=Owner.RESOURCES,
    code="oom_container",
    summary="it was killed for its memory",
    remedy="ask for 6Gi",
)


def explained(state: RunState) -> str:
    return why(state, {}, NOW).text


def waiting(
    *events: ev.EventData, steps: tuple[str, ...] = ("train",), any_of: bool = False, until: float | None = NOW + 600
) -> RunState:
    wait = parked(*steps, mode="any" if any_of else "all", until=until)
    return running(*events, moved(R, W, Reason.WAITING_FOR_STEPS), wait)


def staged(stage: Stage, detail: str = "") -> ev.AttemptProgressed:
    return ev.AttemptProgressed(step="train", attempt=f"{RUN}-train-1", stage=stage, detail=detail)


def failed(number: int = 1) -> ev.AttemptFinished:
    return finished("train", number, "failed").model_copy(update={"diagnosis": FOUND})


STARTED = ev.AttemptStarted(step="train", attempt=f"{RUN}-train-1")


def test_a_queued_run_waits_for_a_worker() -> None:
    assert explained(state_after()) == (
        f"Run {RUN} was accepted 1 min 00 s ago and waits for a worker to take its first turn. It begins when a worker "
        "is free; at the latest it ends by its time limit in 23 h 59 min."
    )


def test_a_running_run_says_what_it_is_at() -> None:
    begun = ev.ToolStateChange(tool_call_id="1", tool="bash", state="running")

    assert "waits for m to answer" in explained(running(llm_request("1")))
    assert "is about to carry out the tool bash" in explained(running(tool_call("1", "bash")))
    assert "carries out the tool bash and 1 more" in explained(running(tool_call("1", "bash"), tool_call("2"), begun))
    assert "between two actions" in explained(running())


def test_a_running_run_tells_of_the_steps_beside_it() -> None:
    text = explained(running(submitted("train"), staged(Stage.PULLING, "image a:1"), llm_request("1")))

    assert "Attempt 1 of step train has a node, which fetches its image (image a:1)." in text


@pytest.mark.parametrize("stage", list(Stage))
def test_a_waiting_run_tells_where_its_step_is_and_what_moves_it(stage: Stage) -> None:
    told = why(waiting(submitted("train"), staged(stage, "the detail")), {}, NOW)

    assert told.here.startswith(f"Run {RUN} is parked and holds no worker: it waits for step train. Attempt 1 of step")
    assert ("(the detail)" in told.here) is (stage is not Stage.RUNNING)
    assert told.next.startswith(("It ", "Its "))
    assert told.next.endswith("The run goes on when it is over, when a message comes, or in 10 min 00 s.")


def test_the_whole_paragraph_of_a_step_that_finds_no_node() -> None:
    assert explained(waiting(submitted("train"), staged(Stage.SCHEDULING, FULL))) == (
        f"Run {RUN} is parked and holds no worker: it waits for step train. Attempt 1 of step train has a pod that "
        f"waits for a node with room for it ({FULL}). It goes on when other steps end or a node is added. The run goes "
        "on when it is over, when a message comes, or in 10 min 00 s."
    )


@pytest.mark.parametrize(
    ("any_of", "words", "over"),
    [(True, "one of step a and step b", "one of them is over"), (False, "step a and step b", "they are over")],
)
def test_a_run_that_waits_for_several_steps_names_them(any_of: bool, words: str, over: str) -> None:
    told = why(waiting(submitted("a"), submitted("b"), steps=("a", "b"), any_of=any_of, until=None), {}, NOW)

    assert f"it waits for {words}. " in told.here
    assert told.next == f"The run goes on when {over}, or when a message comes."


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(), "step train (pool a100) is"),
        (Resources(gpus=1), "step train (1 GPU, pool a100) is"),
        (Resources(gpus=8, nodes=2), "step train (2 nodes with 8 GPUs each, pool a100) is"),
        (Resources(nodes=2), "step train (2 nodes, pool a100) is"),
    ],
)
def test_the_pool_is_named(resources: Resources, words: str) -> None:
    placed = submitted("train").model_copy(update={"resources": resources, "pool": "a100"})

    assert words in explained(waiting(placed))


def test_a_live_step_is_told_of_with_what_its_runner_says() -> None:
    record = AttemptRecord(attempt=f"{RUN}-train-1", last_output_at=NOW)

    text = why(waiting(submitted("train"), STARTED), {record.attempt: record}, NOW).text

    assert "Attempt 1 of step train has been running for 1 min 00 s." in text
    assert "stopped at its deadline in" in text


def test_what_the_platform_lost_before_is_told() -> None:
    lost = finished("train", outcome="lost").model_copy(update={"reason": "preempted"})

    text = explained(waiting(submitted("train"), lost, submitted("train", 2)))

    assert "the platform lost the attempt before (preempted), and tries again by itself" in text


def test_a_run_that_waits_for_the_model_says_when_it_asks_again() -> None:
    wait = ev.Parked(wait=Wait(kind="model", until=NOW + 30))
    failures = [event for call in "12" for event in (llm_request(call), llm_failed(call))]

    text = explained(running(*failures, moved(R, W, Reason.WAITING_FOR_MODEL), wait))

    assert "m could not answer 2 times in a row" in text
    assert "The model is asked again in 30 s" in text


def test_a_run_that_needs_a_human_says_how_to_answer() -> None:
    ask = ev.StatusChanged(source=R, target=H, reason=Reason.ASKED, detail="which data set?")

    text = explained(running(ask))

    assert "the agent asked something (which data set?)" in text
    assert f'cohort message {RUN} "…"' in text


def test_a_run_whose_step_failed_too_often_passes_the_remedy_on() -> None:
    tries = [event for number in range(1, 6) for event in (submitted("train", number), failed(number))]

    text = explained(running(*tries, moved(R, H, Reason.ATTEMPTS_EXHAUSTED)))

    assert "What may help: ask for 6Gi." in text


def test_a_run_that_is_being_ended_says_what_is_left() -> None:
    ending = running(submitted("train"), STARTED, moved(R, C, Reason.DOLLAR_LIMIT))

    assert "It is over_limit as soon as step train has stopped." in explained(ending)
    assert "a worker closes it as cancelled" in explained(running(moved(R, C, Reason.CANCELLED_BY_USER)))


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_run_that_is_over_says_how_and_that_nothing_changes_it(status: Status) -> None:
    path = [moved(R, status)] if status is Status.SUCCEEDED else [moved(R, C), moved(C, status)]

    text = explained(running(*path))

    assert f"Run {RUN} is over: {status}" in text
    assert text.endswith("Nothing changes it any more; submit the goal again to try once more.")


def test_a_run_that_failed_passes_the_last_diagnosis_on() -> None:
    text = explained(running(submitted("train"), failed(), moved(R, C), moved(C, Status.FAILED)))

    assert "it was killed for its memory (out_of_memory, to be mended by resources: ask for 6Gi)" in text


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(Reason)
    for reason in Reason:
        assert REASONS[reason] in explained(running(moved(R, C, reason)))
