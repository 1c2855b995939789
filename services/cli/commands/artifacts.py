"""`cohort artifacts RUN [get PATH]`: what a run made."""

import sys
from argparse import Namespace
from pathlib import Path

from services.cli.address import open_api
from services.cli.client import ApiClient, path_of
from services.cli.fetching import artifact_pieces, artifacts, save
from services.cli.look import bytes_text
from services.cli.output import print_json, remark
from services.cli.problems import Usage
from services.cli.report import file_lines


def run(options: Namespace) -> int:
    """List the artifacts, or download one."""
    with open_api() as api:
        if options.action == "get":
            return _get(api, options.run, options.path, options.output)
        if options.json:
            print_json(api.get(path_of("v1", "runs", options.run, "artifacts")))
            return 0
        files = artifacts(api, options.run)
    if files:
        print("\n".join(file_lines(files)))
    else:
        remark(f"{options.run} has made nothing yet")
    return 0


def _get(api: ApiClient, run_id: str, path: str, output: str | None) -> int:
    file = next((file for file in artifacts(api, run_id) if file.path == path), None)
    if file is None:
        raise Usage(f"{run_id} has no artifact {path!r}; list them with: cohort artifacts {run_id}")
    if output == "-":
        for chunk in artifact_pieces(api, run_id, path):
            sys.stdout.buffer.write(chunk)
        return 0
    target = Path(output or Path(path).name)
    if output is None and target.exists():
        raise Usage(f"{target} is there already; name another place with -o")
    if target.is_dir():
        target /= Path(path).name
    save(artifact_pieces(api, run_id, path), target, file.sha256)
    remark(f"{target} ({bytes_text(file.size)}, sha256 {file.sha256})")
    return 0
