"""Finding what a dead shim left behind, and nobody else."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runner.processes import end_survivors, look, survivors
from services.runner.shim import boot_id, start_ticks
from services.runner.spool import ShimRecord
from tests.runner.rig import wait_until

HERE = Path("/here")


@pytest.fixture
def program() -> Iterator["subprocess.Popen[bytes]"]:
    """A process group of two, in a session of its own."""
    process = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
    wait_until(lambda: len(members(process.pid)) == 2)
    yield process
    for pid in members(process.pid):
        os.kill(pid, 9)
    process.wait()


def members(group: int) -> list[int]:
    return [
        each.pid for name in os.listdir("/proc") if name.isdigit() and (each := look(int(name))) and each.pgrp == group
    ]


def record(program: "subprocess.Popen[bytes]", **changes: object) -> ShimRecord:
    """The record of a dead shim that ran the program."""
    known = {
        "pid": 1,
        "start_ticks": 1,
        "boot_id": boot_id(),
        "pid_namespace": os.readlink("/proc/self/ns/pid"),
        "pgid": program.pid,
        "pgid_start_ticks": start_ticks(program.pid),
    }
    return ShimRecord.model_validate(known | changes)


def test_the_whole_group_is_found_and_ended(program: "subprocess.Popen[bytes]") -> None:
    assert {each.pid for each in survivors(record(program), HERE)} == set(members(program.pid))
    assert end_survivors(record(program), HERE)
    assert members(program.pid) == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"boot_id": "another"}, id="before a reboot"),
        pytest.param({"pid_namespace": "pid:[1]"}, id="in another pid namespace"),
        pytest.param({"pgid_start_ticks": 2**60}, id="a later program"),
        pytest.param({"pgid": None}, id="no program"),
    ],
)
def test_processes_that_only_have_the_number_are_left_alone(
    program: "subprocess.Popen[bytes]", changes: dict[str, object]
) -> None:
    assert survivors(record(program, **changes), HERE) == []


def test_a_process_that_left_the_session_is_known_by_its_environment() -> None:
    elsewhere = subprocess.Popen(
        ["sleep", "600"], env={"COHORT_OUTPUT_DIR": "/here", "COHORT_INPUT_DIR": "/in"}, start_new_session=True
    )
    sidecar = subprocess.Popen(["sleep", "600"], env={"COHORT_OUTPUT_DIR": "/here"})
    try:
        dead = record(elsewhere, pgid=None)
        wait_until(lambda: [each.pid for each in survivors(dead, HERE)] == [elsewhere.pid])
        assert survivors(dead, Path("/elsewhere")) == []
    finally:
        elsewhere.kill()
        sidecar.kill()
        elsewhere.wait()
        sidecar.wait()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])
    wait_until(lambda: look(process.pid) is None)
    process.wait()
