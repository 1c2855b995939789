"""Runs from acceptance to their end, on a real store and a scripted model over HTTP."""

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.payload import INLINE_BYTES
from services.core.records import Limits
from services.worker.decisions import POISON_STRIKES
from tests.scripted.server import ScriptedServer
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop


def test_a_goal_becomes_a_result(workshop: Workshop) -> None:
    run = workshop.accept("hello")

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code, state.summary) == (
        Status.SUCCEEDED,
        Reason.FINISHED,
        0,
        "Done.",
    )
    assert workshop.path_of(run) == [Status.RUNNING, Status.SUCCEEDED]
    assert workshop.answers(run)[0] == "exit code: 0\nhello from the workspace\n"
    assert workshop.workspace.read(state.snapshot, "said") == b"hello from the workspace\n"
    assert (state.turn, state.spend.calls, state.open_calls, state.model_call) == (2, 2, (), None)
    assert state.spend.prompt_tokens > 0 and state.spend.completion_tokens > 0


def test_the_log_tells_the_story_in_order_without_a_gap(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    workshop.drive(run)

    events = workshop.store.events(run)

    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    kinds = [event.event_type for event in events if event.event_type != "assistant_chunk"]
    assert kinds == [
        "run_accepted",
        "status_changed",
        "ready",
        "processing",
        "llm_request",
        "llm_call",
        "assistant_stream_end",
        "tool_call",
        "tool_state_change",
        "workspace_changed",
        "tool_output",
        "llm_request",
        "llm_call",
        "assistant_stream_end",
        "tool_call",
        "tool_output",
        "status_changed",
        "run_finished",
        "turn_complete",
        "shutdown",
    ]
    assert "".join(chunk.content for chunk in workshop.events(run, ev.AssistantChunk)) == "A command first."


def test_nothing_is_left_of_a_run_that_is_over(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    workshop.drive(run)

    assert workshop.keeper.count() == 0
    assert not (workshop.settings.state_dir / "runs" / run).exists()
    assert workshop.advance(run) == "final"
    assert all(run not in workshop.store.sweep(tag, 1.0) for tag in workshop.store.keys.tags())


def test_a_hint_for_nothing_is_no_error(workshop: Workshop) -> None:
    assert workshop.advance("r00000000nobody") == "missing"


# --- Text alone, and messages ---------------------------------------------------------------------------------------


def test_a_question_waits_for_a_person_and_a_message_resumes_it(workshop: Workshop) -> None:
    run = workshop.accept("asks")
    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.NEEDS_HUMAN, Reason.ASKED, 7)
    assert workshop.advance(run) == "idle"
    assert state.detail == "Which data?"

    assert workshop.say(run, "The digits.").status is Status.RUNNING
    state = workshop.drive(run)
    assert (state.status, state.turn) == (Status.NEEDS_HUMAN, 2)

    workshop.say(run, "All of them.")
    state = workshop.drive(run)
    assert (state.status, state.turn) == (Status.SUCCEEDED, 3)
    assert [message["content"] for message in workshop.history(run) if message["role"] == "user"][1:] == [
        "The digits.",
        "All of them.",
    ]


def test_a_message_before_the_first_turn_is_read_in_it(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    workshop.say(run, "By the way: quickly.")

    workshop.drive(run)

    assert [message["role"] for message in workshop.history(run)][:4] == ["system", "user", "user", "assistant"]


def test_a_message_that_comes_while_a_run_is_about_to_ask_is_read_first(workshop: Workshop, moments: Moments) -> None:
    run = workshop.accept("asks")
    moments.once("worker.reply_recorded", lambda: workshop.say(run, "The digits."))

    assert workshop.advance(run) == "needs_human"
    assert workshop.state(run).turn == 2
    assert workshop.path_of(run) == [Status.RUNNING, Status.NEEDS_HUMAN]
    assert workshop.answers(run)[0].startswith("not asked")


def test_a_message_that_comes_while_the_question_is_put_together_is_part_of_it(
    workshop: Workshop, moments: Moments, scripted: ScriptedServer
) -> None:
    run = workshop.accept("asks")
    moments.once("worker.reserved", lambda: workshop.say(run, "Quickly."))

    workshop.advance(run)

    state = workshop.state(run)
    assert (state.status, state.turn) == (Status.NEEDS_HUMAN, 1)
    assert [message["role"] for message in workshop.history(run)] == ["system", "user", "user", "assistant", "tool"]
    assert scripted.requests()["recent"][-1]["messages"] == 2
    assert workshop.ledger.account("acme")[1] == 0


def test_a_message_does_not_give_turns_back(workshop: Workshop) -> None:
    run = workshop.accept("asks", limits=Limits(turns=2))
    for answer in ("The digits.", "All of them."):
        workshop.drive(run)
        workshop.say(run, answer)

    state = workshop.drive(run)

    assert (state.status, state.reason, state.turn) == (Status.OVER_LIMIT, Reason.TURN_LIMIT, 2)


# --- Goals of any kind ----------------------------------------------------------------------------------------------


def test_a_goal_in_any_script_comes_back_as_it_was(workshop: Workshop) -> None:
    goal = "درّب نموذجًا على الأرقام 🤖 数字を分類する"
    run = workshop.accept("hello", goal=goal)

    state = workshop.drive(run)

    assert state.status is Status.SUCCEEDED
    assert state.goal.startswith(goal)
    assert workshop.history(run)[1]["content"].startswith(goal)


def test_a_huge_goal_is_kept_by_reference(workshop: Workshop) -> None:
    goal = "ط" * 19_900
    run = workshop.accept("hello", goal=goal)

    [stored] = workshop.store.client.xrange(workshop.store.keys.events(run), count=1)
    assert stored[1][b"data"].startswith(b"@")
    assert len(stored[1][b"data"]) < INLINE_BYTES
    assert workshop.drive(run).status is Status.SUCCEEDED
    assert workshop.store.events(run, limit=1)[0].data.goal.startswith(goal)  # type: ignore[attr-defined]


# --- Slices ---------------------------------------------------------------------------------------------------------


def test_a_slice_ends_after_its_turns_and_the_next_goes_on(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(slice_turns=4)
    run = workshop.accept("ten")

    assert [workshop.advance(run) for _ in range(4)] == ["running", "running", "succeeded", "final"]
    assert workshop.state(run).turn == 10


def test_who_comes_second_finds_the_run_busy(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    held = workshop.keeper.claim(run)

    assert workshop.advance(run) == "busy"
    workshop.keeper.drop(held)  # type: ignore[arg-type]


def test_a_run_that_kills_too_many_workers_in_a_row_is_given_up(workshop: Workshop) -> None:
    run = workshop.accept("hello")
    workshop.die_after_claim(run)
    for _ in range(POISON_STRIKES):
        workshop.die_after_claim(run)

    state = workshop.drive(run)

    assert (state.status, state.reason, state.exit_code) == (Status.FAILED, Reason.POISON, 3)


def test_a_run_that_got_further_meanwhile_is_no_poison(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(slice_turns=4)
    run = workshop.accept("ten")
    for _ in range(2):
        for _ in range(POISON_STRIKES - 1):
            workshop.die_after_claim(run)
        assert workshop.advance(run) == "running"

    assert workshop.drive(run).status is Status.SUCCEEDED
