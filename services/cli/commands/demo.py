"""`cohort demo`: a run from goal to model on this machine, with a scripted playbook in place of a language model."""

import sys
import tempfile
import time
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from services.cli import environment
from services.cli.client import ApiClient, path_of
from services.cli.commands.submit import post_goal
from services.cli.commands.up import end_on_signals, home_prefix, stay
from services.cli.demo import MODEL, WHAT_PLAYS, collect, goal, summary_lines
from services.cli.digits import split
from services.cli.home import home_at
from services.cli.output import remark
from services.cli.problems import INTERRUPTED
from services.cli.programs import Given
from services.cli.report import read_run
from services.cli.stack import Stack, Wishes, stack
from services.cli.terminal import Terminal, look_of
from services.cli.watching import Watcher
from services.core.errors import CohortError

_CANCEL_SECONDS = 10.0


def run(options: Namespace) -> int:
    """Play the demo; 0 only if the run succeeded and its model holds on data it has not seen."""
    home = home_at(Path(options.home or tempfile.mkdtemp(prefix="cohort-demo-")))
    end_on_signals()
    remark(f"starting Cohort in {home.path}; the model is {WHAT_PLAYS}")
    # The user's own settings would make it another demo each time.
    given = Given(environment.bare(environment.own()), {"COHORT_MODEL": MODEL}, {})
    code = INTERRUPTED
    try:
        with stack(home, Wishes(given, scripted=True), remark) as up:
            code = _play(up)
            if options.keep:
                print("\n".join(_ways_in(up)), flush=True)
                stay()
    except KeyboardInterrupt:
        remark("stopped")
    remark(f"everything is kept in {home.path}")
    return code


def _play(up: Stack) -> int:
    digits = split()
    data = up.home.path / "digits-train.npz"
    data.write_bytes(digits.given)
    with closing(ApiClient(up.address.url, up.address.key)) as api:
        run_id = str(post_goal(api, goal(data), f"demo-{uuid4().hex}")["run"])
        try:
            Watcher(api, run_id).show()
        except KeyboardInterrupt:
            _cancel(api, run_id)
            raise
        outcome = collect(api, run_id, digits, up.home.path / "result")
    Terminal(sys.stdout).say(*summary_lines(outcome, look_of(sys.stdout)))
    return outcome.exit_code


def _cancel(api: ApiClient, run_id: str) -> None:
    """Leave no training behind: nobody would come back for it."""
    try:
        api.post(path_of("v1", "runs", run_id, "cancel"), {"why": "the demo was interrupted"})
        deadline = time.monotonic() + _CANCEL_SECONDS
        while time.monotonic() < deadline:
            state = read_run(api.get(path_of("v1", "runs", run_id), {"wait": 1})).state
            if state.status.is_final:
                return
    except CohortError as error:
        remark(f"could not cancel the run: {error}")


def _ways_in(up: Stack) -> list[str]:
    cohort = f"{home_prefix(up.home)}cohort"
    return [
        "",
        f"Cohort stays up at {up.address.url}. In another terminal:",
        f"  {cohort} runs",
        f"  {cohort} show RUN",
        f"  {cohort} logs RUN train --attempt 1",
        f"  {cohort} workspace RUN get",
        "Ctrl-C stops everything.",
    ]
