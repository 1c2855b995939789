"""The text of the program that a step runs: the files of the workspace that its command names, and what they import.

Reads snapshots; what is made of the text is the rules' business.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from services.core.errors import CohortError
from services.core.workspace import Entry, Workspace
from services.worker.rules.commands import scripts_of, words_of

_MOST_FILES = 100
_MOST_BYTES = 512 * 1024
_MOST_SHELL_CHARS = 20_000
_CODE = (".py", ".sh", ".bash", ".ipynb", ".r", ".jl")
_TEXT = (*_CODE, ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".conf")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+([^\n#]+)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
# What a program may load that its text does not name.
_DYNAMIC = re.compile(r"\b(importlib|runpy|__import__|exec|subprocess|hydra|os\.system)\b")


@dataclass(frozen=True)
class Program:
    """`files` are the files of the program, `main` those that the command names, `others` what it may load besides.

    Contents are text by path. No `files`: nothing is known of it.
    """

    scripts: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """All of it, as one text."""
        return "\n".join([*self.files.values(), *self.others.values()])


def read_program(workspace: Workspace, snapshot: str, command: str) -> Program:
    """The program that `command` runs on the files of `snapshot`."""
    entries = {entry.path: entry for entry in workspace.list(snapshot)}
    scripts = scripts_of(command)
    reader = _Reader(workspace, snapshot, entries)
    main = [path for name in dict.fromkeys([*scripts, *words_of(command)]) for path in _named(name, entries)]
    files = reader.closure(main)
    is_open = any(_DYNAMIC.search(text) for text in files.values())
    more = [path for path in entries if path.endswith(_TEXT) and path not in files] if is_open else []
    more.sort(key=lambda path: not path.endswith(_CODE))
    return Program(scripts, tuple(main), files, reader.texts(more))


def _named(name: str, entries: Mapping[str, Entry]) -> list[str]:
    """The files that a word of a command may mean."""
    name = name.removeprefix("./")
    if not name.lower().endswith(_TEXT):
        parts = name.replace(".", "/")
        return [path for path in (f"{parts}.py", f"{parts}/__main__.py") if path in entries] if "=" not in name else []
    name = name.rpartition("=")[2]
    if name in entries:
        return [name]
    return [path for path in entries if path.endswith(f"/{name}")]


@dataclass(frozen=True)
class _Reader:
    workspace: Workspace
    snapshot: str
    entries: Mapping[str, Entry]

    def closure(self, main: Sequence[str]) -> dict[str, str]:
        """The files, and what they import or call of the workspace's own."""
        found: dict[str, str] = {}
        waiting = list(dict.fromkeys(main))
        while waiting and len(found) < _MOST_FILES:
            path = waiting.pop(0)
            if path in found:
                continue
            found |= self.texts([path])
            waiting += [one for one in _mentioned(path, found.get(path, ""), self.entries) if one not in found]
        return found

    def texts(self, paths: Sequence[str]) -> dict[str, str]:
        """Their contents; a file that is huge or gone is left out."""
        found = {}
        for path in paths[:_MOST_FILES]:
            if self.entries[path].size > _MOST_BYTES:
                continue
            try:
                found[path] = self.workspace.read(self.snapshot, path).decode(errors="replace")
            except CohortError:
                continue
        return found


def _mentioned(path: str, text: str, entries: Mapping[str, Entry]) -> Iterator[str]:
    if not path.endswith((".py", ".ipynb")):
        text = text[:_MOST_SHELL_CHARS]
        words = [word for word in words_of(text) if word.endswith(_CODE)]
        yield from (one for word in [*scripts_of(text), *words] for one in _named(word, entries))
        return
    folder = PurePosixPath(path).parent
    for origin, names, plain in _IMPORT.findall(text):
        modules = [part.split(" as ")[0].strip() for part in plain.split(",")] if plain else [origin]
        members = [part.split(" as ")[0].strip(" ()\\\t") for part in names.split(",")[:200]]
        for module in modules:
            yield from _files_of(module, members, folder, entries)


def _files_of(
    module: str, members: Sequence[str], folder: PurePosixPath, entries: Mapping[str, Entry]
) -> Iterator[str]:
    """The files that an import may read, from beside the importing file, from the root, and from `src`."""
    dots = len(module) - len(module.lstrip("."))
    inner = module.lstrip(".").replace(".", "/")
    roots = [folder.joinpath(*[".."] * (dots - 1))] if dots else [folder, PurePosixPath("."), PurePosixPath("src")]
    for root in roots:
        for target in [inner, *(f"{inner}/{member}" for member in members if member)]:
            for suffix in (".py", "/__init__.py"):
                found = _normal(root / f"{target.strip('/')}{suffix}")
                if found in entries:
                    yield found


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in {".", ".."}:
            parts.append(part)
    return "/".join(parts)
