"""Cohort as its chart installs it: what helm says works, and the demo's goal is reached."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.cli.client import ApiClient, path_of
from services.cli.commands.submit import post_goal
from services.cli.demo import TARGET, collect, goal
from services.cli.digits import split
from services.cli.report import read_run
from services.core.lifecycle import Status
from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import patiently
from tests.cluster.installation import Installed, restarts
from tests.cluster.programs import path_of as program, started
from tests.cluster.witness import Witness

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(400)]
SECONDS = 300


def nothing_is_left(admin: Admin, cohort: Installed) -> bool:
    """Whether the steps' namespace is as it was before there were runs."""
    kinds = (admin.batch.list_namespaced_job, admin.core.list_namespaced_pod, admin.core.list_namespaced_secret)
    return not any(kind(cohort.steps).items for kind in kinds)


@contextmanager
def forwarded(cohort: Installed) -> Iterator[str]:
    """The API on a port of this machine, as a person has it who may only use kubectl."""
    with started("-n", cohort.namespace, "port-forward", "service/cohort-api", ":8470") as process:
        assert process.stdout
        found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield f"http://{found[0]}"


def test_helms_own_test_passes(cohort: Installed) -> None:
    told = cohort.release.test()
    assert re.search(r"run \w+: succeeded", told), told


def test_what_the_notes_say_brings_a_first_goal_to_its_end(cohort: Installed) -> None:
    notes = cohort.release.notes()
    script = "\n".join(line.strip() for line in notes.splitlines() if re.match(r" +(export|cohort) ", line))
    assert "cohort submit" in script
    places = [str(Path(program("kubectl")).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    with forwarded(cohort) as url:
        environ = {**os.environ, "PATH": ":".join(places), "NO_PROXY": "*"}
        script = script.replace("http://127.0.0.1:8470", url)
        done = subprocess.run(["bash", "-ec", script], env=environ, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello from the workspace" in done.stdout


def test_the_demos_goal_is_reached(admin: Admin, cohort: Installed, witness: Witness, tmp_path: Path) -> None:
    digits = split()
    data = tmp_path / "digits-train.npz"
    data.write_bytes(digits.given)
    with forwarded(cohort) as url, closing(ApiClient(url, cohort.secret("api-key", "api-key"))) as api:
        run = str(post_goal(api, goal(data), "demo-1")["run"])
        view = path_of("v1", "runs", run)
        wait_until(
            lambda: read_run(patiently(lambda: api.get(view, {"wait": 20}))).state.status.is_final, timeout=SECONDS
        )
        outcome = collect(api, run, digits, tmp_path / "result")

    state = outcome.state
    assert state.status is Status.SUCCEEDED, f"{state.reason} {state.detail}"
    assert outcome.accuracy is not None, outcome.why
    assert outcome.accuracy >= TARGET
    attempts = {name: [one.status for one in step.attempts] for name, step in state.steps.items()}
    # The commands of bash had a pod of their own, and it went with the run.
    assert attempts.pop("sandbox") in (["succeeded"], ["cancelled"])
    assert attempts == {"train": ["failed", "succeeded"], "evaluate": ["succeeded"]}
    everything = [one for step in state.steps.values() for one in step.attempts]
    assert all(one.log_complete and not one.gap_bytes for one in everything)
    assert "ValueError: could not broadcast" in (tmp_path / "result/logs/train-1.log").read_text()
    assert (tmp_path / "result/MODEL_CARD.md").stat().st_size
    events = [json.loads(line) for line in (tmp_path / "result/trace.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, state.seq + 1))
    assert {name: len(uids) for name, uids in witness.jobs.items() if name.startswith(run)} == {
        one.id: 1 for one in everything
    }
    wait_until(lambda: nothing_is_left(admin, cohort))


def test_what_is_installed_stays_up(cohort: Installed) -> None:
    assert {pod.metadata.name: restarts(pod) for pod in cohort.pods() if restarts(pod)} == {}
