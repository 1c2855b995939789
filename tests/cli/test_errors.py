"""Errors: one line on stderr, nothing on stdout, the right exit code, never a traceback."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.api import ApiProcess, Story
from tests.cli.conftest import Cohort, Result
from tests.servers import free_port


def told(result: Result, code: int, *parts: str) -> None:
    """The one line that says what is wrong."""
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("cohort: ") and result.err.count("\n") == 1, result.err
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["submit"], ["the goal is empty"]),
        (["submit", "  \n "], ["the goal is empty"]),
        (["submit", "x", "--file", "no-such.yaml"], ["No such file", "no-such.yaml"]),
        (["submit", "x", "--limit", "turns"], ["--limit 'turns'", "KEY=VALUE"]),
        (["submit", "x", "--limit", "hours=3"], ["--limit hours", "turns, minutes, tokens, dollars, attempts"]),
        (["submit", "x", "--limit", "turns=many"], ["--limit turns", "valid integer"]),
        (["submit", "x", "--limit", "turns=0"], ["--limit turns", "greater than or equal to 1"]),
        (["submit", "x", "--label", "=v"], ["--label '=v'"]),
        (["submit", "x"], ["no API is known", "cohort up", "COHORT_URL"]),
        (["runs"], ["no API is known"]),
    ],
    ids=str,
)
def test_bad_usage_is_told_before_anything_is_sent(cohort: Cohort, arguments: list[str], parts: list[str]) -> None:
    told(cohort(*arguments), 2, *parts)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["show"],
        ["runs", "--limit", "-1"],
        ["runs", "--limit", "many"],
        ["events", "r1", "--after", "1.5"],
        ["submit", "x", "--follo"],
        ["keys"],
        ["keys", "create", "x", "--scope", "root"],
    ],
    ids=str,
)
def test_what_argparse_refuses_is_bad_usage_too(cohort: Cohort, arguments: list[str]) -> None:
    result = cohort(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["has to hold keys like"]),
        (b"just text", ["has to hold keys like"]),
        (b"goal: x\ngaol: y\n", ["'gaol'", "known are goal, model, limits, labels, inputs, deadline"]),
        (b"goal: x\nlimits: {hours: 3}\n", ["limits.hours", "turns, minutes"]),
        (b"goal: x\nlimits: {turns: -1}\n", ["limits.turns", "greater than or equal to 1"]),
        (b"goal: x\nresources: {gpu: 1}\n", ["resources.gpu", "gpus, gpu_memory"]),
        (b"goal: 7\n", ["goal", "valid string"]),
        (b"goal: x\nlabels: {a: [1]}\n", ["labels.a"]),
        (b"goal: x\ninputs: data\n", ["inputs", "valid list"]),
        (b"goal: x\ninputs: [no/such/file]\n", ["no/such/file", "no such file"]),
        (b"goal: ''\n", ["the goal is empty"]),
        (b"goal: [unclosed\n", ["is not YAML", "line 2"]),
        (b"[" * 5_000, ["is not YAML"]),
        (b"a: &a [x,x]\nb: &b [*a,*a]\ngoal: [*b,*b]\n", ["goal", "valid string"]),
        (b"goal: !!python/object/apply:os.system ['true']\n", ["is not YAML"]),
        (b"\x00\x01\x02", ["NUL byte"]),
        (b"\xff\xfe\x00", ["not text in UTF-8"]),
        (b"goal: " + b"x" * 300_000, ["larger than 256 KiB"]),
    ],
    ids=range(18),
)
def test_a_bad_goal_file_is_told_by_its_key(
    api: ApiProcess, cohort: Cohort, tmp_path: Path, content: bytes, parts: list[str]
) -> None:
    file = tmp_path / "goal.yaml"
    file.write_bytes(content)
    told(cohort("submit", "--file", str(file)), 2, *parts)


def test_a_goal_given_twice_is_refused(api: ApiProcess, cohort: Cohort, tmp_path: Path) -> None:
    file = tmp_path / "goal.yaml"
    file.write_text("goal: one\n")
    told(cohort("submit", "two", "--file", str(file)), 2, "given twice")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["x" * 20_001], ["goal"]),
        (["a\x07b"], ["goal"]),
        (["x", "--deadline", "yesterday"], ["deadline"]),
        (["x", "--deadline", "2001-01-01T00:00:00Z"], ["deadline"]),
        (["x", "--label", "Bad Key=v"], ["label"]),
        (["x", "--resource", "gpus=1"], ["resources.gpus", "it has no GPUs"]),
        (["x", "--resource", "gpus=0.5"], ["gpus"]),
        (["x", "--resource", "tpus=1"], ["tpus", "there are gpus, gpu_memory"]),
        (["x", "--resource", "memory=lots"], ["memory", "write it like"]),
        (["x", "--label", "k=" + "v" * 300], ["label"]),
        (["x", "--model", "m" * 2000], ["model"]),
        (["x", "--without-rule", "seeds"], ["--without-rule", "KEY=VALUE"]),
        (["x", "--without-rule", "naps=why not"], ["rules", "seeds"]),
        (["x", "--without-rule", "seeds="], ["rules", "seeds"]),
        (["x", "--cost-line", "-1"], ["cost_line_dollars"]),
        (["x", "--evaluation-data", "no.csv"], ["rules.evaluation_data", "no input file"]),
        (["x", "--fallback-model", "a b"], ["fallback_model"]),
        (["x", "--idempotency-key", "k" * 129], ["dempotency"]),
    ],
    ids=range(18),
)
def test_what_the_api_refuses_names_the_field(
    api: ApiProcess, cohort: Cohort, options: list[str], parts: list[str]
) -> None:
    told(cohort("submit", *options), 2, *parts)


def test_what_is_not_there_is_bad_usage(story: Story, cohort: Cohort) -> None:
    for arguments in (
        ["show", "rzzzzzzzzzzzz"],
        ["show", "../../etc/passwd"],
        ["show", "x" * 3000],
        ["events", "rzzzzzzzzzzzz"],
        ["events", "rzzzzzzzzzzzz", "-f"],
        ["logs", story.run, "no-such-step"],
        ["logs", story.run, "no-such-step", "-f"],
        ["message", "rzzzzzzzzzzzz", "hello"],
        ["message", story.run, " "],
        ["cancel", "rzzzzzzzzzzzz"],
        ["artifacts", "rzzzzzzzzzzzz"],
        ["workspace", "rzzzzzzzzzzzz", "get"],
        ["keys", "revoke", "000000000000"],
        ["runs", "--status", "happy"],
    ):
        told(cohort(*arguments), 2)


def test_a_key_without_a_hold_is_bad_usage(api: ApiProcess, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_KEY", "ck_000000000000_" + "0" * 40)
    told(cohort("runs"), 2, "key")
    monkeypatch.setenv("COHORT_KEY", "schlüssel")
    told(cohort("runs"), 2, "COHORT_KEY")
    monkeypatch.delenv("COHORT_KEY")
    told(cohort("runs"), 2, "set COHORT_KEY")


def test_an_unknown_setting_is_told_by_its_name(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_ULR", "http://127.0.0.1:1")
    told(cohort("runs"), 2, "COHORT_ULR")


def test_an_api_that_is_down_is_infrastructure(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("COHORT_URL", url)
    monkeypatch.setenv("COHORT_KEY", "k")
    told(cohort("runs"), 3, f"nothing listens at {url}", "cohort up")


@pytest.mark.parametrize("url", ["ftp://host", "http://[bad", "no address", "http://", "http://host:99999"])
def test_an_address_that_is_none_is_bad_usage(cohort: Cohort, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("COHORT_URL", url)
    monkeypatch.setenv("COHORT_KEY", "k")
    told(cohort("runs"), 2, "COHORT_URL")


class _Stranger(http.server.BaseHTTPRequestHandler):
    """Something that answers, and is not Cohort."""

    def do_GET(self) -> None:
        status, content_type, body = {
            "/v1/runs": (200, "text/html", b"<html>hello</html>"),
            "/v1/runs/list": (200, "application/json", b"[1]"),
            "/v1/runs/half": (200, "application/json", b'{"run": "half"}'),
            "/v1/runs/down": (503, "text/html", b"<html>\x1b[31mdown</html>"),
            "/v1/runs/busy": (429, "application/problem+json", b'{"title": "Too many", "what_to_do": "Wait"}'),
        }.get(self.path.partition("?")[0], (404, "text/plain", b"not here"))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("COHORT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("COHORT_KEY", "k")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["runs"], 3, ["not as Cohort's API"]),
        (["show", "list"], 3, ["not as Cohort's API"]),
        (["show", "half"], 3, ["a way this version does not know"]),
        (["show", "down"], 3, ["503", "COHORT_URL"]),
        (["show", "busy"], 6, ["Too many. Wait"]),
        (["show", "gone"], 2, ["404"]),
    ],
    ids=lambda value: str(value),
)
def test_whatever_answers_there_is_one_clear_line(
    stranger: None, cohort: Cohort, arguments: list[str], code: int, parts: list[str]
) -> None:
    result = cohort(*arguments)
    told(result, code, *parts)
    assert "\x1b" not in result.err


def test_a_damaged_client_file_is_told(cohort: Cohort, home: Path) -> None:
    home.mkdir()
    (home / "client.json").write_text("{")
    told(cohort("runs"), 2, "client.json", "damaged")
