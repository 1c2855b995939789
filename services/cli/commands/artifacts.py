"""`cohort artifacts RUN [get PATH]`: what a run made."""

import hashlib
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.address import open_api
from services.cli.client import ApiClient, path_of
from services.cli.look import bytes_text
from services.cli.output import print_json, remark
from services.cli.problems import Unreachable, Usage
from services.cli.report import file_lines
from services.core.records import FileRef


def run(options: Namespace) -> int:
    """List the artifacts, or download one."""
    with open_api() as api:
        if options.action == "get":
            return _get(api, options.run, options.path, options.output)
        items = listed(api, options.run)
    if options.json:
        print_json({"items": items})
    elif items:
        print("\n".join(file_lines(FileRef.model_validate(item) for item in items)))
    else:
        remark(f"{options.run} has made nothing yet")
    return 0


def listed(api: ApiClient, run_id: str) -> list[dict[str, Any]]:
    """The artifacts as the API lists them."""
    items: list[dict[str, Any]] = api.get(path_of("v1", "runs", run_id, "artifacts"))["items"]
    return items


def fetch(api: ApiClient, run_id: str, file: FileRef, target: Path) -> None:
    """Download an artifact. `target` is whole, with the digest that was announced, or is not touched."""
    partial = target.with_name(f".{target.name}.part")
    try:
        with partial.open("wb") as out:
            digest = hashlib.sha256()
            for chunk in _chunks(api, run_id, file.path):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise Unreachable(f"{file.path} did not arrive whole; try again")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _get(api: ApiClient, run_id: str, path: str, output: str | None) -> int:
    found = next((item for item in listed(api, run_id) if item["path"] == path), None)
    if found is None:
        raise Usage(f"{run_id} has no artifact {path!r}; list them with: cohort artifacts {run_id}")
    file = FileRef.model_validate(found)
    if output == "-":
        for chunk in _chunks(api, run_id, path):
            sys.stdout.buffer.write(chunk)
        return 0
    target = Path(output or Path(path).name)
    if output is None and target.exists():
        raise Usage(f"{target} is there already; name another place with -o")
    if target.is_dir():
        target /= Path(path).name
    fetch(api, run_id, file, target)
    remark(f"{target} ({bytes_text(file.size)}, sha256 {file.sha256})")
    return 0


def _chunks(api: ApiClient, run_id: str, path: str) -> Iterator[bytes]:
    with api.download(path_of("v1", "runs", run_id, "artifacts", *path.split("/"))) as body:
        yield from body.chunks
