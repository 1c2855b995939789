"""Which names a file in a workspace or an artifact may have. Pure: looks at no file system.

Names are shown to people and models, packed into archives and joined to directories on real machines, so whatever
could escape a directory, hide in a terminal or fail on a common file system is refused once, here.
"""

import unicodedata

from services.core.errors import BadRequest

MAX_COMPONENT_BYTES = 255
MAX_PATH_BYTES = 1024
MAX_DEPTH = 32

# Unicode's explicit directional controls: they make `exe.txt` out of `txt.exe` on a screen.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class BadPath(BadRequest):
    """A path that breaks a rule. The message names the rule and what to do instead."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{ascii(path[:200])}: {problem}", field="path")


def clean_path(path: str) -> str:
    """The one spelling of a relative path: `./a//b/` becomes `a/b`. Raises `BadPath`."""
    if path.startswith("/"):
        raise BadPath(path, "the path is absolute; give it relative to the workspace, without the leading '/'")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise BadPath(path, "the path names no file; give one like 'src/train.py'")
    if len(parts) > MAX_DEPTH:
        raise BadPath(path, f"the path is {len(parts)} levels deep; use at most {MAX_DEPTH}")
    for part in parts:
        problem = name_problem(part)
        if problem:
            raise BadPath(path, problem)
    clean = "/".join(parts)
    if len(clean.encode()) > MAX_PATH_BYTES:
        raise BadPath(path, f"the path is longer than {MAX_PATH_BYTES} bytes; shorten it")
    return clean


def name_problem(name: str) -> str | None:
    """What is wrong with one component of a path, in words, or None."""
    if name in ("", ".", ".."):
        return f"{name!r} is not allowed in a path; name the file from the top of the workspace"
    if "/" in name:
        return "a name contains '/'"
    if name.isascii():
        if not name.isprintable():
            return "a name contains a control character; remove it"
    elif any(unicodedata.category(char) == "Cs" for char in name):
        return "a name is not UTF-8; rename the file"
    elif any(unicodedata.category(char) == "Cc" or char in _BIDI_CONTROLS for char in name):
        return "a name contains a control character; remove it"
    if len(name.encode()) > MAX_COMPONENT_BYTES:
        return f"a name is longer than {MAX_COMPONENT_BYTES} bytes; shorten it"
    return None
