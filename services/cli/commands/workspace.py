"""`cohort workspace RUN [get]`: a run's files as they are now."""

import shutil
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from services.cli.address import open_api
from services.cli.client import ApiClient, path_of
from services.cli.output import print_json, remark
from services.cli.packing import lay_out
from services.cli.report import file_lines
from services.core.records import FileRef

_ARCHIVES = (".tar.gz", ".tgz")


def run(options: Namespace) -> int:
    """List the files, or download them as an archive or a directory."""
    path = path_of("v1", "runs", options.run, "workspace")
    with open_api() as api:
        if options.action == "get":
            return _get(api, options.run, options.output or options.run)
        workspace = api.get(path)
    if options.json:
        print_json(workspace)
    elif workspace["entries"]:
        print("\n".join(file_lines(FileRef.model_validate(entry) for entry in workspace["entries"])))
    else:
        remark(f"{options.run} has no files yet")
    return 0


def _get(api: ApiClient, run_id: str, output: str) -> int:
    # Asked for whole first: what arrives only in part is never left at the place the user named.
    with tempfile.TemporaryFile() as archive:
        with api.download(path_of("v1", "runs", run_id, "workspace", "archive")) as body:
            archive.writelines(body.chunks)
        archive.seek(0)
        if output == "-":
            shutil.copyfileobj(archive, sys.stdout.buffer)
        elif output.endswith(_ARCHIVES):
            with open(output, "wb") as file:
                shutil.copyfileobj(archive, file)
            remark(output)
        else:
            count = lay_out(archive, Path(output))
            remark(f"{output}/ ({count} files)")
    return 0
