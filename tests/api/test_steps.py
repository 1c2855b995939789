import json
from collections.abc import Iterator

import httpx
import pytest

from services.core.observations import FinishReport, Metric, Observations, Progress, Warned
from services.core.records import FileRef
from tests.api.conftest import Api
from tests.api.server import frames
from tests.core.submitted import accept_run, close_attempt, submit_attempt


@pytest.fixture
def attempt(api: Api) -> str:
    return submit_attempt(api.parts.store)


@pytest.fixture
def base(attempt: str) -> str:
    return f"/v1/runs/{attempt.split('-')[0]}/steps"


def write(api: Api, attempt: str, data: bytes) -> None:
    api.parts.logs.append(attempt, api.parts.logs.size(attempt), data)


def test_steps_are_shown_with_what_is_known_of_live_attempts(
    api: Api, http: httpx.Client, attempt: str, base: str
) -> None:
    api.parts.attempts.claim(attempt, "pod")
    write(api, attempt, b"hello\n")
    seen = Observations(
        metrics=(Metric(name="loss", value=1.0, time=1.0),),
        progress=Progress(fraction=0.25),
        warnings=(Warned(kind="nan", text="loss is NaN"),),
    )
    api.parts.attempts.observe(attempt, seen)
    [step] = http.get(base).json()["items"]
    assert http.get(f"{base}/train").json() == step
    [shown] = step["attempts"]
    assert (shown["id"], shown["status"], shown["log_bytes"], shown["metrics_count"]) == (attempt, "submitted", 6, 1)
    assert shown["progress"]["fraction"] == 0.25 and shown["warnings"] == ["nan: loss is NaN"]
    assert shown["heartbeat"] is not None and shown["last_output"] is not None


@pytest.mark.parametrize("path", ["", "/log", "/log/stream", "/metrics"])
def test_a_step_or_attempt_that_is_not_there_is_not_found(http: httpx.Client, base: str, path: str) -> None:
    assert http.get(f"{base}/evaluate{path}").json()["type"] == "urn:cohort:problem:step-not-found"
    assert http.get(f"{base}/Train{path}").status_code == 404
    if path:
        assert http.get(f"{base}/train{path}", params={"attempt": 2}).status_code == 404
        assert http.get(f"{base}/train{path}", params={"attempt": 0}).status_code == 400


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, 0, 300_000),
        ({"offset": 5}, 5, 300_000),
        ({"offset": 299_990, "limit": 100}, 299_990, 300_000),
        ({"offset": 100_000, "limit": 70_000}, 100_000, 170_000),
        ({"offset": -10}, 299_990, 300_000),
        ({"offset": -10, "limit": 3}, 299_990, 299_993),
        ({"offset": -999_999_999}, 0, 300_000),
        ({"offset": 300_000}, 300_000, 300_000),
        ({"offset": 999_999_999}, 999_999_999, 300_000),
    ],
)
def test_any_part_of_a_log_is_read_byte_for_byte(
    api: Api, http: httpx.Client, attempt: str, base: str, query: dict[str, int], first: int, last: int
) -> None:
    whole = bytes(range(256)) * 1_171 + bytes(224)
    for start in range(0, len(whole), 60_000):
        write(api, attempt, whole[start : start + 60_000])
    assert len(whole) == 300_000
    response = http.get(f"{base}/train/log", params=query)
    assert response.content == whole[first:last]
    assert (response.headers["x-log-offset"], response.headers["x-log-size"]) == (str(first), "300000")
    assert response.headers["x-log-complete"] == "false"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("query", ["offset=x", "limit=0", "limit=-5", "offset=1e3", "offset=-99999999999999999999"])
def test_a_part_that_cannot_be_is_refused(http: httpx.Client, base: str, query: str) -> None:
    assert http.get(f"{base}/train/log?{query}").status_code == 400


