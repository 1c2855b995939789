"""The API listens to whichever server the Sentinels name."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.api.hub import Hub
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.payload import Payloads
from services.core.redis import connect
from services.core.store import RunStore
from tests.sentinels import Sentinels
from tests.servers import RedisServer, wait_until

pytestmark = [pytest.mark.timeout(180)]


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    running = Sentinels(tmp_path / "sentinels", "hush-hush")
    yield running
    running.stop()


def test_it_listens_to_the_new_primary_after_a_failover(sentinels: Sentinels, artifacts: ArtifactStore) -> None:
    client = connect(sentinels.url())
    hub = Hub(RunStore(client, Keys(), Payloads(artifacts)), sentinels.url())

    def is_heard(server: RedisServer) -> bool:
        with sentinels.client(server) as asked:
            return bool(asked.pubsub_numpat())

    async def listen() -> None:
        async with hub.listening():
            first = sentinels.primary()
            await asyncio.to_thread(wait_until, lambda: is_heard(first), 60)
            second = await asyncio.to_thread(sentinels.fail_over)
            await asyncio.to_thread(wait_until, lambda: is_heard(second), 60)

    asyncio.run(listen())
    client.close()
