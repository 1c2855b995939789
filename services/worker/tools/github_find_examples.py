"""`github_find_examples`: the files of a repository that show how it is used."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import Field

from services.worker.tools.outside import ask, found
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool
from services.worker.web import github
from services.worker.web.failures import NotThere
from services.worker.web.github import Entry, Repository

_CODE = (".py", ".ipynb", ".sh", ".yaml", ".yml", ".md", ".toml", ".json", ".rs", ".ts", ".js", ".cpp", ".cu")
# What a directory or a file is named that shows how something is used, the surest first.
_NAMES = (
    ("examples", 100),
    ("example", 100),
    ("cookbook", 95),
    ("recipes", 95),
    ("tutorials", 95),
    ("tutorial", 95),
    ("notebooks", 90),
    ("notebook", 90),
    ("quickstart", 90),
    ("getting_started", 90),
    ("scripts", 85),
    ("demos", 85),
    ("demo", 85),
    ("samples", 85),
    ("sample", 85),
    ("guides", 80),
    ("training", 75),
    ("finetune", 75),
    ("finetuning", 75),
    ("inference", 70),
    ("evaluation", 70),
    ("benchmarks", 65),
    ("docs", 60),
)
_WORD = re.compile(r"[a-z0-9]+")
_KEYWORD_SCORE = 40
_DEPTH_COST = 2


class GithubFindExamples(Parameters):
    repo: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="The repository's name, without its owner.")
    org: str = Field("huggingface", pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}$", description="Its owner.")
    keyword: str = Field("", max_length=100, description="What the example is to be about, as grpo or lora.")
    max_results: int = Field(50, ge=1, le=200, description="Most files to name.")
    min_score: int = Field(60, ge=0, le=100, description="How sure it has to be that a file is an example, to 100.")


def _run(call: Call, wanted: GithubFindExamples) -> Result:
    base = call.desk.outside.places.github
    try:
        repo = github.read_repository(ask(call, github.repository(base, wanted.org, wanted.repo)).json())
    except NotThere as error:
        raise NotThere(f"{wanted.org} has no repository {wanted.repo}{_alike(call, wanted)}") from error
    answer = ask(call, github.tree(base, repo, repo.default_branch))
    entries, is_cut = github.read_tree(answer.json())
    scored = ranked(entries, wanted.keyword, wanted.min_score)
    rows = scored[: wanted.max_results]
    text = "\n".join(f"{score:3} {entry.path} ({entry.size} bytes)" for score, entry in rows)
    more = (
        f"\n[{len(scored) - len(rows)} more; ask with a keyword, or a higher min_score]"
        if len(scored) > len(rows)
        else ""
    )
    cut = "\n[GitHub left files out of this tree: it is very large]" if is_cut else ""
    nothing = f"no file of {repo.full_name} looks like an example{f' of {wanted.keyword}' if wanted.keyword else ''}"
    data = [{"path": entry.path, "score": score, "size": entry.size} for score, entry in rows]
    return found(call, (text or nothing) + more + cut, f"github.com/{repo.full_name}", data, answer)


def ranked(entries: Sequence[Entry], keyword: str, min_score: int) -> list[tuple[int, Entry]]:
    """The files that show how something is used, with how sure that is, the surest first."""
    scored = [(score_of(entry.path, keyword), entry) for entry in entries if entry.path.lower().endswith(_CODE)]
    return sorted([row for row in scored if row[0] >= min_score], key=lambda row: (-row[0], row[1].path))


def score_of(path: str, keyword: str) -> int:
    """How sure it is that the file is an example of `keyword`: 0 to 100."""
    parts = path.lower().split("/")
    words = {word for part in parts for word in (part, *_WORD.findall(part))}
    place = max((score for name, score in _NAMES if name in words), default=0)
    if keyword:
        wanted = _WORD.findall(keyword.lower())
        hits = sum(word in path.lower() for word in wanted)
        if not hits:
            return 0
        place = place * (100 - _KEYWORD_SCORE) // 100 + _KEYWORD_SCORE * hits // len(wanted)
    return max(0, place - _DEPTH_COST * (len(parts) - 1))


def _alike(call: Call, wanted: GithubFindExamples) -> str:
    """The owner's repositories that are named nearly so."""
    base = call.desk.outside.places.github
    repos: list[Repository] = github.read_repositories(
        ask(call, github.found(base, wanted.org, "desc", github.PAGE)).json()
    )
    names = {repo.full_name.partition("/")[2]: repo.full_name for repo in repos}
    near = get_close_matches(wanted.repo, names, 5, 0.5)
    return f"; it has {', '.join(near)}" if near else ""


TOOL = Tool(
    name="github_find_examples",
    description="Find the files of a repository on GitHub that show how it is used: examples, scripts, notebooks.",
    parameters=GithubFindExamples,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
