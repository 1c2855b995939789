"""`web_fetch`: a page of the web as text."""

import json

from pydantic import Field

from services.worker.tools.outside import ask, found
from services.worker.tools.tool import Call, Effect, Parameters, Replay, Result, Tool, ToolError
from services.worker.web.client import Answer, Wanted
from services.worker.web.pages import page_of

_MOST_BYTES = 16 * 2**20
_TEXT = (
    "text/",
    "application/json",
    "application/xml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
)


class WebFetch(Parameters):
    url: str = Field(min_length=8, max_length=2_000, description="The page's whole address, http or https.")


def _run(call: Call, wanted: WebFetch) -> Result:
    accept = "text/html, text/*;q=0.9, application/json;q=0.8, */*;q=0.1"
    answer = ask(call, Wanted(wanted.url, accept=accept, max_bytes=_MOST_BYTES, fresh_seconds=3600))
    title, text = _told(answer)
    return found(call, text, answer.url, {"url": answer.url, "title": title, "text": text}, answer)


def _told(answer: Answer) -> tuple[str, str]:
    kind = answer.content_type.partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml", ""}:
        page = page_of(answer.text(), answer.url)
        return page.title, f"# {page.title}\n\n{page.text}" if page.title else page.text
    if kind == "application/json" or kind.endswith("+json"):
        return "", json.dumps(answer.json(), indent=1, ensure_ascii=False)
    if kind == "application/pdf" or answer.body[:5] == b"%PDF-":
        raise ToolError(f"{answer.url} is a PDF of {len(answer.body)} bytes; a tool for papers reads those")
    if kind.startswith(_TEXT):
        return "", answer.text()
    raise ToolError(f"{answer.url} is {kind}, {len(answer.body)} bytes; only text can be read here")


TOOL = Tool(
    name="web_fetch",
    description="Fetch a page of the web and show it as text (Markdown). Only what anybody could fetch.",
    parameters=WebFetch,
    run=_run,
    replay=Replay.PURE,
    effects=frozenset({Effect.READS}),
    is_parallel=True,
    is_of_a_run=False,
)
