"""Researches: runs that a run has begun, within its budget, whose findings come back as the answer of a call."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from services.core import events as ev
from services.core.catalog import Catalog
from services.core.ledger import Ledger
from services.core.lifecycle import Reason, Status
from services.core.logs import LogStore
from services.core.records import MICRODOLLARS, Limits, RunState
from services.worker.controller.archive import Archivist
from services.worker.model import Model
from services.worker.reply import Reply
from services.worker.research import research_id
from tests.servers import wait_until
from tests.worker.conftest import Moments, OpenWorkshop
from tests.worker.workshop import Workshop, rests

DEAR = {"price_prompt": 3.0, "price_completion": 15.0, "price_cached": 0.3, "model_max_tokens": 200}
NOTES = {"notes.md": b"lr = 3e-4\n" + b"\n".join(b"line %d" % number for number in range(100))}

# What a research has beside its report.
READING = ["read", "step_log", "step_metrics", "web_search", "web_fetch"]
READING += ["github_find_examples", "github_list_repos", "github_read_file"]


def drive(workshop: Workshop, run: str, until: Callable[[RunState], bool] = rests, timeout: float = 40.0) -> RunState:
    """Give hints to a run and its researches, one after the other, until the run stands so."""

    def hinted() -> RunState | None:
        for one in (run, *workshop.state(run).researches):
            workshop.advance(one)
        state = workshop.state(run)
        return state if until(state) else None

    return wait_until(hinted, timeout, f"{workshop.state(run)}")


def waits_for_research(state: RunState) -> bool:
    return state.reason is Reason.WAITING_FOR_RESEARCH


def research_of(workshop: Workshop, run: str) -> RunState:
    """The run of the only research of `run`."""
    [research] = workshop.state(run).researches
    return workshop.state(research)


def answer(workshop: Workshop, run: str) -> ev.ToolOutput:
    """What the model was told by its only call of `research`."""
    [output] = [output for output in workshop.events(run, ev.ToolOutput) if output.tool == "research"]
    assert isinstance(output, ev.ToolOutput)
    return output


def archive(workshop: Workshop, run: str) -> None:
    """What the controller does for a run that is over."""
    store, artifacts = workshop.store, workshop.workspace.store
    Archivist(store, Ledger(store.client), LogStore(store.client, store.keys, artifacts), artifacts).archive(run)


# --- One research, and several ----------------------------------------------------------------------------------------


def test_findings_come_back_as_a_recipe_with_its_sources(workshop: Workshop) -> None:
    run = workshop.accept("researches", files=NOTES)

    assert drive(workshop, run).status is Status.SUCCEEDED

    told = answer(workshop, run)
    assert told.success
    assert "Use a learning rate of 3e-4.\nSources:\n- notes.md: the learning rate\nOpen questions:" in told.output
    assert re.match(r"Research r[0-9a-z]{12} \(2 turns, \d+ tokens, \$0\.0000\):", told.output)


def test_a_research_is_a_run_of_its_own_under_the_policy_of_its_parent(workshop: Workshop) -> None:
    run = workshop.accept("researches", files=NOTES, labels={"team": "vision"}, effort="low")
    drive(workshop, run)

    parent, research = workshop.state(run), research_of(workshop, run)

    assert research.parent is not None
    assert (research.parent.run, research.parent.tool_call_id) == (run, "call_1_0")
    assert research.run == research_id(run, "call_1_0")
    assert research.goal == "Look into notes.md"
    for field in ("tenant", "model", "labels", "rules", "effort", "snapshot"):
        assert getattr(research, field) == getattr(parent, field), field
    assert research.ends_at <= parent.ends_at
    assert (research.limits.turns, research.limits.minutes, research.limits.tokens) == (20, 30.0, 500_000)
    assert workshop.path_of(research.run) == ["running", "succeeded"]
    assert {call.kind for call in workshop.events(research.run, ev.LlmCall)} == {"research"}
    assert workshop.path_of(run) == ["running", "waiting", "running", "succeeded"]


def test_the_parents_log_tells_of_its_research(workshop: Workshop) -> None:
    run = workshop.accept("researches", files=NOTES)
    drive(workshop, run)

    [started], [over] = workshop.events(run, ev.ResearchStarted), workshop.events(run, ev.ResearchFinished)
    research = research_of(workshop, run)

    assert (started.research, started.title, started.limits) == (research.run, "Look into notes.md", research.limits)
    assert (over.research, over.status, over.turns) == (research.run, Status.SUCCEEDED, 2)
    assert [(log.log, log.agent_id) for log in workshop.events(run, ev.ToolLog)] == [
        ("Starting research sub-agent...", research.run),
        ("Research complete.", research.run),
    ]
    known = workshop.state(run).researches[research.run]
    assert (known.status, known.tokens, known.turns) == (Status.SUCCEEDED, research.spend.tokens, 2)


def test_researches_of_one_reply_work_in_parallel_beside_other_calls(workshop: Workshop) -> None:
    run = workshop.accept("researches-in-parallel", files=NOTES)

    state = workshop.drive(run, waits_for_research)

    assert len(state.researches) == 3
    assert all(workshop.state(research).status is Status.QUEUED for research in state.researches)
    assert [output.tool for output in workshop.events(run, ev.ToolOutput)] == ["read"]
    assert state.wait is not None and set(state.wait.researches) == set(state.researches)
    assert drive(workshop, run).status is Status.SUCCEEDED
    assert workshop.path_of(run).count("waiting") == 1
    told = [message["content"] for message in workshop.history(run) if message["role"] == "tool"]
    assert [text.split()[0] for text in told[:4]] == ["Research", "Research", "1", "Research"]


def test_a_run_waits_for_steps_and_researches_at_once(workshop: Workshop) -> None:
    run = workshop.accept("researches-while-training")
    state = drive(workshop, run, lambda state: any(not one.is_live for one in state.researches.values()))
    assert state.live_attempts()
    # It saw the step of its parent.
    assert "Use a learning rate" in research_of(workshop, run).summary

    state = drive(workshop, run, lambda state: state.reason is Reason.WAITING_FOR_STEPS)
    workshop.close(state.live_attempts()[0].id)

    assert drive(workshop, run).status is Status.SUCCEEDED
    assert [output.tool for output in workshop.events(run, ev.ToolOutput)][1:3] == ["research", "wait_for_steps"]


def test_findings_that_are_long_are_kept_whole_behind_a_pointer(workshop: Workshop) -> None:
    run = workshop.accept("researches-at-length", files=NOTES)

    drive(workshop, run)

    told = answer(workshop, run).output
    assert len(told) < 8_400
    [pointer] = re.findall(r"output:([0-9a-f]{64})", told)
    assert workshop.workspace.store.get(pointer).decode().count("So it is.") == 1_500


# --- Money and tokens -------------------------------------------------------------------------------------------------


def test_what_a_research_may_use_is_held_of_its_parent_and_settled_exactly(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept("researches", files=NOTES, limits=Limits(dollars=1.0, tokens=100_000))

    held = workshop.drive(run, waits_for_research)

    research, own = research_of(workshop, run), held.spend.microdollars
    half = (1_000_000 - own) // 2
    assert held.spend.holds == {research.run: half}
    assert research.limits.dollars == half / MICRODOLLARS
    assert research.limits.tokens == held.held_tokens == (100_000 - held.spend.tokens) // 2
    state = drive(workshop, run)
    research = workshop.state(research.run)
    paid = sum(round(call.cost_usd * MICRODOLLARS) for call in workshop.events(run, ev.LlmCall))
    assert research.spend.microdollars > 0
    assert (state.spend.holds, state.held_tokens) == ({}, 0)
    assert state.spend.microdollars == paid + research.spend.microdollars
    assert state.spend.tokens == research.spend.tokens + sum(
        call.total_tokens for call in workshop.events(run, ev.LlmCall)
    )
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


@pytest.mark.parametrize("limits", [Limits(dollars=0.1), Limits(tokens=16_000), Limits(dollars=0.1, tokens=16_000)])
def test_researches_in_parallel_never_pass_the_limits_of_their_parent(
    open_workshop: OpenWorkshop, limits: Limits
) -> None:
    workshop = open_workshop(**DEAR, research_turns=1_000)
    run = workshop.accept("researches-on-in-parallel", files=NOTES, limits=limits)

    state = drive(workshop, run, timeout=60)

    researches = [workshop.state(research) for research in state.researches]
    assert len(researches) == 3
    assert {one.reason for one in researches} <= {Reason.DOLLAR_LIMIT, Reason.TOKEN_LIMIT}
    for one in researches:
        assert one.spend.microdollars <= (one.limits.dollars or 1) * MICRODOLLARS
        assert one.spend.tokens <= (one.limits.tokens or 0)
    assert state.spend.microdollars <= (limits.dollars or 1) * MICRODOLLARS
    assert state.spend.tokens <= (limits.tokens or 1_000_000)
    assert not state.spend.holds
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


def test_a_run_with_nothing_left_is_told_so(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(price_prompt=0.0, price_completion=0.0)
    # A free model can be asked, but a microdollar cannot be halved.
    run = workshop.accept("researches", files=NOTES, limits=Limits(dollars=0.000_001))

    assert drive(workshop, run).status is Status.SUCCEEDED
    assert "too little left" in answer(workshop, run).output
    assert workshop.state(run).researches == {}


def test_a_tenant_that_waits_for_researches_with_all_its_runs_goes_on(open_workshop: OpenWorkshop) -> None:
    """Parked parents hold no worker and none of the tenant's money, and researches need no place of their own."""
    workshop = open_workshop(**DEAR, worker_slots=1)
    workshop.ledger.set_cap("acme", 0.5)
    runs = [workshop.accept("researches-in-parallel", files=NOTES, limits=Limits(dollars=0.4)) for _ in range(3)]
    for run in runs:
        workshop.drive(run, waits_for_research)
    assert workshop.ledger.account("acme")[1] == 0

    assert [drive(workshop, run).status for run in runs] == [Status.SUCCEEDED] * 3
    listed = Catalog(workshop.store).list_runs("acme").items
    assert {state.run for state in listed} == set(runs)


