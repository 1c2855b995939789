"""Which images steps may run: the reference's form, the allowed patterns, whether a digest is wanted. Pure."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_MOST_CHARS = 500
_REFERENCE = re.compile(
    r"(?P<registry>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?/)?"
    r"(?P<path>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?P<tag>:\w[\w.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


class ImagePolicy(BaseModel):
    """What images may be. A pattern is a reference in which `*` stands for anything; no pattern at all allows all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: tuple[str, ...] = Field((), description="Patterns such as ghcr.io/acme/*.")
    digest: Literal["required", "optional"] = Field("optional", description="Whether an image must name its digest.")


def objection(image: str, policy: ImagePolicy, pool_patterns: Sequence[str] = ()) -> str | None:
    """Why a step may not run this image, in words for whoever asked; None if it may.

    `pool_patterns` are the pool's own; where it has some, they count instead of the install's.
    """
    reference = _REFERENCE.fullmatch(image) if len(image) <= _MOST_CHARS else None
    if reference is None:
        return f"{image[:80]!r} is no image reference; write it like ghcr.io/acme/train:1.2 or …@sha256:<64 hex digits>"
    if policy.digest == "required" and reference["digest"] is None:
        return (
            f"{image!r} may change under its tag, and this install wants a digest: name it as …@sha256:<64 hex digits>"
        )
    patterns = pool_patterns or policy.allowed
    names = (image, full_name(image))
    if patterns and not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
        return f"{image!r} is not allowed here; allowed are {', '.join(patterns)}"
    return None


def full_name(image: str) -> str:
    """The reference with the registry that Docker's short names leave out: `python:3` is docker.io/library/python:3."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"docker.io/{image}"
