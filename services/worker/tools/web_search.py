"""`web_search`: addresses and titles of pages about something."""

from collections.abc import Iterator
from urllib.parse import parse_qs, quote_plus, urlsplit

from bs4 import BeautifulSoup
from pydantic import BaseModel, Field

from services.worker.tools.outside import ask, found
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError
from services.worker.web.addresses import Hosts
from services.worker.web.client import Wanted

_MOST = 20


class WebSearch(Parameters):
    query: str = Field(min_length=2, max_length=400, description="What to look for.")
    allowed_domains: tuple[str, ...] = Field(
        (), max_length=20, description="Only pages of these; *.name for all below."
    )
    blocked_domains: tuple[str, ...] = Field((), max_length=20, description="No pages of these.")
    limit: int = Field(8, ge=1, le=_MOST, description="Most pages to name.")


class Hit(BaseModel):
    """A page that was found."""

    title: str
    url: str
    snippet: str = ""


def _run(call: Call, wanted: WebSearch) -> Result:
    address = f"{call.desk.outside.places.search}/?q={quote_plus(wanted.query)}"
    answer = ask(call, Wanted(address, accept="text/html", fresh_seconds=900))
    hits = list(hits_of(answer.text()))
    if not hits and "result" not in answer.text():
        raise ToolError("the search engine sent a page without results; try again later, or other words")
    kept = [hit for hit in hits if _is_wanted(hit, wanted)][: wanted.limit]
    lines = [f"{number}. {hit.title}\n   {hit.url}\n   {hit.snippet}".rstrip() for number, hit in enumerate(kept, 1)]
    text = "\n".join(lines) or "nothing was found; use other words, or fewer"
    return found(call, text, f"a search for {wanted.query!r}", [hit.model_dump() for hit in kept], answer)


def hits_of(html: str) -> Iterator[Hit]:
    """What a page of DuckDuckGo without scripts names, each address once, no advertisements."""
    seen: set[str] = set()
    for result in BeautifulSoup(html, "lxml").select(".result"):
        link = result.select_one("a.result__a")
        if link is None or "result--ad" in result.get_attribute_list("class"):
            continue
        url = _target(str(link.get("href", "")))
        if not url or url in seen:
            continue
        seen.add(url)
        snippet = result.select_one(".result__snippet")
        yield Hit(
            title=" ".join(link.get_text(" ").split()),
            url=url,
            snippet=" ".join(snippet.get_text(" ").split()) if snippet else "",
        )


def _target(link: str) -> str:
    """The page that a link of the engine's own leads to; '' for none."""
    parts = urlsplit(link)
    inner = parse_qs(parts.query).get("uddg", [""])[0]
    url = inner or (f"https:{link}" if link.startswith("//") else link)
    return url if urlsplit(url).scheme in {"http", "https"} else ""


def _is_wanted(hit: Hit, wanted: WebSearch) -> bool:
    host = urlsplit(hit.url).hostname or ""
    if wanted.allowed_domains and not _is_of(host, wanted.allowed_domains):
        return False
    return not _is_of(host, wanted.blocked_domains)


def _is_of(host: str, domains: tuple[str, ...]) -> bool:
    """Whether the host is one of the domains, or below one."""
    names = [domain.removeprefix("*.") for domain in domains]
    return Hosts([*names, *(f"*.{name}" for name in names)]).allows(host)


TOOL = Tool(
    name="web_search",
    description="Search the web. Names pages with their addresses; web_fetch shows one.",
    parameters=WebSearch,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
