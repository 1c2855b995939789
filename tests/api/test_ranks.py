"""Ranks over the wire: they report with their attempt's token, and are read apart or together."""

import hashlib
from collections.abc import Iterator

import google_crc32c
import httpx
import pytest

from services.api.files import live_attempt
from services.core.keys import run_of_attempt
from services.core.tokens import issue
from tests.api.conftest import SECRET, Api
from tests.core.submitted import close_attempt, submit_attempt


@pytest.fixture
def attempt(api: Api) -> str:
    """A live attempt on two nodes."""
    return submit_attempt(api.parts.store, nodes=2)


@pytest.fixture
def ranks(api: Api, attempt: str) -> Iterator[list[httpx.Client]]:
    """The ranks' sidecars. All have the token of the attempt."""
    token = issue(SECRET, attempt, 4e9)
    clients = [api.runner(f"{attempt}.{rank}", token) for rank in range(3)]
    yield clients
    for client in clients:
        client.close()


def put_log(runner: httpx.Client, offset: int, data: bytes) -> int:
    crc = f"{google_crc32c.value(data):08x}"
    return runner.put("/log", params={"offset": offset}, content=data, headers={"X-Crc32c": crc}).status_code


def finish(runner: httpx.Client, log: bytes, exit_code: int = 0) -> int:
    digest = hashlib.sha256(log).hexdigest()
    said = {"exit_code": exit_code, "signal": None, "reason": "exited", "started": 1.0, "finished": 2.0}
    return runner.post("/finish", json={**said, "bytes": len(log), "sha256": digest}).status_code


def log_path(attempt: str) -> str:
    return f"/v1/runs/{run_of_attempt(attempt)}/steps/train/log"


def test_each_rank_is_claimed_by_a_pod_of_its_own(ranks: list[httpx.Client]) -> None:
    claims = [(0, "a"), (1, "b"), (0, "b"), (1, "b")]
    answers = [ranks[rank].post("/claim", json={"pod_uid": uid, "protocol": 1}).status_code for rank, uid in claims]
    assert answers == [200, 200, 409, 200]


def test_there_are_no_more_ranks_than_nodes(api: Api, ranks: list[httpx.Client], attempt: str) -> None:
    assert ranks[2].post("/claim", json={"pod_uid": "c", "protocol": 1}).status_code == 410
    assert put_log(ranks[2], 0, b"x") == 410
    lone = submit_attempt(api.parts.store)
    with api.runner(f"{lone}.1", issue(SECRET, lone, 4e9)) as runner:
        assert runner.post("/claim", json={"pod_uid": "c", "protocol": 1}).status_code == 410


@pytest.mark.parametrize("name", ["{}.01", "{}.-1", "{}.1.1", "{}.", "{}.x", "{}.999999"])
def test_what_is_no_rank_has_no_token(api: Api, attempt: str, name: str) -> None:
    with api.runner(name.format(attempt), issue(SECRET, attempt, 4e9)) as runner:
        assert runner.post("/claim", json={"pod_uid": "c", "protocol": 1}).status_code == 401


def test_the_token_of_another_attempt_opens_no_rank(api: Api, attempt: str) -> None:
    other = submit_attempt(api.parts.store, nodes=2)
    with api.runner(f"{attempt}.1", issue(SECRET, other, 4e9)) as runner:
        assert runner.post("/claim", json={"pod_uid": "c", "protocol": 1}).status_code == 401


def test_a_rank_is_told_of_its_attempts_end(api: Api, ranks: list[httpx.Client], attempt: str) -> None:
    for rank in ranks[:2]:
        rank.post("/claim", json={"pod_uid": "a", "protocol": 1})
        assert rank.post("/heartbeat", json={"pod_uid": "a"}).json()["cancel"] is False
    close_attempt(api.parts.store, attempt)
    assert [rank.post("/heartbeat", json={"pod_uid": "a"}).status_code for rank in ranks[:2]] == [410, 410]
    assert put_log(ranks[1], 0, b"late") == 410
    assert attempt not in api.parts.attempts.live()


def test_every_rank_begins_with_the_files_of_its_attempt(api: Api, attempt: str) -> None:
    state = api.parts.store.state(run_of_attempt(attempt))
    assert live_attempt(state, f"{attempt}.1").id == attempt


def test_a_rank_is_no_attempt_of_its_own(api: Api, attempt: str) -> None:
    assert api.parts.attempts.live() == [attempt]
    assert api.parts.attempts.is_live(f"{attempt}.1")


def test_logs_are_read_apart_and_together(
    api: Api, http: httpx.Client, ranks: list[httpx.Client], attempt: str
) -> None:
    for rank, offset, data in [(0, 0, b"a\n"), (1, 0, b"x"), (0, 2, b"b\n"), (1, 1, b"y\n")]:
        assert put_log(ranks[rank], offset, data) == 204
    path = log_path(attempt)
    assert http.get(path, params={"rank": 0}).content == b"a\nb\n"
    alone = http.get(path, params={"rank": 1, "offset": -2})
    assert (alone.content, alone.headers["x-log-size"]) == (b"y\n", "3")
    together = b"[rank 0] a\n[rank 0] b\n[rank 1] xy\n"
    assert http.get(path).content == together
    assert http.get(path, params={"offset": 9, "limit": 5}).content == together[9:14]
    assert "x-log-size" not in http.get(path).headers
    assert http.get(path, params={"offset": -1}).status_code == 422
    assert http.get(path, params={"rank": 2}).status_code == 404


def test_together_they_are_complete_when_each_is(
    api: Api, http: httpx.Client, ranks: list[httpx.Client], attempt: str
) -> None:
    put_log(ranks[0], 0, b"a\n")
    assert finish(ranks[0], b"a\n") == 200
    assert http.get(log_path(attempt)).headers["x-log-complete"] == "false"
    assert http.get(log_path(attempt), params={"rank": 0}).headers["x-log-complete"] == "true"
    assert finish(ranks[1], b"", 3) == 200
    assert http.get(log_path(attempt)).headers["x-log-complete"] == "true"


def test_who_follows_sees_all_ranks_and_goes_on_where_he_was(
    api: Api, http: httpx.Client, ranks: list[httpx.Client], attempt: str
) -> None:
    put_log(ranks[0], 0, b"a\n")
    put_log(ranks[1], 0, b"x\nend")
    close_attempt(api.parts.store, attempt)
    stream = f"{log_path(attempt)}/stream"
    whole = http.get(stream).text
    assert '"text":"[rank 0] a\\n' in whole.replace('": "', '":"')
    assert "[rank 1] end\\n" in whole
    assert "event: end" in whole
    rest = http.get(stream, headers={"Last-Event-ID": "11"}).text
    assert "[rank 0]" not in rest
    assert "[rank 1] x\\n" in rest
    assert "[rank" not in http.get(stream, params={"rank": 1}).text
