"""Which names a file in a workspace or an artifact may have, and how much a workspace may hold. Pure.

Names are shown to people and models, packed into archives and joined to directories on real machines, so whatever
could escape a directory, hide in a terminal or fail on a common file system is refused once, here.
"""

import unicodedata
from dataclasses import dataclass

from services.core.errors import BadRequest

# Unicode's explicit directional controls: they make `exe.txt` out of `txt.exe` on a screen.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Limits:
    """What one workspace may hold. Lengths are in bytes of UTF-8, `total_bytes` counts unpacked contents."""

    files: int = 10_000
    total_bytes: int = 512 << 20
    component_bytes: int = 255
    path_bytes: int = 1024
    depth: int = 32


DEFAULT_LIMITS = Limits()


class BadPath(BadRequest):
    """A path that breaks a rule. The message names the rule and what to do instead."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path[:200]!a}: {problem}", field="path")


def clean_path(path: str, limits: Limits = DEFAULT_LIMITS) -> str:
    """The one spelling of a relative path: `./a//b/` becomes `a/b`. Raises `BadPath`."""
    if path.startswith("/"):
        raise BadPath(path, "the path is absolute; give it relative to the workspace, without the leading '/'")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise BadPath(path, "the path names no file; give one like 'src/train.py'")
    if len(parts) > limits.depth:
        raise BadPath(path, f"the path is {len(parts)} levels deep; use at most {limits.depth}")
    for part in parts:
        problem = name_problem(part, limits)
        if problem:
            raise BadPath(path, problem)
    clean = "/".join(parts)
    if len(clean.encode()) > limits.path_bytes:
        raise BadPath(path, f"the path is longer than {limits.path_bytes} bytes; shorten it")
    return clean


def name_problem(name: str, limits: Limits = DEFAULT_LIMITS) -> str | None:
    """What is wrong with one component of a path, in words, or None."""
    if name in ("", ".", ".."):
        return f"{name!r} is not allowed in a path; name the file from the top of the workspace"
    if "/" in name:
        return "a name contains '/'; give the directory and the name apart"
    if not name.isascii() and any(unicodedata.category(char) == "Cs" for char in name):
        return "a name is not UTF-8; rename the file"
    if any(_is_hidden_control(char) for char in name):
        return "a name contains a control character; remove it"
    if len(name.encode()) > limits.component_bytes:
        return f"a name is longer than {limits.component_bytes} bytes; shorten it"
    return None


def _is_hidden_control(char: str) -> bool:
    return char < " " or "\x7f" <= char < "\xa0" or char in BIDI_CONTROLS
