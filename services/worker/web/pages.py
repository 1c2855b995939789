"""A page of the web as text: what it says, as Markdown, without what is around it. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import urljoin

from bs4 import BeautifulSoup
from bs4.element import Tag
from markdownify import MarkdownConverter

_AROUND = (
    "script",
    "style",
    "noscript",
    "template",
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "iframe",
    "svg",
    "button",
)
_MAIN = ("main", "article", "[role=main]", "#content", ".markdown-body")
_EMPTY_LINES = re.compile(r"\n\s*\n\s*\n+")
# A main part with less than this share of the page's words is a teaser of something else.
_MAIN_SHARE = 0.3


@dataclass(frozen=True)
class Page:
    """What a page says. Links in `text` are whole addresses."""

    title: str
    text: str


def page_of(html: str, url: str) -> Page:
    """The page at `url`. Whatever comes is read as a browser would, so nothing is raised for broken HTML."""
    soup = BeautifulSoup(html, "lxml")
    title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    body = soup.body or soup
    for around in body.find_all(_AROUND):
        around.decompose()
    for link in body.find_all("a", href=True):
        link["href"] = _whole(url, str(link["href"]))
    return Page(title, markdown(_main(body)))


def markdown(part: Tag) -> str:
    """A part of a page as Markdown, without pictures."""
    converter = MarkdownConverter(heading_style="ATX", strip=["img"], escape_misc=False, escape_underscores=False)
    return _EMPTY_LINES.sub("\n\n", str(converter.convert_soup(part))).strip()


def _main(body: Tag) -> Tag:
    whole = len(body.get_text())
    for selector in _MAIN:
        found = body.select(selector)
        if len(found) == 1 and len(found[0].get_text()) >= _MAIN_SHARE * whole:
            return found[0]
    return body


def _whole(url: str, link: str) -> str:
    try:
        return urljoin(url, link)
    except ValueError:
        return link
