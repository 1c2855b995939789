"""The sidecar's work in a sandbox: take commands, lay the files they run in, hand them over, tell what became of them.

A command is handed over at most once: that it will be is written down first, where no command can reach. Killed at any
moment and started again, the sidecar is given its commands anew and goes on with each where it stands.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.core.checkout import Checkout, Skipped
from services.core.commands import (
    INLINE_BYTES,
    MAX_SKIPPED,
    NOT_LAID,
    NOT_STARTED,
    Brought,
    ChangedFile,
    Order,
    Outcome,
)
from services.core.contents import Blob, Change
from services.core.durable import write_durably
from services.core.errors import CohortError
from services.core.faults import reach
from services.runner.handing import HandedOver
from services.runner.remote import RemoteContents, RemoteSnapshots
from services.runner.ship import AttemptClient, Fenced, Halt, Refused, Stopped
from services.runner.spool import ExitReason, ExitRecord

log = structlog.get_logger()

_LOOK_SECONDS = 0.01
_LONGEST_LOOK_SECONDS = 0.1
_REFUSED_SECONDS = 5.0
# From the hand-over to the first sign of a shim, on a machine that is busy with other commands.
_START_SECONDS = 60.0
# A command whose shim has let its time pass by so much will not be heard of any more.
_OVERDUE_SECONDS = 60.0
_SETTLE_SECONDS = 0.5
_LAST_WORDS_SECONDS = 30.0


@dataclass(frozen=True)
class SandboxPlace:
    """Where the commands' files are: `work` is theirs, `private` is out of their reach."""

    work: Path
    private: Path


