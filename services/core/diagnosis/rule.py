"""One row of the table of rules, and how rows are matched: phrases and types of exceptions point to a class.

Phrases are plain text, so that no log can make a pattern backtrack: lower case, `…` for a gap of up to 160 characters,
a leading `^` for the text's beginning, a leading `=` for the whole text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.core.taxonomy import Failure

LIBRARY = "@library"
"""Stands in the `site` of an exception that was raised in a library, not in the program's own files."""

_GAP = 160
_RUN = 4
_MAX_STARTS = 8
_MAX_TEXT = 6_000


@dataclass(frozen=True)
class Rule:
    """What points to `failure`, and how surely, from 0 to 1.

    It fits a text that has one of the `phrases` (any, if there are none), if the exception is of one of the `types` (of
    any, if there are none), one of `frames` stands in its stack and one of `site` where it was raised (whatever
    stands there, if there are none).

    `follows`: what it finds is most likely the consequence of something else, and counts where there is nothing else.
    `explains`: found on a line, it says what is behind an exception of these classes. `failure` is None for what looks
    like trouble and is none.
    """

    failure: Failure | None
    sure: float
    phrases: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    follows: bool = False
    explains: tuple[Failure, ...] = ()


def rule(
    failure: Failure | None,
    sure: float,
    *phrases: str,
    types: str = "",
    frames: Sequence[str] = (),
    site: Sequence[str] = (),
    follows: bool = False,
    explains: Sequence[Failure] = (),
) -> Rule:
    """A row, as the tables write it down; `types` are separated by blanks."""
    return Rule(failure, sure, phrases, tuple(types.split()), tuple(frames), tuple(site), follows, tuple(explains))


@dataclass(frozen=True)
class Words:
    """What is matched: an exception or a line. `type` is the exception's, without its module, '' for a line.

    `frames` is the text of its stack, `site` that of the frame that raised it and of the last one in the program's own
    files.
    """

    text: str
    type: str = ""
    frames: str = ""
    site: str = ""


class Rulebook:
    """Rows, and which of them may fit a text at all: each phrase is found by a run of letters that few have."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_type: dict[str, list[int]] = {}
        self._by_run: dict[str, list[tuple[int, str]]] = {}
        self._always = [at for at, row in enumerate(self.rules) if not row.phrases and not row.types]
        common = Counter(run for row in self.rules for phrase in row.phrases for run in _runs(_core(phrase)))
        for at, row in enumerate(self.rules):
            for name in row.types if not row.phrases else ():
                self._by_type.setdefault(name, []).append(at)
            for phrase in row.phrases:
                run = min(_runs(_core(phrase)), key=lambda run: (common[run], run))
                self._by_run.setdefault(run, []).append((at, phrase))

    def best(self, words: Words) -> Rule | None:
        """The surest row that fits; of equally sure ones the first."""
        text = " ".join(line.strip() for line in words.text[:_MAX_TEXT].lower().split("\n")).strip()
        frames, site = words.frames.lower(), words.site.lower()
        fitting = {*self._always, *self._by_type.get(words.type, ())}
        for run in self._by_run.keys() & _runs(text):
            fitting.update(at for at, phrase in self._by_run[run] if at not in fitting and has(text, phrase))
        ranked = sorted(fitting, key=lambda at: (-self.rules[at].sure, at))
        return next(
            (row for row in map(self.rules.__getitem__, ranked) if _stands(row, words.type, frames, site)), None
        )


def _stands(row: Rule, type_name: str, frames: str, site: str) -> bool:
    """Whether the row fits an exception, its phrases aside."""
    if row.types and type_name not in row.types:
        return False
    return all(
        not parts or any(has(text, part) for part in parts) for parts, text in ((row.frames, frames), (row.site, site))
    )


def _runs(text: str) -> set[str]:
    """Every run of letters of the text, or the whole of a shorter one."""
    return {text[at : at + _RUN] for at in range(max(1, len(text) - _RUN + 1))}


def _core(phrase: str) -> str:
    """The longest part of a phrase that has to stand in the text as it is."""
    return max(_parts(phrase)[1], key=len)


def has(text: str, phrase: str) -> bool:
    """Whether the lower-case `text` has the phrase."""
    if "…" not in phrase and phrase[0] not in "^=":
        return phrase in text
    kind, parts = _parts(phrase)
    if kind == "=":
        return text == parts[0]
    if kind == "^":
        return text.startswith(parts[0]) and _rest_follows(text, len(parts[0]), parts[1:])
    start = text.find(parts[0])
    for _ in range(_MAX_STARTS):
        if start < 0:
            return False
        if _rest_follows(text, start + len(parts[0]), parts[1:]):
            return True
        start = text.find(parts[0], start + 1)
    return False


@lru_cache(maxsize=4096)
def _parts(phrase: str) -> tuple[str, tuple[str, ...]]:
    kind = phrase[0] if phrase[0] in "^=" else ""
    parts = phrase[len(kind) :].split("…")
    last = len(parts) - 1
    return kind, tuple(
        part.removeprefix(" " * (at > 0)).removesuffix(" " * (at < last)) for at, part in enumerate(parts)
    )


def _rest_follows(text: str, end: int, parts: Sequence[str]) -> bool:
    for part in parts:
        at = text.find(part, end, end + _GAP + len(part))
        if at < 0:
            return False
        end = at + len(part)
    return True
