"""Who watches what in this process, and the one connection on which Redis announces news.

Redis delivers a published message to every subscriber of every node, so the same plain connection serves a Redis
Cluster. Announcements are hints: with this connection down, feeds go on by looking every few seconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio
import structlog
from anyio.to_thread import run_sync
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from services.api.feed import Feed
from services.core.keys import run_channel
from services.core.redis import sentinel_options
from services.core.redis_urls import sentinel_address
from services.core.store import RunStore

_CANCEL_SECONDS = 0.2
_RECONNECT_SECONDS = 0.5
_LISTEN_SECONDS = 10.0
_ERROR_CHARS = 300

log = structlog.get_logger()


@dataclass
class _Watched:
    feed: Feed
    keeper: asyncio.Task[None]
    watchers: int = 0


class Hub:
    """Feeds for those who watch runs, one per run however many watch. Lives in one event loop."""

    def __init__(self, store: RunStore, redis_url: str) -> None:
        self._store = store
        self._redis_url = redis_url
        self._watched: dict[str, _Watched] = {}
        self._prefix = run_channel("").encode()
        self.is_closing = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen to Redis for as long as the context is open."""
        listener = asyncio.create_task(self._listen(), name="hub")
        try:
            yield
        finally:
            self.close()
            # A connection on its way can swallow a cancel.
            while not listener.done():
                listener.cancel()
                await asyncio.wait([listener], timeout=_CANCEL_SECONDS)

    @asynccontextmanager
    async def feed(self, run: str) -> AsyncIterator[Feed]:
        """The run's feed. Raises `RunNotFound`, `StoreUnavailable`."""
        state = await run_sync(self._store.state, run)
        if run not in self._watched:
            feed = Feed(self._store, state)
            self._watched[run] = _Watched(feed, asyncio.create_task(feed.keep(), name=f"feed {run}"))
        watched = self._watched[run]
        watched.watchers += 1
        # The feed may be older than this state: whoever has seen more of the run must not wait for it.
        if state.seq > watched.feed.head:
            watched.feed.look()
        try:
            yield watched.feed
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                watched.keeper.cancel()
                del self._watched[run]

    def close(self) -> None:
        """Let all streams and waits end: this process is going to."""
        self.is_closing = True
        for watched in self._watched.values():
            watched.feed.wake()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                log.warning("announcements_lost", error=str(error)[:_ERROR_CHARS], again_in_seconds=_RECONNECT_SECONDS)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        async with _client(self._redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.psubscribe(run_channel("*"))
            # What was said while nobody listened.
            for watched in self._watched.values():
                watched.feed.look()
            while True:
                message = await channel.get_message(timeout=_LISTEN_SECONDS)
                if message is None:
                    # A connection that died silently would otherwise look like a quiet one.
                    await channel.ping()
                elif message["type"] == "pmessage":
                    self._hear(message["channel"], message["data"])

    def _hear(self, channel: bytes, announcement: bytes) -> None:
        watched = self._watched.get(channel.removeprefix(self._prefix).decode(errors="replace"))
        if watched is None:
            return
        try:
            watched.feed.hear(announcement)
        except (ValueError, KeyError, TypeError) as error:
            # Another version's announcement. The log itself is looked at anyway.
            log.warning("announcement_not_understood", run=watched.feed.run, error=str(error))


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client for the channels, of the server or the primary that the URL names now."""
    options: dict[str, Any] = {"socket_connect_timeout": 5, "socket_keepalive": True, "client_name": "cohort-hub"}
    address = sentinel_address(url, "COHORT_REDIS_URL")
    if address is None:
        async with redis.asyncio.Redis.from_url(url, **options) as client:
            yield client
        return
    kind: Any = Sentinel
    watch = kind(address.sentinels, **sentinel_options(address, options))
    try:
        async with watch.master_for(address.service) as client:
            yield client
    finally:
        # They are asked once for each connection, and nobody else closes them.
        for sentinel in watch.sentinels:
            await sentinel.aclose()
