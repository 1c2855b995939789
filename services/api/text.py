"""Text that people and pipelines send: any script, bounded, and nothing in it that a terminal or a store trips over."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

MAX_TEXT = 20_000
# Everything of C0 and C1 but tab and line feed.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
NO_CONTROLS = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"


def _said(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise ValueError("must not be empty")
    found = _CONTROLS.search(text)
    if found:
        raise ValueError(f"holds the control character U+{ord(found[0]):04X} at position {found.start()}; remove it")
    return text


# A goal or a message: 1 to 20,000 characters once white space around it is gone.
Said = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, description="Any script; no control characters but tab and line feed."),
    AfterValidator(_said),
]
# One line that is shown to people.
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
