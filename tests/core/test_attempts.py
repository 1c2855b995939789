import json
import math
import threading

import pytest

from services.core.attempts import MAX_WARNINGS, AttemptOver, AttemptStore, AttemptTaken
from services.core.errors import BadRequest
from services.core.keys import CONTROLLER_CHANNEL, Keys, run_channel
from services.core.observations import FinishReport, Metric, Observations, Progress, Sample, Warned
from services.core.records import FileRef
from services.core.redis import Client
from services.core.store import RunStore
from tests.core.submitted import close_attempt, submit_attempt

SHA = "0" * 64


@pytest.fixture
def attempts(client: Client, keys: Keys) -> AttemptStore:
    return AttemptStore(client, keys)


@pytest.fixture
def attempt(store: RunStore) -> str:
    """A live attempt."""
    return submit_attempt(store)


def report(exit_code: int = 0) -> FinishReport:
    return FinishReport(
        exit_code=exit_code, signal=None, reason="exited", started=1.0, finished=2.0, bytes=0, sha256=SHA
    )


def metrics(*values: float) -> tuple[Metric, ...]:
    return tuple(Metric(name="loss", value=value, step=index, time=1.0) for index, value in enumerate(values))


def test_live_attempts_are_listed_over_all_shards(attempts: AttemptStore, store: RunStore) -> None:
    submitted = {submit_attempt(store) for _ in range(20)}
    assert set(attempts.live()) == submitted
    gone = submitted.pop()
    close_attempt(store, gone)
    assert set(attempts.live()) == submitted
    assert not attempts.is_live(gone)


def test_the_first_execution_to_claim_wins(attempts: AttemptStore, attempt: str) -> None:
    attempts.claim(attempt, "pod-1")
    attempts.claim(attempt, "pod-1")
    with pytest.raises(AttemptTaken):
        attempts.claim(attempt, "pod-2")
    assert attempts.record(attempt).pod_uid == "pod-1"


