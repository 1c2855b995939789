"""A store's appends as series: each once, under labels that are known."""

from collections.abc import Callable

import pytest

from services.core import events as ev
from services.core.appended import Appended
from services.core.artifacts import ArtifactStore
from services.core.fold import first_state
from services.core.keys import Keys, new_run_id
from services.core.lifecycle import Reason, Status
from services.core.monitoring.counting import Counting, Vocabulary
from services.core.monitoring.instruments import Registry
from services.core.payload import Payloads
from services.core.redis import Client, connect
from services.core.store import Draft, Lease, RunStore
from tests.core.examples import accepted, llm_call, llm_failed, llm_request, moved, tool_output
from tests.core.submitted import accept_run, close_attempt, submit_attempt
from tests.core.test_appended import Stuttering

Q, R = Status.QUEUED, Status.RUNNING
KNOWN = Vocabulary(pools=("cpu", "a100"), tools=("read", "bash"), failures=("timeout", "no_model"))


class Counted:
    """A store in a process of one part of the install, and what that process counts."""

    def __init__(self, client: Client, keys: Keys, artifacts: ArtifactStore, part: str) -> None:
        self.registry = Registry(part)
        self.store = RunStore(client, keys, Payloads(artifacts), [Counting(self.registry, client, KNOWN)])

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.value(f"cohort_{name}", labels)

    def write(self, *data: ev.EventData, run: str = "") -> None:
        """As a worker does, in a run of its own unless one is named."""
        run = run or accept_run(self.store)
        lease = self.store.claim(run, new_run_id(), 60)
        assert isinstance(lease, Lease)
        self.store.append(lease, self.store.state(run), Draft(data), release=True)


Start = Callable[..., Counted]


@pytest.fixture
def start(client: Client, keys: Keys, artifacts: ArtifactStore) -> Start:
    return lambda part="worker", through=None: Counted(through or client, keys, artifacts, part)


def test_every_event_is_counted_by_the_process_that_appended_it(start: Start) -> None:
    api, worker = start("api"), start("worker")
    run = accept_run(api.store)
    worker.write(moved(Q, R), llm_request("1"), run=run)
    assert api("events_total", type="run_accepted") == api("runs_submitted_total", tenant="acme") == 1
    assert worker("events_total", type="llm_request") == worker("turns_total") == 1
    assert worker("events_total", type="run_accepted") == api("turns_total") == 0


def test_what_is_sent_twice_or_told_twice_is_counted_once(start: Start, client: Client) -> None:
    counted = start(through=Stuttering(client))
    attempt = submit_attempt(counted.store, run=accept_run(counted.store), pool="cpu")
    for _ in range(2):
        close_attempt(counted.store, attempt)
    assert counted("runs_submitted_total", tenant="acme") == 1
    assert counted("steps_submitted_total", pool="cpu", cause="agent") == 1
    assert counted("attempts_ended_total", pool="cpu", outcome="succeeded") == 1


def test_two_that_tell_the_same_count_it_once_together(start: Start) -> None:
    one, other = start("controller"), start("controller")
    attempt = submit_attempt(one.store, run=accept_run(one.store), pool="cpu")
    for controller in (one, other, one):
        close_attempt(controller.store, attempt)
    ended = [controller("attempts_ended_total", pool="cpu", outcome="succeeded") for controller in (one, other)]
    assert sorted(number or 0 for number in ended) == [0, 1]


def test_names_that_nobody_knows_are_counted_as_other(start: Start) -> None:
    counted = start()
    run = accept_run(counted.store)
    counted.write(
        moved(Q, R),
        tool_output("a", "a tool of yesterday"),
        ev.RuleRefused(rule="a rule of tomorrow", text=""),
        llm_call("1"),
        llm_failed("2").model_copy(update={"failure": "a failure of tomorrow"}),
        run=run,
    )
    close_attempt(counted.store, submit_attempt(counted.store, run=run, pool="a pool of yesterday"))
    assert counted("tool_calls_total", tool="other", result="ok") == 1
    assert counted("rules_refused_total", rule="other") == 1
    assert counted("model_calls_total", model="m", result="other") == 1
    assert counted("attempts_ended_total", pool="other", outcome="succeeded") == 1


