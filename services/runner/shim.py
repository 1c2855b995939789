"""The first process of an attempt: runs the user's program, keeps every byte it says, reports how it ended.

    python -I -S shim.py --spool DIR --deadline-seconds N --grace-seconds N [--memory-bytes N] [--cwd DIR]
        [--env NAME=VALUE]... -- CMD...

It speaks to nobody over the network, holds no secret and never looks into what the program prints. Standard library
only, Python 3.9 or later, and one file, because it is copied into images that Cohort does not build: that is why it is
longer than a module should be. Where no image has a Python for it, `ld.so python3` of its own stand before it.

In SPOOL it reads `claim.json` (the sidecar's leave to start) and `cancel`, and writes `log` (stdout and stderr as one
stream of bytes), `usage.json` (a sample of memory and CPU each second), `shim.json` and `exit.json`. The log is the
truth; the copy to the shim's own stdout is a courtesy that never holds the program up. When the reader of that stdout
falls more than MIRROR_BYTES behind, the copy leaves bytes out and `exit.json` counts them. When the log's disk is full
the program runs on and `exit.json` lists what was lost as `gaps`. What `exit.json` says is also left at
--termination-log, where the kubelet reads it: `terminated` in it means that the shim itself was told to end.

A shim runs a program once: one that finds another shim alive, or the traces of one that had started its program, exits
with REFUSED and touches nothing. Otherwise its exit code mirrors the program's, 128 + n for a signal.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import resource
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

PROTOCOL = 1
REFUSED = 75

CHUNK_BYTES = 1 << 20
MIRROR_BYTES = 4 << 20
RESERVED_BYTES = 8192
TERMINATION_LOG_BYTES = 4096
MAX_GAPS = 64
MAX_JSON_BYTES = 1 << 20
# For what lies where the program can put a link or a pipe: neither leads anywhere, nor holds anybody up.
UNTRUSTED = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

TICK_SECONDS = 0.2
CLAIM_TICK_SECONDS = 0.05
ENDING_TICK_SECONDS = 0.02
SAMPLE_SECONDS = 1.0
# What outlives the program is asked to go, then made to: a worker gets its last words out, a daemon holds nobody up.
LINGER_SECONDS = 2.0
GIVE_UP_SECONDS = 5.0
# Whoever only probes a lock holds it for microseconds.
LOCK_SECONDS = 1.0
REPORT_SECONDS = 30.0

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
F_SETPIPE_SZ = 1031
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Prctl = Callable[[int, int], int]


class StartFailed(Exception):
    """The program could not be started; `exit_code` is what a shell would say (127 not found, 126 anything else)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main(arguments: Sequence[str]) -> int:
    """Run the attempt; returns the exit code of the process."""
    options = parse(arguments)
    lock = hold(os.path.join(options.spool, "shim.lock"))
    if lock is None or has_started(options.spool):
        complain("refused, this attempt has had its shim")
        return REFUSED
    keep_descriptors_private()
    prctl = load_prctl()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    return Shim(options, prctl).run()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="shim", description="Run one program and keep what it says.")
    parser.add_argument("--spool", required=True, help="directory shared with the sidecar")
    parser.add_argument("--deadline-seconds", type=float, required=True, help="the program's time, from its start")
    parser.add_argument("--grace-seconds", type=float, required=True, help="from SIGTERM to SIGKILL")
    parser.add_argument("--claim-seconds", type=float, default=60.0, help="how long to wait for the sidecar's claim")
    parser.add_argument("--memory-bytes", type=int, default=None, help="address space of each process (RLIMIT_AS)")
    parser.add_argument("--termination-log", default=None, help="a file for the container's last words, at most 4 KiB")
    parser.add_argument("--cwd", default=None, help="where the program runs")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the program alone")
    parser.add_argument("command", nargs="+", help="the program and its arguments, after --")
    return parser.parse_args(arguments)


