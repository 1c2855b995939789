"""The tools for GitHub, against a server that answers as its documentation says (REST API, 2022-11-28)."""

import base64
import json
from collections.abc import Iterator

import pytest

from services.worker.tools.github_find_examples import score_of
from services.worker.tools.tool import ToolError
from services.worker.web.failures import Busy, NotThere, Odd
from tests.worker.bench import Bench
from tests.worker.tools.test_step_logs import evidence
from tests.worker.web.server import Asked, Told, WebServer

REPO = {
    "id": 1,
    "full_name": "huggingface/trl",
    "description": "Train transformer\nlanguage models",
    "stargazers_count": 15_000,
    "forks_count": 2_000,
    "language": "Python",
    "default_branch": "main",
    "archived": False,
    "pushed_at": "2026-01-02T03:04:05Z",
    "html_url": "https://github.com/huggingface/trl",
    "license": {"key": "apache-2.0", "spdx_id": "Apache-2.0"},
}
SMALL = {**REPO, "full_name": "huggingface/small", "forks_count": 9_000, "license": None, "archived": True}
TREE = [
    {"path": "examples/scripts/grpo_agent.py", "mode": "100644", "type": "blob", "sha": "a", "size": 4_000},
    {"path": "examples", "mode": "040000", "type": "tree", "sha": "b"},
    {"path": "trl/trainer/grpo_trainer.py", "mode": "100644", "type": "blob", "sha": "c", "size": 90_000},
    {"path": "docs/source/sft.md", "mode": "100644", "type": "blob", "sha": "d", "size": 10},
    {"path": "examples/picture.png", "mode": "100644", "type": "blob", "sha": "e", "size": 10},
    {"path": "setup.py", "mode": "100644", "type": "blob", "sha": "f", "size": 10},
]
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Title\n", "text"], "metadata": {}},
        {"cell_type": "code", "source": ["print(1)"], "outputs": [{"text": "A SECRET OUTPUT"}], "metadata": {}},
    ],
    "nbformat": 4,
}


def contents(data: bytes) -> Told:
    body = {"type": "file", "encoding": "base64", "size": len(data), "content": base64.encodebytes(data).decode()}
    return Told(body=json.dumps(body).encode())


class GitHub:
    """What the server answers, by path."""

    def __init__(self) -> None:
        self.answers: dict[str, Told] = {
            "/repos/huggingface/trl": Told(body=json.dumps(REPO).encode()),
            "/repos/huggingface/trl/git/trees/main": Told(body=json.dumps({"tree": TREE, "truncated": False}).encode()),
            "/search/repositories": Told(body=json.dumps({"total_count": 2, "items": [REPO, SMALL]}).encode()),
            "/orgs/huggingface/repos": Told(body=json.dumps([SMALL, REPO]).encode()),
            "/repos/huggingface/trl/contents/a.py": contents(b"\n".join(b"line %d" % n for n in range(1, 501))),
            "/repos/huggingface/trl/contents/a.ipynb": contents(json.dumps(NOTEBOOK).encode()),
            "/repos/huggingface/trl/contents/a.bin": contents(b"\0\1"),
            "/repos/huggingface/trl/contents/trl": Told(body=b'[{"name": "trainer", "type": "dir"}]'),
        }

    def __call__(self, asked: Asked) -> Told:
        return self.answers.get(asked.path.partition("?")[0], Told(404, b'{"message": "Not Found"}'))


@pytest.fixture
def answers() -> GitHub:
    return GitHub()


@pytest.fixture
def github(bench: Bench, answers: GitHub) -> Iterator[WebServer]:
    with WebServer(answers) as server:
        bench.look_outside(server, github=server.url)
        yield server


@pytest.mark.usefixtures("github")
def test_a_file_is_shown_by_lines_and_says_how_to_go_on(bench: Bench) -> None:
    result = bench.use("github_read_file", repo="huggingface/trl", path="a.py")
    shown = evidence(result.text).splitlines()
    assert (shown[0], shown[299]) == ("1\tline 1", "300\tline 300")
    assert shown[300:] == ["[200 more lines; go on with line_start=301]"]
    assert result.text.startswith("from github.com/huggingface/trl/a.py\n")
    ranged = bench.use("github_read_file", repo="huggingface/trl", path="a.py", line_start=499, line_end=900)
    assert evidence(ranged.text) == "499\tline 499\n500\tline 500"


def test_a_branch_is_asked_for_as_it_is_named(bench: Bench, github: WebServer) -> None:
    bench.use("github_read_file", repo="huggingface/trl", path="a.py", ref="feature/x#1")
    assert github.asked[-1].path == "/repos/huggingface/trl/contents/a.py?ref=feature%2Fx%231"
    assert github.asked[-1].headers["x-github-api-version"] == "2022-11-28"


