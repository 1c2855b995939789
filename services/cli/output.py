"""What commands print: JSON for programs on stdout, remarks for people on stderr."""

import json
import sys
from typing import Any


def print_json(document: Any) -> None:
    """One document on one line of stdout, at once."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def remark(text: str) -> None:
    """A line for a person, out of the way of what a program reads."""
    print(f"cohort: {text}", file=sys.stderr, flush=True)
