"""The door to Redis."""

import pytest
from tests.servers import RedisServer, wait_until

from services.core.errors import StoreUnavailable
from services.core.redis import Client, connect, run_script


def test_a_killed_redis_is_store_unavailable_and_works_again_after_its_restart(
    redis_server: RedisServer, client: Client
) -> None:
    assert run_script(client, "lead", ["{leader}:x"], ["me", 60_000]) == 1
    redis_server.kill()
    with pytest.raises(StoreUnavailable):
        run_script(client, "lead", ["{leader}:x"], ["me", 60_000])
    redis_server.restart()
    assert run_script(client, "lead", ["{leader}:x"], ["me", 60_000]) == 1
