"""The checkpoint directory, kept by a real sidecar beside a real program."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from services.runner.checkpoints import is_whole, scan
from services.runner.spool import ExitReason, ExitRecord
from tests.runner.ingest import HalfAnAnswer
from tests.runner.rig import Rig, wait_for_file, wait_until


def paths(version: dict[str, Any]) -> list[str]:
    return [file["path"] for file in version["files"]]


def program(rig: Rig, script: str) -> "Any":
    return rig.shim("sh", "-c", script, claimed=None, env={**os.environ, "C": str(rig.checkpoint)})


SAVES = "mkdir $C/step-1; echo one > $C/step-1/weights; echo x > $C/state; echo > saved; read x < go; "


def test_what_a_program_leaves_alone_is_kept_while_it_runs(rig: Rig) -> None:
    os.mkfifo(rig.work / "go")
    process = program(rig, SAVES)
    sidecar = rig.sidecar()
    wait_until(lambda: rig.kept.versions)
    version = rig.kept.versions[0]
    assert (version["number"], paths(version)) == (1, ["state", "step-1/weights"])
    assert [file["sha256"] for file in version["files"]] == [
        hashlib.sha256(data).hexdigest() for data in (b"x\n", b"one\n")
    ]
    assert process.poll() is None
    (rig.work / "go").write_text("go\n")
    assert sidecar.wait(timeout=60) == 0
    assert len(rig.kept.versions) == 1


def test_only_what_changed_is_sent_again(rig: Rig) -> None:
    os.mkfifo(rig.work / "go")
    program(rig, SAVES + "echo two > $C/step-1/weights; rm $C/state; echo y > $C/more")
    sidecar = rig.sidecar()
    wait_until(lambda: rig.kept.versions)
    (rig.work / "go").write_text("go\n")
    assert sidecar.wait(timeout=60) == 0
    assert [paths(version) for version in rig.kept.versions] == [
        ["state", "step-1/weights"],
        ["more", "step-1/weights"],
    ]
    assert sorted(rig.kept.objects) == [b"one\n", b"two\n", b"x\n", b"y\n"]


def test_a_program_told_to_go_has_its_last_checkpoint_kept(rig: Rig) -> None:
    process = program(rig, "trap 'echo late > $C/state; exit 0' TERM; echo > ready; while :; do sleep 0.05; done")
    sidecar = rig.sidecar(COHORT_CHECKPOINT_QUIET_SECONDS="600", COHORT_STAY="true")
    wait_for_file(rig.work / "ready")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    sidecar.terminate()
    assert sidecar.wait(timeout=60) == 0
    assert rig.kept.objects == [b"late\n"]
    assert [paths(version) for version in rig.kept.versions] == [["state"]]
    assert rig.kept.accepted is not None


def test_a_program_killed_while_it_writes_leaves_no_torn_checkpoint(rig: Rig) -> None:
    program(rig, "echo half > $C/state; kill -KILL $$")
    assert rig.sidecar(COHORT_CHECKPOINT_QUIET_SECONDS="600").wait(timeout=60) == 0
    assert (rig.kept.versions, rig.kept.accepted["reason"]) == ([], "signalled")


def test_a_sidecar_killed_before_a_version_was_known_makes_it_again(rig: Rig) -> None:
    os.mkfifo(rig.work / "go")
    program(rig, SAVES)
    rig.ingest.instead["version"].extend([JSONResponse({}, 503)] * 50)
    sidecar = rig.sidecar()
    wait_until(lambda: len(rig.ingest.instead["version"]) < 49)
    sidecar.kill()
    sidecar.wait()
    rig.ingest.instead["version"].clear()
    assert rig.kept.versions == []
    sidecar = rig.sidecar()
    wait_until(lambda: rig.kept.versions)
    (rig.work / "go").write_text("go\n")
    assert sidecar.wait(timeout=60) == 0
    assert [version["number"] for version in rig.kept.versions] == [1]


def test_an_answer_that_is_lost_makes_no_second_version(rig: Rig) -> None:
    rig.ingest.afterwards["version"].append(HalfAnAnswer())
    program(rig, "echo one > $C/state")
    assert rig.sidecar().wait(timeout=60) == 0
    assert [version["number"] for version in rig.kept.versions] == [1]


def test_what_a_program_began_with_is_no_new_version(rig: Rig) -> None:
    (rig.checkpoint / "state").write_bytes(b"x\n")
    digest = hashlib.sha256(b"x\n").hexdigest()
    rig.kept.versions.append({"number": 0, "files": [{"path": "state", "sha256": digest, "size": 2, "mode": 0o644}]})
    program(rig, "true")
    assert rig.sidecar().wait(timeout=60) == 0
    assert ([version["number"] for version in rig.kept.versions], rig.kept.objects) == ([0], [])


def test_what_cannot_be_kept_is_told_and_costs_nothing_else(rig: Rig) -> None:
    rig.ingest.instead["objects"].append(JSONResponse({"title": "too large"}, 413))
    program(rig, "echo one > $C/state; ln -s state $C/link; echo out")
    assert rig.sidecar().wait(timeout=60) == 0
    warned = {warning["kind"] for batch in rig.kept.observations for warning in batch.get("warnings", [])}
    assert warned == {"checkpoint_skipped", "checkpoint_not_kept"}
    assert (rig.kept.versions, bytes(rig.kept.log), rig.kept.accepted["exit_code"]) == ([], b"out\n", 0)


@pytest.mark.parametrize(
    ("fields", "changed", "expected"),
    [
        ({"exit_code": 0}, 99.9, True),
        ({"exit_code": 1}, 99.9, False),
        ({"exit_code": 1}, 90.0, True),
        ({"exit_code": 1, "terminated": True}, 99.9, True),
        ({"exit_code": 143, "signal": 15, "terminated": True}, 99.9, False),
        ({"exit_code": 143, "terminated": True}, 99.9, False),
        ({"exit_code": 1, "reason": ExitReason.DEADLINE}, 99.9, True),
        ({"exit_code": 137, "signal": 9, "reason": ExitReason.CANCELLED}, 99.9, False),
        ({"exit_code": None, "reason": ExitReason.SHIM_LOST}, 99.9, False),
        ({"exit_code": None, "reason": ExitReason.SHIM_LOST}, 90.0, True),
    ],
)
def test_the_last_checkpoint_is_whole_if_the_program_had_its_last_word(
    fields: dict[str, Any], changed: float, expected: bool
) -> None:
    values = {"signal": None, "reason": ExitReason.EXITED, "started": 1, "finished": 100, "bytes": 0, **fields}
    assert is_whole(ExitRecord.model_validate(values), changed, quiet_seconds=3) is expected


def test_a_change_of_content_mode_or_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before, _ = scan(tmp_path)
    assert scan(tmp_path)[0] == before
    (tmp_path / "a").chmod(0o755)
    assert scan(tmp_path)[0] != before
    (tmp_path / "new").write_bytes(b"1")
    (tmp_path / "new").replace(tmp_path / "a")
    assert scan(tmp_path)[0] != before
