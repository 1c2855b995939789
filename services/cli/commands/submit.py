"""`cohort submit`: post a goal, and stay with the run if asked to."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from services.cli.address import open_api
from services.cli.client import ApiClient, Json
from services.cli.goal import Goal, read_goal, with_options, with_rules
from services.cli.output import print_json, remark
from services.cli.packing import input_files, packed
from services.cli.watching import wait_until_over, watch
from services.core.settings import ClientSettings, load


def run(options: Namespace) -> int:
    """Submit; with --follow or --wait the exit code is the run's."""
    written = read_goal(Path(options.file)) if options.file else Goal()
    goal = with_options(
        written,
        options.goal,
        options.model or written.model or load(ClientSettings).model,
        options.limit,
        options.label,
        options.input,
        options.deadline or "",
        options.resource,
    )
    goal = with_rules(goal, options.without_rule, options.evaluation_data, options.cost_line)
    goal = replace(
        goal,
        fallback_model=options.fallback_model or goal.fallback_model,
        effort=options.effort or goal.effort,
    )
    with open_api() as api:
        accepted = post_goal(api, goal, options.idempotency_key or f"cli-{uuid4().hex}")
        run_id = str(accepted["run"])
        if options.follow:
            return watch(api, run_id, after=0, as_json=options.json)
        if options.wait:
            remark(f"{run_id} is accepted; waiting for its end")
            return wait_until_over(api, run_id, as_json=options.json)
        if options.json:
            print_json(accepted)
        else:
            print(run_id)
            if sys.stdout.isatty():
                remark(f"accepted; watch it with: cohort events {run_id} -f")
        return 0


def post_goal(api: ApiClient, goal: Goal, idempotency_key: str) -> Json:
    """Post `goal` with its inputs; the answer is the accepted run. Sending it again changes nothing."""
    headers = {"Idempotency-Key": idempotency_key}
    files = input_files(goal.inputs)
    if not files:
        return api.post("/v1/runs", goal.body(), headers)
    with packed(files) as archive:
        return api.post_archive("/v1/runs", json.dumps(goal.body()), archive, headers)
