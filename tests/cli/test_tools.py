"""`cohort tools`: what the agent has, for people to look at and to try, without a server."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.worker.tools import TOOLS
from tests.worker.web.server import Told, WebServer


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with WebServer(lambda asked: Told(body=b'{"items": [{"full_name": "acme/x"}]}')) as server:
        monkeypatch.setenv("COHORT_HOME", str(tmp_path))
        monkeypatch.setenv("COHORT_GITHUB_URL", server.url)
        yield server


def test_every_tool_is_listed_with_what_it_may_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["items"]}
    assert rows.keys() == TOOLS.keys()
    assert (rows["web_fetch"]["effects"], rows["web_fetch"]["needs_run"]) == (["reads"], False)
    assert (rows["submit_step"]["effects"], rows["submit_step"]["needs_run"]) == (["spends"], True)
    assert {row["source"] for row in rows.values()} == {"cohort"}
    assert rows["web_fetch"]["parameters"]["properties"]["url"]["description"]
    assert main(["tools", "list"]) == 0
    assert "web_search             cohort     reads\n" in capsys.readouterr().out


def test_a_person_uses_a_tool_as_the_agent_does(page: WebServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "run", "github_list_repos", '{"owner": "acme"}']) == 0
    assert "acme/x" in capsys.readouterr().out
    assert main(["tools", "run", "github_list_repos", '{"owner": "acme"}', "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["success"] and answer["data"][0]["full_name"] == "acme/x"
    # The second time from the disk.
    assert len(page.asked) == 1


def test_arguments_may_come_through_a_pipe(
    page: WebServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"owner": "acme"}'))
    assert main(["tools", "run", "github_list_repos", "-"]) == 0
    assert "acme/x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "there is no tool 'nothing'; those that need no run are: "),
        (["bash", '{"command": "ls"}'], "bash works on a run, which an agent has"),
        (["github_list_repos", "{"], "the arguments are no JSON"),
        (["github_list_repos"], "owner: Field required; nothing was done"),
        (["github_list_repos", '{"owner": "acme", "sorted": 1}'], "sorted: Extra inputs"),
        (["web_fetch", '{"url": "http://localhost/"}'], "not on the internet"),
    ],
)
@pytest.mark.usefixtures("page")
def test_what_cannot_be_used_says_why(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tools", "run", *arguments]) != 0
    assert says in capsys.readouterr().err