def test_a_log_says_when_it_is_whole(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    report = FinishReport(reason="exited", exit_code=0, bytes=0, sha256="0" * 64)
    api.parts.attempts.finish(attempt, report, log_complete=True)
    assert http.get(f"{base}/train/log").headers["x-log-complete"] == "true"


def test_an_earlier_attempt_has_its_own_log(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    write(api, attempt, b"first")
    close_attempt(api.parts.store, attempt, "failed", exit_code=1)
    second = submit_attempt(api.parts.store, run=attempt.split("-")[0], number=2)
    write(api, second, b"second")
    assert http.get(f"{base}/train/log").content == b"second"
    assert http.get(f"{base}/train/log", params={"attempt": 1}).content == b"first"


def test_a_log_is_followed_to_the_end_of_its_attempt(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    write(api, attempt, b"one\n")
    with http.stream("GET", f"{base}/train/log/stream") as response:
        told = frames(response)
        frame = next(told)
        assert (frame.id, frame.event, frame.data) == ("4", "log", {"offset": 0, "text": "one\n"})
        write(api, attempt, b"two\n")
        frame = next(told)
        assert (frame.id, frame.data) == ("8", {"offset": 4, "text": "two\n"})
        close_attempt(api.parts.store, attempt, "failed", exit_code=3)
        frame = next(told)
        assert (frame.event, frame.data) == ("end", {"status": "failed", "exit_code": 3, "reason": "exited"})
        assert list(told) == []


def followed(http: httpx.Client, path: str, **options: object) -> Iterator[tuple[int, str]]:
    with http.stream("GET", path, **options) as response:  # type: ignore[arg-type]
        for frame in frames(response):
            if frame.event == "log":
                yield int(frame.id), frame.data["text"]


def test_a_character_is_never_cut_in_two(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    text = "ä漢𝄞" * 3
    with http.stream("GET", f"{base}/train/log/stream") as response:
        told, seen = frames(response), ""
        for byte in text.encode():
            write(api, attempt, bytes([byte]))
        while seen != text:
            frame = next(told)
            seen += frame.data["text"]
            assert int(frame.id) == len(seen.encode())
    assert "\ufffd" not in seen


def test_bytes_that_are_no_text_are_shown_as_such_and_end_with_the_attempt(
    api: Api, http: httpx.Client, attempt: str, base: str
) -> None:
    write(api, attempt, b"\xff\xfe\0\x1b[31m\r\n\n" + "é".encode()[:1])
    close_attempt(api.parts.store, attempt)
    text = "".join(piece for _, piece in followed(http, f"{base}/train/log/stream"))
    assert text == "\ufffd\ufffd\0\x1b[31m\r\n\n\ufffd"


def test_a_large_log_is_streamed_whole_and_resumed_anywhere(
    api: Api, http: httpx.Client, attempt: str, base: str
) -> None:
    whole = "".join(f"line {number} ü漢\n" for number in range(40_000)).encode()
    for start in range(0, len(whole), 100_000):
        write(api, attempt, whole[start : start + 100_000])
    close_attempt(api.parts.store, attempt)
    pieces = list(followed(http, f"{base}/train/log/stream"))
    assert "".join(text for _, text in pieces).encode() == whole
    middle = pieces[len(pieces) // 2][0]
    options = {"headers": {"Last-Event-ID": str(middle)}}
    assert "".join(text for _, text in followed(http, f"{base}/train/log/stream", **options)).encode() == whole[middle:]


def test_metrics_are_paged_and_filtered_by_name(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    values = tuple(Metric(name="loss" if n % 2 else "accuracy", value=n, step=n, time=1.0) for n in range(10))
    api.parts.attempts.observe(attempt, Observations(metrics=values))
    first = http.get(f"{base}/train/metrics", params={"limit": 6}).json()
    second = http.get(f"{base}/train/metrics", params={"start": first["next_start"], "limit": 6}).json()
    assert [item["step"] for item in first["items"] + second["items"]] == list(range(10))
    assert second["next_start"] is None
    losses = http.get(f"{base}/train/metrics", params={"name": "loss", "limit": 3}).json()
    assert [item["value"] for item in losses["items"]] == [1, 3, 5]
    rest = http.get(f"{base}/train/metrics", params={"name": "loss", "start": losses["next_start"]}).json()
    assert [item["value"] for item in rest["items"]] == [7, 9]


def test_a_metric_that_is_no_number_is_valid_json(api: Api, http: httpx.Client, attempt: str, base: str) -> None:
    api.parts.attempts.observe(attempt, Observations(metrics=(Metric(name="loss", value=float("nan"), time=1.0),)))
    text = http.get(f"{base}/train/metrics").text

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse)["items"][0]["value"] == "NaN"


def test_artifacts_are_the_outputs_of_the_last_success_and_what_was_handed_over(api: Api, http: httpx.Client) -> None:
    run = accept_run(api.parts.store)
    old, new = (api.parts.artifacts.put(data) for data in (b"old", b"new <script>"))
    for number, outcome, sha in ((1, "succeeded", old), (2, "succeeded", new), (3, "failed", old)):
        attempt = submit_attempt(api.parts.store, run=run, number=number)
        files = [FileRef(path="model/ü.html", sha256=sha, size=12)]
        close_attempt(api.parts.store, attempt, outcome, outputs=files)
    listed = http.get(f"/v1/runs/{run}/artifacts").json()["items"]
    assert listed == [{"path": "train/model/ü.html", "sha256": new, "size": 12, "step": "train"}]
    response = http.get(f"/v1/runs/{run}/artifacts/train/model/ü.html")
    assert response.content == b"new <script>"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.html"
    for path in ("train", "train/model", "train/model/x", "train/../x", new, "%00"):
        assert http.get(f"/v1/runs/{run}/artifacts/{path}").status_code == 404