def test_a_model_that_is_not_there_gets_no_name_of_its_own(start: Start) -> None:
    counted = start()
    invented = llm_failed("1").model_copy(update={"model": "invented", "failure": "no_model"})
    counted.write(invented, llm_call("2"), llm_failed("3"))
    assert counted("model_calls_total", model="invented", result="no_model") is None
    assert counted("model_calls_total", model="other", result="no_model") == 1
    assert counted("model_calls_total", model="m", result="timeout") == 1
    assert counted("model_calls_total", model="m", result="no_model") == 0


def test_tenants_beyond_the_first_fifty_are_counted_together_and_by_all_processes_alike(start: Start) -> None:
    one, other = start("api"), start("api")
    for number in range(60):
        for process in (one, other):
            accept_run(process.store, tenant=f"tenant-{number}")
    for process in (one, other):
        assert process("runs_submitted_total", tenant="tenant-49") == 1
        assert process("runs_submitted_total", tenant="tenant-50") is None
        assert process("runs_submitted_total", tenant="other") == 10


@pytest.mark.parametrize(
    ("part", "name", "labels"),
    [
        ("api", "events_total", {"type": "message_received"}),
        ("worker", "runs_ended_total", {"status": "over_limit", "reason": "dollar_limit"}),
        ("worker", "runs_ended_total", {"status": "succeeded", "reason": "finished"}),
        ("worker", "run_seconds_count", {"status": "failed"}),
        ("worker", "tool_calls_total", {"tool": "bash", "result": "error"}),
        ("worker", "steps_submitted_total", {"pool": "a100", "cause": "agent"}),
        ("controller", "attempts_ended_total", {"pool": "a100", "outcome": "lost"}),
        ("controller", "attempt_failures_total", {"class": "out_of_gpu_memory"}),
        ("controller", "attempt_failures_total", {"class": "unknown"}),
        ("controller", "attempt_stage_seconds_count", {"pool": "cpu", "stage": "to_running"}),
        ("controller", "gpu_wasted_seconds_total", {"pool": "a100", "why": "failed"}),
        ("controller", "attempt_warnings_total", {"kind": "plateau"}),
    ],
)
def test_what_can_be_named_beforehand_starts_at_nothing(
    start: Start, part: str, name: str, labels: dict[str, str]
) -> None:
    assert start(part)(name, **labels) == 0


def test_what_a_part_does_not_append_does_not_fill_its_scrape(start: Start) -> None:
    assert start("api")("attempts_ended_total", pool="a100", outcome="lost") is None
    assert b"attempt_stage_seconds_bucket" not in start("worker").registry.text()


def test_every_end_that_can_be_is_there_before_it_happens(start: Start) -> None:
    counted = start()
    before = counted.registry.text().count(b"cohort_runs_ended_total{")
    counted.write(
        moved(Q, Status.CANCELLING, Reason.DEADLINE), moved(Status.CANCELLING, Status.TIMED_OUT, Reason.DEADLINE)
    )
    assert counted("runs_ended_total", status="timed_out", reason="deadline") == 1
    assert counted.registry.text().count(b"cohort_runs_ended_total{") == before


def test_no_series_names_a_run_a_step_or_an_attempt(start: Start) -> None:
    counted = start()
    run = accept_run(counted.store)
    counted.write(moved(Q, R), llm_request(f"{run}-c1"), llm_call(f"{run}-c1"), tool_output("call_1_0"), run=run)
    close_attempt(counted.store, submit_attempt(counted.store, "my-own-step", run))
    text = counted.registry.text().decode()
    for name in (run, "my-own-step", "call_1_0"):
        assert name not in text


def test_without_redis_nothing_is_lost_but_a_name() -> None:
    """The roster cannot be asked: the count goes to those without a name of their own."""
    registry = Registry("api")
    counting = Counting(registry, connect("redis://127.0.0.1:1/0", patience_seconds=1), KNOWN)
    data = accepted(tenant="acme")
    event = ev.Event("r00000000001", 1, 1.0, 0, data)
    counting(Appended(None, (event,), first_state("r00000000001", data, 1.0)))
    assert registry.value("cohort_runs_submitted_total", {"tenant": "other"}) == 1
