"""`github_list_repos`: the repositories of an owner on GitHub."""

from typing import Literal

from pydantic import Field

from services.worker.tools.outside import ask, found
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool
from services.worker.web import github
from services.worker.web.github import Repository

_SORTS = {"updated": "pushed", "created": "created"}


class GithubListRepos(Parameters):
    owner: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}$", description="An organization or a user.")
    owner_type: Literal["org", "user"] = Field("org", description="Which of both.")
    sort: Literal["stars", "forks", "updated", "created"] = Field("stars", description="By what.")
    order: Literal["asc", "desc"] = Field("desc", description="In which order.")
    limit: int = Field(30, ge=1, le=100, description="Most repositories to name.")


def _run(call: Call, wanted: GithubListRepos) -> Result:
    base = call.desk.outside.places.github
    if wanted.sort in _SORTS:
        kind = "orgs" if wanted.owner_type == "org" else "users"
        asked = github.repositories(base, wanted.owner, kind, _SORTS[wanted.sort], wanted.order, 1)
    else:
        asked = github.found(base, wanted.owner, wanted.order, github.PAGE if wanted.sort == "forks" else wanted.limit)
    answer = ask(call, asked)
    repos = github.read_repositories(answer.json())
    if wanted.sort == "forks":
        repos.sort(key=lambda repo: repo.forks_count, reverse=wanted.order == "desc")
    repos = repos[: wanted.limit]
    text = "\n".join(map(_line, repos)) or f"{wanted.owner} has no public repository"
    return found(call, text, f"github.com/{wanted.owner}", [_row(repo) for repo in repos], answer)


def _line(repo: Repository) -> str:
    facts = [f"{repo.stargazers_count} stars", f"{repo.forks_count} forks", repo.language or "", repo.licence]
    facts += [f"pushed {repo.pushed_at[:10]}" if repo.pushed_at else "", "archived" if repo.archived else ""]
    about = f": {' '.join(repo.description.split())}" if repo.description else ""
    return f"{repo.full_name} ({', '.join(filter(None, facts))}){about}"


def _row(repo: Repository) -> dict[str, object]:
    row = repo.model_dump(exclude={"license"})
    return {**row, "licence": repo.licence}


TOOL = Tool(
    name="github_list_repos",
    description="List the repositories of an organization or user on GitHub, with stars, language and licence.",
    parameters=GithubListRepos,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