class Sandbox:
    """The commands of one sandbox. They run side by side; the first of them lays the files."""

    def __init__(self, place: SandboxPlace, spool: Path, pod_uid: str, client: AttemptClient, halt: Halt) -> None:
        self._pod_uid = pod_uid
        self._client = client
        self._halt = halt
        self._handed = HandedOver(spool)
        self._marks = place.private / "handed"
        for directory in (self._marks, place.private / "scratch"):
            directory.mkdir(parents=True, exist_ok=True)
        self._contents = RemoteContents(client, place.private / "scratch")
        snapshots = RemoteSnapshots(self._contents, client)
        self._checkout = Checkout(place.work, snapshots, state=place.private / "checkout")
        self._files = threading.Lock()
        self._at_work = 0
        self._tended: dict[str, threading.Thread] = {}
        self._host_is_over = threading.Event()
        self.thread = threading.Thread(target=self._take_all, name="commands", daemon=True)

    def start(self) -> None:
        """Take commands from now on, on a thread."""
        self._handed.make()
        self.thread.start()

    def finish(self) -> None:
        """The host is over, and all that it started with it: wait until what became of each command is told.

        Raises what `AttemptClient` raises.
        """
        self._host_is_over.set()
        while (found := self._client.next_command(self._pod_uid, tuple(self._tended), is_over=True)).order is not None:
            self._begin(found.order)
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for thread in list(self._tended.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def _take_all(self) -> None:
        try:
            while True:
                try:
                    found = self._client.next_command(self._pod_uid, tuple(self._tended))
                    if found.end:
                        self._handed.end()
                        log.info("sandbox_ends")
                        return
                except (Refused, OSError) as error:
                    log.error("no_command_taken", why=str(error))
                    self._halt.wait(_REFUSED_SECONDS)
                    continue
                if found.order is not None:
                    self._begin(found.order)
        except (Fenced, Stopped):
            log.debug("commands_stopped")

    def _begin(self, order: Order) -> None:
        is_adopted = self._mark(order).exists()
        if is_adopted:
            # Before anybody else's files are laid under it.
            with self._files:
                self._at_work += 1
        log.info("command_taken", call=order.call, adopted=is_adopted)
        thread = threading.Thread(target=self._tend, args=[order, is_adopted], name=order.call, daemon=True)
        self._tended[order.call] = thread
        thread.start()

    def _tend(self, order: Order, is_adopted: bool) -> None:
        """Bring one command to its end and tell of it."""
        try:
            outcome = self._carry_out(order, is_adopted)
            reach("runner.before_outcome")
            self._tell(order, outcome)
            reach("runner.after_outcome")
            log.info("command_ended", call=order.call, reason=outcome.reason, exit_code=outcome.exit_code)
        except (Fenced, Stopped):
            # Another sidecar goes on, or nobody wants to know.
            return
        except Exception:
            # The edge of a thread: the next sidecar gets the command again.
            log.exception("command_not_told", call=order.call)
            return
        self._tended.pop(order.call, None)
        self._clear(order)

    def _carry_out(self, order: Order, is_adopted: bool) -> Outcome:
        entered = is_adopted
        try:
            if not is_adopted:
                if self._host_is_over.is_set():
                    return Outcome(reason=NOT_STARTED)
                self._enter(order)
                entered = True
                reach("runner.command_laid")
                write_durably(self._mark(order), [order.snapshot.encode()], self._marks)
                reach("runner.command_marked")
            self._handed.give(order)
            reach("runner.command_given")
            return self._outcome(order, self._follow(order))
        except (Fenced, Stopped):
            raise
        except (CohortError, OSError) as error:
            log.warning("command_failed", call=order.call, why=str(error))
            is_begun = self._mark(order).exists()
            return Outcome(
                reason=ExitReason.SHIM_LOST if is_begun else NOT_LAID, output=str(error).encode()[:INLINE_BYTES]
            )
        finally:
            if entered:
                with self._files:
                    self._at_work -= 1

    def _enter(self, order: Order) -> None:
        """Lay the files of the command's snapshot, unless another command is at work in them."""
        with self._files:
            if not self._at_work:
                self._contents.asked_by = order.call
                self._checkout.lay(order.snapshot)
            self._at_work += 1

    def _follow(self, order: Order) -> ExitRecord | None:
        """Wait for the command's end. None: what became of it will never be known."""
        given, pause = time.monotonic(), _LOOK_SECONDS
        while True:
            # Asked in this order: a host that was over before cannot have let a command end since.
            is_over = self._host_is_over.is_set()
            record = self._handed.exit(order.call)
            if record is not None:
                return record
            waited = time.monotonic() - given
            if is_over or self._is_lost(order, waited):
                self._halt.wait(_SETTLE_SECONDS)
                return self._handed.exit(order.call)
            self._halt.wait(pause)
            pause = min(pause * 1.3, _LONGEST_LOOK_SECONDS)

    def _is_lost(self, order: Order, waited: float) -> bool:
        if not self._handed.has_shim(order.call):
            return waited > _START_SECONDS
        return waited > order.timeout_seconds + _OVERDUE_SECONDS or not self._handed.is_alive(order.call)

    def _outcome(self, order: Order, record: ExitRecord | None) -> Outcome:
        exit_code, reason = (None, ExitReason.SHIM_LOST) if record is None else (record.exit_code, record.reason)
        with self._files:
            output = self._handed.output(order.call)
            whole = self._contents.put_stream([output]) if len(output) > INLINE_BYTES else None
            try:
                changes, skipped = self._checkout.changes()
            except (Fenced, Stopped):
                raise
            except CohortError as error:
                changes, skipped = [], [Skipped("all changes", str(error))]
            return Outcome(
                exit_code=exit_code,
                reason=reason,
                output=b"" if whole else output,
                output_object=self._contents.brought(whole) if whole else None,
                changes=tuple(self._changed(change) for change in changes),
                skipped=tuple(f"{one.path} ({one.reason})"[:4096] for one in skipped[:MAX_SKIPPED]),
            )

    def _changed(self, change: Change) -> ChangedFile:
        content: Brought | None = None
        if isinstance(change.content, Blob):
            content = self._contents.brought(change.content)
        return ChangedFile(path=change.path, content=content, mode=change.mode)

    def _tell(self, order: Order, outcome: Outcome) -> None:
        try:
            self._client.put_outcome(order.call, self._pod_uid, outcome)
        except Refused as error:
            # How it ended is known and must not be lost with what it left.
            log.error("outcome_refused", call=order.call, why=str(error))
            rest = outcome.model_copy(update={"changes": (), "skipped": (f"all changes ({error})"[:4096],)})
            self._client.put_outcome(order.call, self._pod_uid, rest)

    def _clear(self, order: Order) -> None:
        try:
            self._handed.remove(order.call)
            self._mark(order).unlink(missing_ok=True)
        except OSError as error:
            log.warning("command_not_cleared", call=order.call, why=str(error))

    def _mark(self, order: Order) -> Path:
        return self._marks / order.call
