"""What GitHub's REST API is asked for, and what it answers (version 2022-11-28)."""

import base64
import binascii
import json
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from services.worker.web.client import Wanted
from services.worker.web.failures import NotThere, Odd

_HEADERS = {"X-GitHub-Api-Version": "2022-11-28"}
_JSON = "application/vnd.github+json"
_MOST_BYTES = 16 * 2**20
PAGE = 100

T = TypeVar("T", bound=BaseModel)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Repository(_Told):
    """A repository. `pushed_at` is when it was last pushed to."""

    full_name: str
    description: str | None = None
    stargazers_count: int = 0
    forks_count: int = 0
    language: str | None = None
    default_branch: str = "main"
    archived: bool = False
    pushed_at: str | None = None
    html_url: str = ""
    license: dict[str, Any] | None = None

    @property
    def licence(self) -> str:
        """Its SPDX id, '' where GitHub knows none."""
        spdx = str((self.license or {}).get("spdx_id") or "")
        return "" if spdx == "NOASSERTION" else spdx


class Entry(_Told):
    """A file of a repository's tree."""

    path: str
    type: str
    size: int = 0


def repository(base: str, owner: str, name: str) -> Wanted:
    """The repository itself."""
    return _asked(f"{base}/repos/{quote(owner, safe='')}/{quote(name, safe='')}")


def repositories(base: str, owner: str, kind: str, sort: str, order: str, page: int) -> Wanted:
    """A page of an owner's repositories; `kind` is orgs or users. It cannot sort by stars: see `found`."""
    return _asked(
        f"{base}/{kind}/{quote(owner, safe='')}/repos?sort={sort}&direction={order}&per_page={PAGE}&page={page}"
    )


def found(base: str, owner: str, order: str, limit: int) -> Wanted:
    """An owner's repositories by their stars, by way of the search."""
    return _asked(
        f"{base}/search/repositories?q=user:{quote(owner, safe='')}&sort=stars&order={order}&per_page={limit}"
    )


def tree(base: str, repo: Repository, ref: str) -> Wanted:
    """All files of the repository at a branch, tag or commit."""
    return _asked(f"{base}/repos/{repo.full_name}/git/trees/{quote(ref, safe='')}?recursive=1")


def contents(base: str, repo: str, path: str, ref: str) -> Wanted:
    """A file."""
    at = f"?ref={quote(ref, safe='')}" if ref else ""
    return _asked(f"{base}/repos/{quote(repo)}/contents/{quote(path)}{at}")


def read_repository(value: Any) -> Repository:
    """An answer to `repository`. Raises `Odd`."""
    return _of(Repository, value)


def read_repositories(value: Any) -> list[Repository]:
    """An answer to `repositories` or to `found`. Raises `Odd`."""
    rows = value.get("items") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise Odd("GitHub was to answer with a list of repositories and did not")
    return [_of(Repository, row) for row in rows]


def read_tree(value: Any) -> tuple[list[Entry], bool]:
    """An answer to `tree`: its files, and whether GitHub left some out. Raises `Odd`."""
    if not isinstance(value, dict) or not isinstance(value.get("tree"), list):
        raise Odd("GitHub was to answer with a tree of files and did not")
    entries = [_of(Entry, row) for row in value["tree"]]
    return [entry for entry in entries if entry.type == "blob"], bool(value.get("truncated"))


def read_contents(value: Any, path: str) -> bytes:
    """An answer to `contents`. Raises `NotThere` for what is no file, `Odd`."""
    if isinstance(value, list):
        names = ", ".join(str(row.get("name")) for row in value[:40] if isinstance(row, dict))
        raise NotThere(f"{path or 'the root'} is a directory; it holds: {names}")
    if not isinstance(value, dict) or value.get("type") != "file":
        raise NotThere(f"{path} is no file")
    if value.get("encoding") != "base64":
        raise Odd(f"{path} is larger than GitHub shows by this way ({value.get('size')} bytes)")
    try:
        return base64.b64decode(value["content"])
    except (binascii.Error, KeyError, TypeError) as error:
        raise Odd(f"GitHub sent {path} in a form that is none") from error


def notebook(data: bytes) -> str:
    """A Jupyter notebook's cells as Markdown, without what they printed. Raises `Odd` where it is none."""
    try:
        cells = json.loads(data)["cells"]
        parts = [_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        raise Odd("this is no notebook") from error
    return "\n\n".join(part for part in parts if part)


def _cell(kind: str, source: str) -> str:
    return f"```python\n{source}\n```" if kind == "code" and source.strip() else source


def _asked(url: str) -> Wanted:
    return Wanted(url, accept=_JSON, headers=_HEADERS, max_bytes=_MOST_BYTES, fresh_seconds=900)


def _of(kind: type[T], value: Any) -> T:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise Odd(f"GitHub sent a {kind.__name__.lower()} that is none") from error
