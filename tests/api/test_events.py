import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from services.core.observations import Metric, Observations, Progress
from services.core.store import Draft
from tests.api.conftest import Api
from tests.api.server import Frame, frames
from tests.core.submitted import accept_run, submit_attempt
from tests.servers import RedisServer


@pytest.fixture
def run(api: Api) -> str:
    return accept_run(api.parts.store)


def say(api: Api, run: str, text: str) -> None:
    api.parts.store.record(run, f"say:{text}", lambda _: Draft((ev.ErrorRaised(error=text),)))


def move(api: Api, run: str, *targets: Status, reason: Reason = Reason.NONE) -> None:
    for target in targets:
        source = api.parts.store.state(run).status
        changed = ev.StatusChanged(source=source, target=target, reason=reason)
        api.parts.store.record(run, f"{source}:{target}", lambda _, changed=changed: Draft((changed,)))


@contextmanager
def stream(http: httpx.Client, run: str, **options: object) -> Iterator[Iterator[Frame]]:
    with http.stream("GET", f"/v1/runs/{run}/events/stream", **options) as response:  # type: ignore[arg-type]
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        yield frames(response)


def test_events_are_paged_by_seq(api: Api, http: httpx.Client, run: str) -> None:
    for number in range(4):
        say(api, run, str(number))
    first = http.get(f"/v1/runs/{run}/events", params={"limit": 2}).json()
    second = http.get(f"/v1/runs/{run}/events", params={"after": first["next_after"], "limit": 100}).json()
    assert [item["seq"] for item in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert first["items"][0]["event_type"] == "run_accepted"
    assert set(first["items"][0]) == {"event_type", "data", "run", "seq", "time", "turn"}
    assert http.get(f"/v1/runs/{run}/events", params={"after": 99}).json() == {"items": [], "next_after": 99}


@pytest.mark.parametrize(("after", "first"), [(-1, 5), (-3, 3), (-5, 1), (-999, 1)])
def test_the_newest_events_are_asked_for_by_counting_from_the_end(
    api: Api, http: httpx.Client, run: str, after: int, first: int
) -> None:
    for number in range(4):
        say(api, run, str(number))
    page = http.get(f"/v1/runs/{run}/events", params={"after": after}).json()
    assert [item["seq"] for item in page["items"]] == [*range(first, 6)]
    with stream(http, run, params={"after": after}) as told:
        assert next(told).id == str(first)


@pytest.mark.parametrize("query", ["after=x", "after=1.5", "after=99999999999999999999", "limit=0", "limit=1001"])
def test_a_page_that_cannot_be_is_refused(http: httpx.Client, run: str, query: str) -> None:
    assert http.get(f"/v1/runs/{run}/events?{query}").status_code == 400


def test_a_stream_tells_what_was_and_what_happens_and_ends_with_the_run(api: Api, http: httpx.Client, run: str) -> None:
    with stream(http, run) as told:
        assert next(told).id == "1"
        for number in range(3):
            say(api, run, str(number))
            frame = next(told)
            assert (frame.id, frame.event, frame.data["data"]["error"]) == (str(number + 2), "error", str(number))
        move(api, run, Status.RUNNING, Status.SUCCEEDED, reason=Reason.FINISHED)
        rest = list(told)
    assert [frame.event for frame in rest] == ["status_changed", "status_changed", "end"]
    assert rest[-1].data == {"status": "succeeded", "exit_code": 0}
    assert rest[-1].id == ""


def test_a_stream_of_a_run_that_is_over_tells_everything_and_ends(api: Api, http: httpx.Client, run: str) -> None:
    for number in range(500):
        say(api, run, str(number))
    move(api, run, Status.CANCELLING, Status.FAILED, reason=Reason.POISON)
    with stream(http, run) as told:
        seen = list(told)
    assert [frame.id for frame in seen[:-1]] == [str(seq) for seq in range(1, 504)]
    assert seen[-1].data == {"status": "failed", "exit_code": 3}


def test_a_stream_ends_where_a_person_has_to_answer_and_goes_on_after_it(
    api: Api, http: httpx.Client, run: str
) -> None:
    move(api, run, Status.RUNNING, Status.NEEDS_HUMAN, reason=Reason.ASKED)
    with stream(http, run) as told:
        seen = list(told)
    assert seen[-1].data == {"status": "needs_human", "exit_code": 7}
    http.post(f"/v1/runs/{run}/messages", json={"content": "go on"})
    with stream(http, run, headers={"Last-Event-ID": seen[-2].id}) as told:
        assert [next(told).event, next(told).event] == ["message_received", "status_changed"]


@pytest.mark.parametrize("header", [True, False])
def test_a_stream_is_resumed_behind_the_last_event_that_came(
    api: Api, http: httpx.Client, run: str, header: bool
) -> None:
    for number in range(5):
        say(api, run, str(number))
    options = {"headers": {"Last-Event-ID": "4"}, "params": {"after": 1}} if header else {"params": {"after": 4}}
    with stream(http, run, **options) as told:
        assert [next(told).id, next(told).id] == ["5", "6"]


def test_a_place_beyond_the_end_waits_for_what_comes_behind_it(api: Api, http: httpx.Client, run: str) -> None:
    with stream(http, run, headers={"Last-Event-ID": "3"}) as told:
        for number in range(3):
            say(api, run, str(number))
        assert next(told).id == "4"


@pytest.mark.parametrize("ident", ["x", "-1", "1.0", "٣", "1" * 20, "9" * 17])
def test_a_place_that_never_was_is_refused(http: httpx.Client, run: str, ident: str) -> None:
    response = http.get(f"/v1/runs/{run}/events/stream", headers={"Last-Event-ID": ident.encode()})  # type: ignore[dict-item]
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


def test_an_accept_header_asks_for_the_stream(api: Api, http: httpx.Client, run: str) -> None:
    with http.stream("GET", f"/v1/runs/{run}/events", headers={"Accept": "text/event-stream"}) as response:
        assert next(frames(response)).event == "run_accepted"


def test_two_watchers_of_one_run_both_see_everything(api: Api, http: httpx.Client, run: str) -> None:
    seen: list[list[str]] = [[], []]

    def watch(index: int) -> None:
        with stream(http, run) as told:
            seen[index] = [frame.id for frame in told]

    threads = [threading.Thread(target=watch, args=[index]) for index in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        say(api, run, str(number))
    move(api, run, Status.RUNNING, Status.SUCCEEDED)
    for thread in threads:
        thread.join(20)
    assert seen == [[*(str(seq) for seq in range(1, 204)), ""]] * 2


def test_a_watcher_that_does_not_read_holds_nobody_up_and_misses_nothing(
    api: Api, http: httpx.Client, run: str
) -> None:
    large = "x" * 10_000
    with stream(http, run) as slow:
        assert next(slow).id == "1"
        for number in range(600):
            say(api, run, f"{number} {large}")
        with stream(http, run, params={"after": 600}) as quick:
            assert next(quick).id == "601"
        move(api, run, Status.RUNNING, Status.SUCCEEDED)
        assert [frame.id for frame in slow] == [*(str(seq) for seq in range(2, 604)), ""]


def test_what_a_program_reports_comes_at_once_and_without_an_id(api: Api, http: httpx.Client, run: str) -> None:
    attempt = submit_attempt(api.parts.store, run=run)
    seen = Observations(
        metrics=(Metric(name="loss", value=float("nan"), time=1.0),), progress=Progress(fraction=0.5, text="half")
    )
    with stream(http, run) as told:
        assert [next(told).event, next(told).event] == ["run_accepted", "step_submitted"]
        api.parts.attempts.observe(attempt, seen)
        frame = next(told)
    assert (frame.event, frame.id) == ("progress", "")
    assert (frame.data["attempt"], frame.data["step"]) == (attempt, "train")
    assert frame.data["progress"]["fraction"] == 0.5 and frame.data["metrics"][0]["value"] == "NaN"


def test_an_announcement_that_is_lost_is_repaired(
    api: Api, http: httpx.Client, run: str, redis_server: RedisServer
) -> None:
    with stream(http, run) as told:
        assert next(told).id == "1"
        # All connections that listen are cut; the event is written before anyone is back.
        api.parts.store.client.client_kill_filter(_type="pubsub")
        say(api, run, "unheard")
        assert next(told).data["data"]["error"] == "unheard"


def test_a_stream_survives_a_redis_that_is_restarted(
    api: Api, http: httpx.Client, run: str, redis_server: RedisServer
) -> None:
    with stream(http, run) as told:
        assert next(told).id == "1"
        redis_server.restart()
        say(api, run, "after")
        assert next(told).data["data"]["error"] == "after"


def test_text_cannot_forge_an_event(api: Api, http: httpx.Client, run: str) -> None:
    text = 'x\n\nid: 99\nevent: end\ndata: {"status": "succeeded"}\n\n\r\u2028\u0085'
    with stream(http, run) as told:
        assert next(told).id == "1"
        say(api, run, text)
        frame = next(told)
    assert (frame.id, frame.event, frame.data["data"]["error"]) == ("2", "error", text)


def test_streams_end_with_a_hint_to_come_again_when_the_server_is_told_to_stop(start_api: Callable[..., Api]) -> None:
    api = start_api()
    run = accept_run(api.parts.store)
    with api.client() as http, stream(http, run) as told:
        assert next(told).id == "1"
        stopping = threading.Thread(target=api.server.stop)
        stopping.start()
        assert next(told).text == "retry: 1000"
        assert list(told) == []
        stopping.join(20)
    assert not stopping.is_alive()


def test_open_streams_are_counted(api: Api, http: httpx.Client, run: str, wait_until: Callable[..., object]) -> None:
    def count() -> float:
        return api.parts.metrics.registry.value("cohort_sse_clients") or 0.0

    wait_until(lambda: count() == 0)
    with stream(http, run) as told:
        next(told)
        assert count() == 1
    wait_until(lambda: count() == 0, message="a client that left is no longer counted")


def test_the_trace_is_every_event_a_line(api: Api, http: httpx.Client, run: str) -> None:
    for number in range(1_200):
        say(api, run, str(number))
    response = http.get(f"/v1/runs/{run}/trace")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 1_202))
