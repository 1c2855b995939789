"""One run's news, read once in this process for all who watch it.

Events are always read from the log by their seq; what Redis announces only says when to look, and a look every few
seconds repairs an announcement that was lost. The newest events stay in a bounded ring. A watcher that is further
behind than the ring reaches reads the log itself, at its own pace: nobody is waited for and nothing piles up.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass

import structlog
from anyio.to_thread import run_sync

from services.api.sse import frame
from services.core import events as ev
from services.core.errors import CohortError
from services.core.keys import COMMAND_QUEUED, step_of_attempt
from services.core.lifecycle import Status
from services.core.records import RunState
from services.core.store import RunStore

POLL_SECONDS = 2.0
_RING_BYTES = 1 << 20
_RING_EVENTS = 1_000
_BATCH = 200
_SIGHTINGS = 32

log = structlog.get_logger()


@dataclass(frozen=True)
class Rest:
    """Where a run stands that goes on no further by itself, after event `seq`."""

    seq: int
    status: Status
    exit_code: int | None


def rest(state: RunState) -> Rest | None:
    """How the run rests: it is over, or a person has to answer. None while it works or waits for the world."""
    return Rest(state.seq, state.status, state.exit_code) if _rests(state.status) else None


def _rests(status: Status) -> bool:
    return status.is_final or status is Status.NEEDS_HUMAN


class Feed:
    """The shared view of one run. Only the event loop's thread touches it."""

    def __init__(self, store: RunStore, state: RunState) -> None:
        self._store = store
        self.run = state.run
        self.head = state.seq
        self.floor = state.seq
        self.rest = rest(state)
        self._status = state.status
        self.log_bytes: dict[str, int] = {}
        self._ring: deque[tuple[int, bytes]] = deque()
        self._ring_bytes = 0
        self._sightings: deque[tuple[int, bytes]] = deque(maxlen=_SIGHTINGS)
        self.sighted = 0
        self._look = asyncio.Event()
        self._news = asyncio.Event()

    # --- For watchers ---------------------------------------------------------------------------------------------

    def frames_after(self, seq: int) -> tuple[list[bytes], int]:
        """The ring's events after `seq`, which must not be below `floor`, and the seq they reach."""
        return [data for number, data in self._ring if number > seq], max(seq, self.head)

    def sightings_after(self, number: int) -> list[bytes]:
        """The newest live observations that came after the one of this number; older ones are passed over."""
        return [data for position, data in self._sightings if position > number]

    async def news(self, seconds: float) -> bool:
        """Wait for anything new; False when nothing came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    # --- For the hub ----------------------------------------------------------------------------------------------

    def hear(self, announcement: bytes) -> None:
        """Take what Redis announces of this run: a seq, a JSON object with what was seen of an attempt,
        or that its sandbox has something to look at."""
        if announcement == COMMAND_QUEUED.encode():
            self.wake()
            return
        if not announcement.startswith(b"{"):
            self._look.set()
            return
        said = json.loads(announcement)
        attempt = str(said["attempt"])
        if "log_bytes" in said:
            self.log_bytes[attempt] = int(said["log_bytes"])
        else:
            self.sighted += 1
            seen = {**said, "step": step_of_attempt(attempt)}
            self._sightings.append((self.sighted, frame("progress", seen)))
        self.wake()

    def look(self) -> None:
        """Have the log looked at soon."""
        self._look.set()

    def wake(self) -> None:
        """Let every watcher go round once."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def keep(self) -> None:
        """Follow the run's log until cancelled."""
        while True:
            try:
                await self._read_on()
            except CohortError as error:
                # Watchers stay; what they miss now they get when the store answers again.
                log.warning("feed_stalled", run=self.run, error=str(error))
            except Exception:
                # The edge of this task: it would end unseen, and its watchers would wait for nothing.
                log.exception("feed_crashed", run=self.run)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                continue
            self._look.clear()

    async def _read_on(self) -> None:
        while events := await run_sync(self._store.events, self.run, self.head, _BATCH):
            for event in events:
                self._keep_frame(event)
            self.rest = await self._rest() if _rests(self._status) else None
            self.wake()

    async def _rest(self) -> Rest | None:
        found = rest(await run_sync(self._store.state, self.run))
        # Only once every event up to it has been read; otherwise the next look says.
        return found if found is not None and found.seq == self.head else None

    def _keep_frame(self, event: ev.Event) -> None:
        data = event_frame(event)
        self._ring.append((event.seq, data))
        self._ring_bytes += len(data)
        self.head = event.seq
        if isinstance(event.data, ev.StatusChanged):
            self._status = event.data.target
        while self._ring_bytes > _RING_BYTES or len(self._ring) > _RING_EVENTS:
            self.floor, gone = self._ring.popleft()
            self._ring_bytes -= len(gone)


def event_frame(event: ev.Event) -> bytes:
    """An event of the log as clients of the stream get it."""
    return frame(event.event_type, event.wire(), event.seq)