def test_of_many_executions_at_once_exactly_one_claims(attempts: AttemptStore, attempt: str) -> None:
    won: list[int] = []

    def claim(number: int) -> None:
        try:
            attempts.claim(attempt, f"pod-{number}")
        except AttemptTaken:
            return
        won.append(number)

    threads = [threading.Thread(target=claim, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_nothing_of_an_attempt_that_is_over_is_taken(attempts: AttemptStore, attempt: str, store: RunStore) -> None:
    attempts.claim(attempt, "pod-1")
    close_attempt(store, attempt)
    before = attempts.record(attempt)
    for write in (
        lambda: attempts.claim(attempt, "pod-1"),
        lambda: attempts.heartbeat(attempt, "pod-1"),
        lambda: attempts.observe(attempt, Observations(metrics=metrics(1.0))),
        lambda: attempts.add_output(attempt, FileRef(path="a", sha256=SHA, size=1)),
        lambda: attempts.finish(attempt, report(), log_complete=True),
    ):
        with pytest.raises(AttemptOver):
            write()
    assert attempts.record(attempt) == before


def test_an_attempt_that_never_was_is_over(attempts: AttemptStore) -> None:
    with pytest.raises(AttemptOver):
        attempts.claim("rzzzzzzzzzzzz-train-1", "pod-1")
    assert attempts.record("rzzzzzzzzzzzz-train-1").claimed_at is None


def test_a_heartbeat_moves_on_and_only_the_claimer_may_send_it(attempts: AttemptStore, attempt: str) -> None:
    with pytest.raises(AttemptTaken):
        attempts.heartbeat(attempt, "pod-1")
    attempts.claim(attempt, "pod-1")
    claimed = attempts.record(attempt).heartbeat_at
    attempts.heartbeat(attempt, "pod-1")
    beaten = attempts.record(attempt).heartbeat_at
    assert claimed is not None and beaten is not None and beaten > claimed
    with pytest.raises(AttemptTaken):
        attempts.heartbeat(attempt, "pod-2")


def test_a_batch_that_is_sent_again_is_taken_once(attempts: AttemptStore, attempt: str) -> None:
    first = Observations(first=0, metrics=metrics(3.0, 2.0), samples=(Sample(time=5.0, rss_bytes=1),))
    attempts.observe(attempt, first)
    attempts.observe(attempt, first)
    attempts.observe(attempt, Observations(first=1, metrics=metrics(2.0, 1.0)))
    assert [metric.value for metric in attempts.metrics(attempt)] == [3.0, 2.0, 1.0]
    assert attempts.record(attempt).metrics_count == 3
    assert len(attempts.samples(attempt)) == 1


def test_metrics_that_never_came_are_counted_as_dropped(attempts: AttemptStore, attempt: str) -> None:
    attempts.observe(attempt, Observations(first=10, metrics=metrics(1.0)))
    record = attempts.record(attempt)
    assert (record.metrics_count, record.metrics_dropped) == (11, 10)


def test_metrics_are_bounded_and_the_rest_is_counted(
    attempts: AttemptStore, attempt: str, client: Client, keys: Keys
) -> None:
    client.rpush(keys.attempt(attempt, "metrics"), *[metrics(0.0)[0].model_dump_json()] * 99_999)
    client.hset(keys.attempt(attempt), "metrics_count", 99_999)
    attempts.observe(attempt, Observations(first=99_999, metrics=metrics(1.0, 2.0, 3.0)))
    record = attempts.record(attempt)
    assert (record.metrics_count, record.metrics_dropped) == (100_002, 2)
    assert [metric.value for metric in attempts.metrics(attempt, start=99_998)] == [0.0, 1.0]


def test_a_loss_that_is_not_a_number_is_a_value(attempts: AttemptStore, attempt: str) -> None:
    attempts.observe(attempt, Observations(metrics=metrics(math.nan, math.inf, -math.inf)))
    values = [metric.value for metric in attempts.metrics(attempt)]
    assert math.isnan(values[0]) and values[1:] == [math.inf, -math.inf]


def test_warnings_are_kept_once_in_order_and_bounded(attempts: AttemptStore, attempt: str) -> None:
    seen = tuple(Warned(kind="nan", text=f"at step {number}") for number in range(MAX_WARNINGS + 5))
    for _ in range(2):
        attempts.observe(attempt, Observations(warnings=seen))
    assert attempts.warnings(attempt) == list(seen[:MAX_WARNINGS])


def test_progress_is_the_last_one_told(attempts: AttemptStore, attempt: str) -> None:
    attempts.observe(attempt, Observations(progress=Progress(fraction=0.5, text="epoch 1 of 2")))
    attempts.observe(attempt, Observations(metrics=metrics(1.0)))
    assert attempts.record(attempt).progress == Progress(fraction=0.5, text="epoch 1 of 2")


def test_text_a_program_chose_is_cut_instead_of_refused() -> None:
    seen = Observations.model_validate_json(
        json.dumps(
            {
                "metrics": [{"name": "n" * 9_999, "value": "NaN", "time": 1}],
                "warnings": [{"kind": "k", "text": "t" * 9_999}],
            }
        )
    )
    assert len(seen.metrics[0].name) == 200 and len(seen.warnings[0].text) == 2_000


def test_the_first_report_of_the_end_stands(attempts: AttemptStore, attempt: str, store: RunStore) -> None:
    attempts.finish(attempt, report(exit_code=3), log_complete=True)
    attempts.finish(attempt, report(exit_code=0), log_complete=False)
    close_attempt(store, attempt)
    attempts.finish(attempt, report(exit_code=0), log_complete=False)
    record = attempts.record(attempt)
    assert record.finish == report(exit_code=3)
    assert record.log_complete


def test_uploaded_outputs_are_listed_once_by_path(attempts: AttemptStore, attempt: str) -> None:
    for path, size in (("b", 1), ("a", 2), ("b", 3)):
        attempts.add_output(attempt, FileRef(path=path, sha256=SHA, size=size))
    assert [(file.path, file.size) for file in attempts.outputs(attempt)] == [("a", 2), ("b", 3)]


def test_outputs_are_bounded(attempts: AttemptStore, attempt: str, client: Client, keys: Keys) -> None:
    entries = {
        f"f{number}": FileRef(path=f"f{number}", sha256=SHA, size=0).model_dump_json() for number in range(10_000)
    }
    client.hset(keys.attempt(attempt, "outputs"), mapping=entries)
    attempts.add_output(attempt, FileRef(path="f0", sha256=SHA, size=5))
    with pytest.raises(BadRequest, match="10000 outputs"):
        attempts.add_output(attempt, FileRef(path="one-more", sha256=SHA, size=5))


def test_claim_finish_and_observations_are_announced(attempts: AttemptStore, attempt: str, client: Client) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(CONTROLLER_CHANNEL, run_channel(attempt.split("-")[0]))
        attempts.claim(attempt, "pod-1")
        attempts.observe(attempt, Observations(metrics=metrics(math.nan), progress=Progress(fraction=0.1)))
        attempts.finish(attempt, report(), log_complete=True)
        told: list[bytes] = []
        while len(told) < 3:
            message = heard.get_message(timeout=5)
            if message is not None:
                told.append(message["data"])
    assert (told[0], told[2]) == (attempt.encode(), attempt.encode())
    hint = json.loads(told[1])
    assert hint["attempt"] == attempt and hint["progress"]["fraction"] == 0.1 and hint["metrics"][0]["value"] == "NaN"


def test_readings_are_the_metrics(attempts: AttemptStore, attempt: str) -> None:
    named = Metric(name="accuracy", value=0.5, time=7.0)
    attempts.observe(attempt, Observations(metrics=(*metrics(1.5, math.inf), named)))
    read = attempts.readings(attempt)
    assert read == [(one.name, one.value, one.step, one.time) for one in attempts.metrics(attempt)]
    assert attempts.readings(attempt, start=2, limit=5) == read[2:]
    attempts.observe(attempt, Observations(first=3, metrics=metrics(math.nan)))
    assert math.isnan(attempts.readings(attempt, start=3)[0].value)
