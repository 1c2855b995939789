"""The shim with the interpreter it brings, in a root directory that has nothing else: no Python, no libc, no shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runner import shim

CARRY = Path(__file__).parents[2] / "deploy" / "docker" / "carry.py"
# No library at all: it says what its first argument is and leaves with 3.
PROGRAM = """
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}
void run(long *stack) {
  char *text = (char *)stack[2];
  long length = 0;
  while (text[length]) length++;
  call(1, 1, (long)text, length);
  call(60, 3, 0, 0);
}
__asm__(".globl _start\\n_start:\\n mov %rsp, %rdi\\n call run\\n");
"""
STARTED = ["/rt/ld.so", "--library-path", "/rt/lib", "/rt/python3", "-I", "-S", "/rt/shim.py"]
# $0 is the root.
IN_A_NEW_ROOT = """
mount -t proc proc "$0/proc" && touch "$0/dev/null" && mount --bind /dev/null "$0/dev/null" || exit 125
exec /usr/sbin/chroot "$0" "$@"
"""
LIMITS = ["--spool", "/spool", "--deadline-seconds", "30", "--grace-seconds", "1"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("carried") / "rt"
    python = os.path.realpath(sys.executable)
    subprocess.run([python, CARRY, shim.__file__, target], check=True, timeout=60)
    return target


@pytest.fixture
def root(carried: Path, tmp_path: Path) -> Path:
    """An empty root with /proc and /dev/null. Needs the right to mount and to change the root."""
    if os.geteuid() != 0:
        pytest.fail("this test changes its root directory: run it as root")
    root = tmp_path / "root"
    for name in ("proc", "dev", "spool"):
        (root / name).mkdir(parents=True)
    (root / "spool" / "claim.json").write_text(json.dumps({"claimed": True}))
    subprocess.run(["cp", "-r", carried, root / "rt"], check=True)
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-static", "-nostdlib", "-O1", "-o", root / "program", source], check=True)
    return root


def run_in(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with this root, in namespaces that end with it."""
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", IN_A_NEW_ROOT, str(root), *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "de_DE.ISO-8859-1", "PYTHONHOME": "/nowhere"},
    )


def test_a_program_runs_in_an_image_that_has_nothing(root: Path) -> None:
    done = run_in(root, *STARTED, *LIMITS, "--", "/program", "hellö")
    assert (done.returncode, done.stdout, done.stderr) == (3, "hellö", "")
    report = json.loads((root / "spool" / "exit.json").read_bytes())
    assert (report["exit_code"], report["reason"], report["bytes"]) == (3, "exited", 6)
    assert (root / "spool" / "log").read_text() == "hellö"


def test_a_missing_program_and_bad_arguments_are_told_in_words(root: Path) -> None:
    missing = run_in(root, *STARTED, *LIMITS, "--", "/nöwhere")
    assert missing.returncode == 127
    assert "could not start '/nöwhere'" in missing.stdout
    bad = run_in(root, *STARTED, *LIMITS, "--grace-seconds", "soon", "--", "/program")
    assert bad.returncode == 2
    assert "invalid float value: 'soon'" in bad.stderr


def test_what_is_carried_is_small(carried: Path) -> None:
    size = sum(path.stat().st_size for path in carried.rglob("*") if path.is_file())
    assert size < 40 * 2**20
