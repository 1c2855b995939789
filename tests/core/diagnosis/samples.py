"""The samples of `samples.txt`, as logs."""

import re
from dataclasses import dataclass
from pathlib import Path

from services.core.taxonomy import Failure

_TEXT = (Path(__file__).parent / "samples.txt").read_text()
_HEADING = re.compile(r"^=== (\w+)(?: raw (\d+))?\n", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    failure: Failure
    exit_code: int
    log: str

    @property
    def name(self) -> str:
        return f"{self.failure}: {self.log.strip().splitlines()[-1][:60]}"


def samples() -> list[Sample]:
    pieces = _HEADING.split(_TEXT)[1:]
    return [
        Sample(Failure(name), int(code or 1), body if code else traceback(body))
        for name, code, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    ]


def traceback(body: str) -> str:
    lines = body.splitlines()
    frames = [line[1:].split(": ", 1) for line in lines if line.startswith("@")] or [["/job/train.py", "main()"]]
    stack = [f'  File "{path}", line 7, in f\n    {source}' for path, source in frames]
    message = [line for line in lines if not line.startswith("@")]
    return "\n".join(["Traceback (most recent call last):", *stack, *message]) + "\n"