@pytest.mark.usefixtures("github")
def test_a_notebook_is_its_cells_without_what_they_printed(bench: Bench) -> None:
    text = evidence(bench.use("github_read_file", repo="huggingface/trl", path="a.ipynb").text)
    assert "# Title" in text and "print(1)" in text and "SECRET" not in text


@pytest.mark.usefixtures("github")
@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"path": "none.py"}, NotThere, "Not Found"),
        ({"path": "trl"}, NotThere, "is a directory; it holds: trainer"),
        ({"path": "a.bin"}, ToolError, "binary"),
        ({"path": "a.py", "line_start": 501}, ToolError, "has 500 lines"),
        ({"path": "a.py", "line_start": 9, "line_end": 3}, ToolError, "before line_start"),
    ],
)
def test_what_cannot_be_shown_says_why(bench: Bench, arguments: dict[str, object], kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        bench.use("github_read_file", repo="huggingface/trl", **arguments)


@pytest.mark.usefixtures("github")
def test_repositories_are_listed_with_what_decides_between_them(bench: Bench) -> None:
    lines = evidence(bench.use("github_list_repos", owner="huggingface").text).splitlines()
    assert lines[0] == (
        "huggingface/trl (15000 stars, 2000 forks, Python, Apache-2.0, pushed 2026-01-02): "
        "Train transformer language models"
    )
    assert "archived" in lines[1] and "Apache" not in lines[1]
    by_forks = bench.use("github_list_repos", owner="huggingface", sort="forks", limit=1)
    assert [row["full_name"] for row in by_forks.data] == ["huggingface/small"]
    assert by_forks.data[0]["licence"] == ""


def test_the_newest_are_asked_of_the_owner(bench: Bench, github: WebServer) -> None:
    result = bench.use("github_list_repos", owner="huggingface", sort="updated", order="asc")
    assert github.asked[-1].path == "/orgs/huggingface/repos?sort=pushed&direction=asc&per_page=100&page=1"
    assert [row["full_name"] for row in result.data] == ["huggingface/small", "huggingface/trl"]


@pytest.mark.usefixtures("github")
def test_examples_are_found_by_where_they_lie_and_by_what_they_are_about(bench: Bench) -> None:
    everything = bench.use("github_find_examples", repo="trl")
    assert [row["path"] for row in everything.data] == ["examples/scripts/grpo_agent.py"]
    about = bench.use("github_find_examples", repo="trl", keyword="grpo", min_score=30)
    assert [row["path"] for row in about.data] == ["examples/scripts/grpo_agent.py", "trl/trainer/grpo_trainer.py"]
    nothing = bench.use("github_find_examples", repo="trl", keyword="vision")
    assert "no file of huggingface/trl looks like an example of vision" in nothing.text


def test_a_tree_that_github_cut_is_said_to_be_cut(bench: Bench, github: WebServer, answers: GitHub) -> None:
    body = json.dumps({"tree": TREE, "truncated": True}).encode()
    answers.answers["/repos/huggingface/trl/git/trees/main"] = Told(body=body)
    assert "left files out" in bench.use("github_find_examples", repo="trl").text


@pytest.mark.usefixtures("github")
def test_a_repository_that_is_not_there_is_answered_with_those_alike(bench: Bench) -> None:
    with pytest.raises(NotThere, match="huggingface has no repository tlr; it has trl"):
        bench.use("github_find_examples", repo="tlr")


@pytest.mark.parametrize(
    ("told", "kind", "says"),
    [
        (
            Told(403, b'{"message": "API rate limit exceeded"}', {"X-RateLimit-Remaining": "0"}),
            Busy,
            "too many requests",
        ),
        (Told(body=b"<html>", content_type="text/html"), Odd, "text/html"),
        (Told(body=b"[1]"), Odd, "a repository that is none"),
        (Told(body=b'{"message": "x"}'), Odd, "list of repositories"),
    ],
)
def test_an_answer_that_is_none_is_said_to_be(
    bench: Bench, github: WebServer, answers: GitHub, told: Told, kind: type, says: str
) -> None:
    answers.answers["/search/repositories"] = told
    with pytest.raises(kind, match=says):
        bench.use("github_list_repos", owner="huggingface")


@pytest.mark.parametrize(
    ("path", "keyword", "score"),
    [
        ("examples/train.py", "", 98),
        ("a/b/c/examples/train.py", "", 92),
        ("src/lib.py", "", 0),
        ("examples/lora.py", "lora", 98),
        ("src/lora.py", "lora", 38),
        ("examples/x.py", "lora", 0),
        ("examples/lora_dpo.py", "lora sft", 78),
    ],
)
def test_the_score_of_a_path(path: str, keyword: str, score: int) -> None:
    assert score_of(path, keyword) == score