def hold(path: str) -> int | None:
    """Take the lock at `path` for as long as this process lives; None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(descriptor)
                return None
        time.sleep(0.02)


def has_started(spool: str) -> bool:
    """Whether an earlier shim started its program here, or reported. One that died before that left nothing behind."""
    earlier = read_json(os.path.join(spool, "shim.json"))
    started = earlier is not None and earlier.get("pgid") is not None
    return started or os.path.exists(os.path.join(spool, "exit.json"))


def keep_descriptors_private() -> None:
    """Let the program inherit nothing but its own stdin, stdout and stderr."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError as error:
                # The descriptor of the listing itself is closed by now.
                if error.errno != errno.EBADF:
                    raise


def load_prctl() -> Prctl:
    """prctl(2). Where Python came without ctypes it does nothing, and the kills at the end rely on /proc alone."""
    try:
        import ctypes
    except ImportError:
        return lambda *_: -1
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
    return lambda option, value: int(prctl(option, value, 0, 0, 0))


class Shim:
    """One attempt, from the claim to `exit.json`."""

    def __init__(self, options: argparse.Namespace, prctl: Prctl) -> None:
        self._options = options
        self._spool: str = options.spool
        self._prctl = prctl
        self._log = Log(self._path("log"))
        self._mirror = Mirror(1)
        self._usage = Usage()
        self._wake = watch_signals()
        self._identity: dict[str, Any] = {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "start_ticks": start_ticks(os.getpid()),
            "pgid": None,
            "boot_id": boot_id(),
            "pid_namespace": os.readlink("/proc/self/ns/pid"),
        }
        self._pid = 0
        self._status: int | None = None
        self._failure = b""
        self._why: str | None = None
        self._terminated = False
        self._childless = False
        self._kill_at: float | None = None
        self._give_up_at: float | None = None
        self._sample_at = 0.0
        self._started = 0.0

    def run(self) -> int:
        """Wait for the claim, run the program, report."""
        # Space for the report is set aside while there is some.
        with open(self._path("exit.json.tmp"), "wb") as reserve:
            reserve.write(b" " * RESERVED_BYTES)
        write_json(self._path("shim.json"), self._identity)
        refusal = self._await_claim()
        self._started = time.time()
        if refusal is not None:
            return self._report(None, None, refusal)
        try:
            self._tend(*self._start())
            self._check_start()
        except StartFailed as error:
            self._keep(memoryview(f"cohort: {error}\n".encode("utf-8", "backslashreplace")))
            return self._report(error.exit_code, None, "start_failed")
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            return self._report(128 + number, number, self._why or "signalled")
        return self._report(os.WEXITSTATUS(self._status), None, self._why or "exited")

    def _path(self, name: str) -> str:
        return os.path.join(self._spool, name)

    def _await_claim(self) -> str | None:
        """Why the program must not start, or None when the sidecar holds the claim."""
        give_up = time.monotonic() + self._options.claim_seconds
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        while True:
            if os.path.exists(self._path("cancel")):
                return "cancelled"
            claim = read_json(self._path("claim.json"))
            if claim is not None:
                return None if claim.get("claimed") is True else "not_claimed"
            woken = poller.poll(1000 * CLAIM_TICK_SECONDS)
            if time.monotonic() > give_up or (woken and set(os.read(self._wake, 512)) & set(FORWARDED)):
                return "not_claimed"

    def _start(self) -> tuple[int, int]:
        """Start the program; returns where to read what it says, and why it could not start. Raises StartFailed.

        The child waits at a gate until its process group is on disk, so whoever finds a dead shim can find the program.
        """
        output, child_output = os.pipe()
        try:
            fcntl.fcntl(output, F_SETPIPE_SZ, CHUNK_BYTES)
        except OSError as error:
            # A user may own only so much pipe memory; the default size is slower and just as right.
            complain(f"small pipe: {error}")
        child_gate, gate = os.pipe()
        report, child_report = os.pipe()
        # A signal for the child must find it with its own answers to signals, not with ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        mine = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                os.close(gate)
                become(self._options, self._prctl, mine, child_output, child_gate, child_report)
        except OSError as error:
            raise StartFailed(f"could not start a process: {error.strerror}", 126) from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        for descriptor in (child_output, child_gate, child_report):
            os.close(descriptor)
        self._pid = pid
        self._identity.update(pgid=pid, pgid_start_ticks=start_ticks(pid), started=self._started)
        try:
            write_json(self._path("shim.json"), self._identity)
            os.write(gate, b"!")
        except OSError as error:
            raise StartFailed(f"could not record the start: {error.strerror}", 126) from error
        finally:
            # Closing the gate unused makes the child leave without running anything.
            os.close(gate)
        return output, report

    def _check_start(self) -> None:
        """Raises StartFailed if the child could not become the program and has said why."""
        if self._failure:
            message, exit_code = json.loads(self._failure)
            raise StartFailed(message, exit_code)

    def _tend(self, output: int, report: int) -> None:
        """Copy what the program says until it has ended, nothing of it lives and the pipe is dry."""
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        poller.register(report, select.POLLIN)
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        deadline = time.monotonic() + self._options.deadline_seconds
        tick_at, is_open = 0.0, True
        while True:
            ending = self._status is not None
            ready = dict(poller.poll(1000 * (ENDING_TICK_SECONDS if ending else TICK_SECONDS)))
            if output in ready:
                count = os.readv(output, [buffer])
                is_open = count > 0
                if is_open:
                    self._keep(view[:count])
                else:
                    poller.unregister(output)
            if report in ready:
                # A program that has started has closed its end of this.
                self._failure = os.read(report, CHUNK_BYTES)
                poller.unregister(report)
            if self._wake in ready:
                self._answer(os.read(self._wake, 512))
            self._mirror.attend(poller, ready)
            now = time.monotonic()
            if now >= tick_at or self._wake in ready:
                tick_at = now + (ENDING_TICK_SECONDS if ending else TICK_SECONDS)
                self._tick(now, deadline)
            if self._give_up_at is not None and now >= self._give_up_at:
                return
            if ending and self._childless and (not is_open or output not in ready):
                return

    def _keep(self, data: memoryview) -> None:
        self._log.append(data)
        self._mirror.offer(data)

    def _answer(self, numbers: bytes) -> None:
        """Hand the signals that arrived on to the program. SIGTERM also starts the clock towards SIGKILL."""
        for number in numbers:
            if number in FORWARDED and self._status is None:
                signal_group(self._pid, number)
                if number == signal.SIGTERM:
                    self._terminated = True
                    if self._kill_at is None:
                        self._kill_at = time.monotonic() + self._options.grace_seconds

    def _tick(self, now: float, deadline: float) -> None:
        had_ended = self._status is not None
        self._reap()
        if self._status is None:
            if now >= self._sample_at:
                self._sample_at = now + SAMPLE_SECONDS
                self._sample()
            if self._why is None:
                self._look_for_an_end(now, deadline)
        elif not had_ended:
            self._clear_up(now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_all()

    def _sample(self) -> None:
        try:
            write_json(self._path("usage.json"), self._usage.sample(), durable=False)
        except OSError as error:
            complain(f"usage.json: {error}")

    def _look_for_an_end(self, now: float, deadline: float) -> None:
        """Ask the program to stop if it was cancelled or has had its time."""
        grace = self._options.grace_seconds
        if os.path.exists(self._path("cancel")):
            self._why = "cancelled"
            asked = (read_json(self._path("cancel")) or {}).get("grace_seconds")
            grace = asked if isinstance(asked, (int, float)) else grace
        elif now >= deadline:
            self._why = "deadline"
        else:
            return
        signal_group(self._pid, signal.SIGTERM)
        signal_group(self._pid, signal.SIGCONT)
        if self._kill_at is None:
            self._kill_at = now + grace

    def _clear_up(self, now: float) -> None:
        """The program itself has ended: ask what it left running to go, unless that has been done and waited for."""
        asked_before = self._kill_at is not None and now >= self._kill_at
        self._kill_at = now if asked_before else now + LINGER_SECONDS
        self._give_up_at = self._kill_at + GIVE_UP_SECONDS
        if not asked_before and not self._childless:
            for pid in descendants(os.getpid()):
                signal_process(pid, signal.SIGTERM)

    def _kill_all(self) -> None:
        """Kill the program's group and all that descends from it, wherever it went: orphans become our children."""
        if self._status is None:
            signal_group(self._pid, signal.SIGKILL)
        for pid in descendants(os.getpid()):
            signal_process(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._status = status

    def _report(self, exit_code: int | None, number: int | None, reason: str) -> int:
        """Write exit.json; returns the process's own exit code."""
        self._mirror.drain(LINGER_SECONDS)
        self._log.sync()
        report = {
            "protocol": PROTOCOL,
            "exit_code": exit_code,
            "signal": number,
            "reason": reason,
            "terminated": self._terminated,
            "started": self._started,
            "finished": time.time(),
            "bytes": self._log.size,
            "gaps": self._log.gaps,
            "peaks": {"rss_bytes": self._usage.peak()},
            "stdout_left_out_bytes": self._mirror.left_out,
        }
        give_up = time.monotonic() + REPORT_SECONDS
        while True:
            try:
                write_json(self._path("exit.json"), report, size=RESERVED_BYTES)
                break
            except OSError as error:
                complain(f"exit.json: {error}")
                if time.monotonic() > give_up:
                    break
            time.sleep(TICK_SECONDS)
        if self._options.termination_log is not None:
            leave_last_words(self._options.termination_log, report)
        return REFUSED if exit_code is None else exit_code


def become(options: argparse.Namespace, prctl: Prctl, parent: int, output: int, gate: int, report: int) -> NoReturn:
    """In the child of `parent`: turn into the program. `report` gets failures as [message, exit code], or is closed."""
    name: str = options.command[0]
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if options.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # A parent that died before it was to be died for sends no signal any more.
        if os.read(gate, 1) != b"!" or os.getppid() != parent:
            os._exit(REFUSED)
        if options.cwd is not None:
            os.chdir(options.cwd)
        for variable in options.env:
            os.putenv(*variable.split("=", 1))
        os.execvp(name, options.command)  # noqa: S606  To run what we are given is the task.
    except (OSError, ValueError) as error:
        exit_code = 127 if isinstance(error, FileNotFoundError) else 126
        os.write(report, json.dumps([f"could not start {name!r}: {error}", exit_code]).encode())
    finally:
        os._exit(127)


def leave_last_words(path: str, report: dict[str, Any]) -> None:
    """Write the report where the kubelet looks for it: a file that can be filled, and not replaced. What would be too
    long is left out, gaps first: the sidecar tells them all."""
    text = json.dumps(report, separators=(",", ":"))
    if len(text) > TERMINATION_LOG_BYTES:
        text = json.dumps({**report, "gaps": []}, separators=(",", ":"))
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        complain(f"{path}: {error}")


class Log:
    """The file with every byte the program wrote. Appends only; what the disk refuses is counted, not waited for."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._descriptor).st_size
        self.gaps: list[dict[str, int]] = []

    def append(self, data: memoryview) -> None:
        while len(data):
            try:
                written = os.write(self._descriptor, data)
            except OSError as error:
                self._lose(len(data), error)
                return
            self.size += written
            data = data[written:]

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            complain(f"log: {error}")

    def _lose(self, count: int, error: OSError) -> None:
        if self.gaps and (self.gaps[-1]["offset"] == self.size or len(self.gaps) == MAX_GAPS):
            self.gaps[-1]["bytes"] += count
            return
        complain(f"log: {error}")
        self.gaps.append({"offset": self.size, "bytes": count})


class Mirror:
    """The copy to the shim's own stdout. Keeps a bounded backlog for a slow reader and never waits for one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog = bytearray()
        self._polled = False
        self._gone = False
        self.left_out = 0
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)

    def offer(self, data: memoryview) -> None:
        if not self._backlog:
            data = data[self._write(data) :]
        kept = data[: MIRROR_BYTES - len(self._backlog)]
        self._backlog += kept
        self.left_out += len(data) - len(kept)

    def attend(self, poller: select.poll, ready: dict[int, int]) -> None:
        """Pass backlog on if the reader is ready, and have the poller watch it while there is some."""
        if self._descriptor in ready:
            del self._backlog[: self._write(self._backlog)]
        if bool(self._backlog) != self._polled:
            self._polled = not self._polled
            if self._polled:
                poller.register(self._descriptor, select.POLLOUT)
            else:
                poller.unregister(self._descriptor)

    def drain(self, seconds: float) -> None:
        """Give the reader some time to take the rest."""
        give_up = time.monotonic() + seconds
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        while self._backlog and time.monotonic() < give_up:
            poller.poll(1000 * TICK_SECONDS)
            del self._backlog[: self._write(self._backlog)]
        self.left_out += len(self._backlog)

    def _write(self, data: Any) -> int:
        """How many bytes are done with: written, or without anyone left to read them."""
        if not self._gone:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                return 0
            except OSError as error:
                complain(f"stdout: {error}")
                self._gone = True
        return len(data)


class Usage:
    """Memory and CPU of the program's processes. Shared pages count once per process, as in `ps`."""

    def __init__(self) -> None:
        self._peak = 0

    def sample(self) -> dict[str, Any]:
        """The processes alive now: their resident bytes together, and all CPU seconds used so far."""
        rss = 0
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_seconds = reaped.ru_utime + reaped.ru_stime
        pids = descendants(os.getpid())
        for pid in pids:
            try:
                with open(f"/proc/{pid}/statm", "rb") as statm:
                    rss += int(statm.read().split()[1]) * PAGE_BYTES
                # utime, stime and what its own reaped children used: fields 14 to 17 of proc(5).
                cpu_seconds += sum(int(field) for field in stat_fields(pid)[11:15]) / TICKS_PER_SECOND
            except (FileNotFoundError, ProcessLookupError):
                continue
        self._peak = max(self._peak, rss)
        return {"time": time.time(), "rss_bytes": rss, "cpu_seconds": cpu_seconds, "processes": len(pids)}

    def peak(self) -> int:
        """The most resident bytes seen at once: the samples' sum, or the largest single process if that was more."""
        return max(self._peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def watch_signals() -> int:
    """Have signals arrive as bytes; returns the descriptor to read their numbers from."""
    wake, notify = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(notify, False)
    signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
    for number in (*FORWARDED, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return wake


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, parents first. A moment's view: processes come and go meanwhile."""
    found: list[int] = []
    level = children(pid)
    while level:
        found += level
        level = [child for parent in level for child in children(parent)]
    return found


def children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        found = []
        for thread in threads:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as listing:
                found += [int(child) for child in listing.read().split()]
        return found
    except ProcessLookupError:
        return []
    except FileNotFoundError:
        # The process is gone, or this kernel does not list children.
        return [] if os.path.exists("/proc/thread-self/children") else scan_for_children(pid)


def scan_for_children(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(stat_fields(int(name))[1]) == pid:
                    found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def stat_fields(pid: int) -> list[bytes]:
    """/proc/PID/stat from its third field (the state) on; see proc(5). Raises FileNotFoundError, ProcessLookupError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The second field is the program's name in brackets and may contain anything.
        return file.read().rpartition(b")")[2].split()


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot: with the pid it names a process for good."""
    return int(stat_fields(pid)[19])


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def signal_group(pgid: int, number: int) -> None:
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return


def signal_process(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def complain(text: str) -> None:
    """Say what is wrong on stderr, unless that is full or gone: it may be the same pipe as stdout."""
    try:
        os.write(2, f"shim: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


def read_json(path: str) -> dict[str, Any] | None:
    """The object in the file; None if there is no file or no object in it. A link counts as no file."""
    try:
        with open(os.open(path, os.O_RDONLY | UNTRUSTED), "rb") as file:
            value = json.loads(file.read(MAX_JSON_BYTES))
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None
    return value if isinstance(value, dict) else None


def write_json(path: str, value: dict[str, Any], size: int = 0, durable: bool = True) -> None:
    """Replace the file in one move. Padded to `size`, so that it fits where that many bytes were set aside."""
    scratch = path + ".tmp"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | UNTRUSTED, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(value).encode().ljust(size))
        file.truncate()
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(scratch, path)
    if durable:
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