# --- Researches that end otherwise ------------------------------------------------------------------------------------


def test_a_research_out_of_turns_comes_back_with_what_it_had_found(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(research_turns=3)
    watched(workshop, offers_all=True)
    run = workshop.accept("researches-on", files=NOTES)

    state = drive(workshop, run)

    assert state.status is Status.SUCCEEDED
    told = answer(workshop, run)
    assert not told.success
    assert "ended without a report (over_limit, turn_limit: all 3 turns are used" in told.output
    assert "Its last words:\nReply 2." in told.output
    assert "turn 2: Reply 1.; read(limit=2) → 1\tlr = 3e-4" in told.output


def test_in_its_last_turn_a_research_can_only_report(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(research_turns=3)
    seen = watched(workshop, offers_all=True)
    run = workshop.accept("researches-on", files=NOTES)

    drive(workshop, run)

    offered = [names for names in seen.offers if "report" in names]
    assert offered == [[*READING, "report"]] * 2 + [["report"]]
    assert all("report" not in names for names in seen.offers if "research" in names)
    assert "1 turn, the last" in seen.last_brief


@pytest.mark.parametrize("story", ["researches-in-circles", "researches-wordily"])
def test_a_research_in_circles_ends_and_asks_nobody(workshop: Workshop, story: str) -> None:
    run = workshop.accept(story, files=NOTES)

    assert drive(workshop, run).status is Status.SUCCEEDED

    research = research_of(workshop, run)
    assert (research.status, research.reason) == (Status.FAILED, Reason.IN_CIRCLES)
    assert "needs_human" not in workshop.path_of(research.run)
    [nudge] = workshop.events(research.run, ev.AgentNudged)[-1:]
    assert "`report`" in nudge.text and "`ask`" not in nudge.text
    assert "in_circles: it goes in circles" in answer(workshop, run).output


def test_a_report_without_a_source_that_was_seen_is_questioned_and_then_not_accepted(workshop: Workshop) -> None:
    run = workshop.accept("researches-without-sources", files=NOTES)

    assert drive(workshop, run).status is Status.SUCCEEDED

    research = research_of(workshop, run)
    assert (research.status, research.reason) == (Status.FAILED, Reason.INCOMPLETE)
    problems = [question.problems for question in workshop.events(research.run, ev.CompletionQuestioned)]
    assert problems == [
        ["there is no source; findings without one are an opinion"],
        ["source 'a dream': no tool has shown it to you"],
    ]
    told = answer(workshop, run)
    assert not told.success
    assert "A report that was not accepted, since not all of it rests on a source:\nUse a learning rate" in told.output


def test_a_research_whose_model_is_away_does_not_end_its_parent(workshop: Workshop) -> None:
    run = workshop.accept("researches-without-a-model", files=NOTES)

    assert drive(workshop, run).status is Status.SUCCEEDED
    assert "(failed, model_auth: " in answer(workshop, run).output


def test_a_research_only_reads(workshop: Workshop) -> None:
    watched(workshop, offers_all=True)
    run = workshop.accept("researches-too-much", files=NOTES)

    state = drive(workshop, run)

    research = research_of(workshop, run)
    assert (state.status, research.status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    refusals = [output for output in workshop.events(research.run, ev.ToolOutput) if not output.success]
    assert [output.tool for output in refusals] == ["bash", "submit_step", "research", "ask", "finish"]
    assert refusals[0].output == (
        f"error: a research only reads, and has no tool 'bash' here; its tools are: {', '.join(READING)}, report"
    )
    assert (research.steps, research.researches, research.snapshot) == ({}, {}, state.snapshot)


def test_calls_that_make_no_sense_begin_nothing(workshop: Workshop) -> None:
    run = workshop.accept("researches-wrongly")

    assert drive(workshop, run).status is Status.SUCCEEDED
    assert sorted(workshop.answers(run)[:3]) == [
        "error: give either the task of a new research, or resume alone",
        "error: give either the task of a new research, or resume alone",
        "error: there is no research 'x'; begun: none yet",
    ]
    assert workshop.state(run).researches == {}


# --- Messages and ends of the parent ----------------------------------------------------------------------------------


def test_a_message_is_read_before_the_findings_which_are_not_lost(workshop: Workshop) -> None:
    run = workshop.accept("researches-later", files=NOTES)
    workshop.drive(run, waits_for_research)

    workshop.say(run, "How far is it?")
    workshop.drive(run, waits_for_research)

    first = workshop.answers(run)[0]
    assert first.startswith("a message has come, so this answers early: research r")
    assert drive(workshop, run).status is Status.SUCCEEDED
    assert workshop.answers(run)[1].startswith("Research r")
    assert len(workshop.state(run).researches) == 1


def test_cancelling_a_run_ends_its_researches_first(workshop: Workshop) -> None:
    run = workshop.accept("researches-in-parallel", files=NOTES)
    state = workshop.drive(run, waits_for_research)

    workshop.cancel(run)
    # Theirs has to come first, so that what they used is on record.
    assert workshop.advance(run) == "cancelling"

    assert {workshop.state(research).status for research in state.researches} == {Status.CANCELLING}
    state = drive(workshop, run, lambda state: state.status.is_final)
    assert state.status is Status.CANCELLED
    for research in state.researches.values():
        assert (research.status, research.reason) == (Status.CANCELLED, Reason.PARENT_ENDED)
        assert workshop.path_of(research.run) == ["cancelling", "cancelled"]
    assert state.spend.holds == {}


def test_a_research_that_asks_its_model_is_interrupted_and_charged_to_its_parent(open_workshop: OpenWorkshop) -> None:
    workshop = open_workshop(**DEAR, lease_seconds=1.0)
    run = workshop.accept("researches-slowly", files=NOTES)
    workshop.drive(run, waits_for_research)
    research = research_of(workshop, run).run
    workshop.die_in_a_call(research, microdollars=700)
    workshop.cancel(run)

    state = drive(workshop, run, lambda state: state.status.is_final)

    assert state.status is Status.CANCELLED
    own = sum(round(call.cost_usd * MICRODOLLARS) for call in workshop.events(run, ev.LlmCall))
    assert (state.spend.microdollars, state.spend.holds) == (own + 700, {})
    assert workshop.ledger.account("acme")[:2] == (own + 700, 0)


def test_a_research_that_was_never_made_does_not_keep_its_parent(workshop: Workshop, moments: Moments) -> None:
    run = workshop.accept("researches", files=NOTES)
    moments.once("worker.tool_intended", die)
    advance_and_die(workshop, run)
    workshop.cancel(run)

    state = workshop.drive(run, lambda state: state.status.is_final)

    assert (state.status, state.spend.holds) == (Status.CANCELLED, {})
    [research] = state.researches.values()
    assert workshop.store.status(research.run) is None
    # A worker that slept through all this makes it now.
    workshop.engine.researches.begin(state, research, "Look into it")
    assert workshop.advance(research.run) == "cancelled"
    assert workshop.state(research.run).spend.calls == 0


def test_a_cancelled_research_is_told_and_its_parent_goes_on(workshop: Workshop) -> None:
    run = workshop.accept("researches", files=NOTES)
    workshop.drive(run, waits_for_research)
    workshop.cancel(research_of(workshop, run).run)

    assert drive(workshop, run).status is Status.SUCCEEDED
    assert "(cancelled, cancelled_by_user: enough; 0 turns" in answer(workshop, run).output
    assert "It had not begun." in answer(workshop, run).output


# --- Deaths -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """A worker is gone, with all it had in its hands."""


def die() -> None:
    raise Killed


def advance_and_die(workshop: Workshop, run: str) -> None:
    """A slice that ends in death. Its lease is over at once."""
    with pytest.raises(Killed):
        workshop.advance(run)
    workshop.lose_lease(run)


@pytest.mark.parametrize(
    ("point", "whose"),
    [
        ("worker.tool_intended", "parent"),
        ("worker.research_made", "parent"),
        ("worker.parked", "parent"),
        ("worker.claimed", "research"),
        ("worker.model_requested", "research"),
        ("worker.reply_recorded", "research"),
        ("worker.tool_done.report", "research"),
        ("worker.tool_recorded", "research"),
        ("worker.research_told", "research"),
        ("worker.tool_done.research", "parent"),
    ],
)
def test_a_worker_may_die_anywhere_and_nothing_is_lost_or_done_twice(
    open_workshop: OpenWorkshop, moments: Moments, point: str, whose: str
) -> None:
    workshop = open_workshop(**DEAR)
    run = workshop.accept("researches", files=NOTES, limits=Limits(dollars=1.0))
    if whose == "research" or point == "worker.tool_done.research":
        workshop.drive(run, waits_for_research)
    victim = research_of(workshop, run).run if whose == "research" else run
    if point == "worker.tool_done.research":
        workshop.drive(research_of(workshop, run).run)
    moments.once(point, die)

    advance_and_die(workshop, victim)
    state = drive_with_archive(workshop, run)

    assert state.status is Status.SUCCEEDED
    assert len(workshop.events(run, ev.ResearchStarted)) == len(workshop.events(run, ev.ResearchFinished)) == 1
    assert answer(workshop, run).success
    research = research_of(workshop, run)
    own = sum(round(call.cost_usd * MICRODOLLARS) for call in workshop.events(run, ev.LlmCall))
    assert state.spend.microdollars == own + research.spend.microdollars
    assert state.spend.holds == {}
    archive(workshop, research.run)
    assert workshop.ledger.account("acme")[:2] == (state.spend.microdollars, 0)


def drive_with_archive(workshop: Workshop, run: str) -> RunState:
    """Like `drive`, with the controller beside the worker."""

    def hinted() -> RunState | None:
        for one in (run, *workshop.state(run).researches):
            workshop.advance(one)
        for over in workshop.store.ended():
            archive(workshop, over)
        state = workshop.state(run)
        return state if rests(state) else None

    return wait_until(hinted, 40.0, f"{workshop.state(run)}")


def test_telling_the_parent_twice_changes_nothing(workshop: Workshop) -> None:
    run = workshop.accept("researches", files=NOTES)
    workshop.drive(run, waits_for_research)
    research = research_of(workshop, run).run
    workshop.drive(research)
    before = workshop.state(run)

    workshop.engine.researches.tell(workshop.state(research))
    archive(workshop, research)

    assert workshop.state(run) == before
    assert before.status is Status.RUNNING


# --- What the model is offered ----------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A model as it is, and what it was offered."""

    model: Model
    offers_all: bool
    offers: list[list[str]]
    last_brief: str = ""

    def ask(self, model: str, messages: list[Any], tools: list[Any], *rest: Any) -> Reply:
        self.offers.append([tool["function"]["name"] for tool in tools])
        if self.offers[-1] == ["report"]:
            self.last_brief = messages[-1]["content"]
        # The scripted model calls whatever its story says where nothing is offered.
        return self.model.ask(model, messages, [] if self.offers_all else tools, *rest)

    def price(self, model: str) -> Any:
        return self.model.price(model)

    def window(self, model: str) -> int:
        return self.model.window(model)


def watched(workshop: Workshop, *, offers_all: bool = False) -> Watched:
    seen = Watched(workshop.engine.turn.model, offers_all, [])
    workshop.engine = replace(workshop.engine, turn=replace(workshop.engine.turn, model=seen))
    return seen
