"""The door to Redis."""

import pytest

from services.core.errors import StoreUnavailable
from services.core.redis import Client, answered, connect, run_script
from tests.servers import RedisServer

LEADER = ["{leader}:sweeper"]


def lead(client: Client, name: str, lease_ms: int = 60_000) -> int:
    return int(run_script(client, "lead", LEADER, [name, lease_ms]))


def test_a_script_runs_on_a_server_that_has_never_seen_it(any_client: Client) -> None:
    any_client.script_flush()
    assert lead(any_client, "me") == 1
    assert lead(any_client, "me") == 1


def test_one_name_leads_until_it_falls_silent(any_client: Client) -> None:
    assert lead(any_client, "first") == 1
    assert lead(any_client, "second") == 0
    any_client.hset(LEADER[0], "until", 1)
    assert lead(any_client, "second") == 2
    assert lead(any_client, "first") == 0


def test_a_leader_that_comes_back_too_late_has_a_new_generation(any_client: Client) -> None:
    assert lead(any_client, "first") == 1
    any_client.hset(LEADER[0], "until", 1)
    assert lead(any_client, "first") == 2


def test_a_leader_that_asks_again_leads_longer(any_client: Client) -> None:
    lead(any_client, "first", 1_000)
    before = int(any_client.hget(LEADER[0], "until"))
    lead(any_client, "first", 90_000)
    assert int(any_client.hget(LEADER[0], "until")) > before + 60_000


def test_a_killed_redis_is_store_unavailable_and_works_again_after_its_restart(
    redis_server: RedisServer, client: Client
) -> None:
    assert lead(client, "me") == 1
    redis_server.kill()
    with pytest.raises(StoreUnavailable):
        lead(client, "me")
    redis_server.restart()
    assert lead(client, "me") == 1


def test_a_redis_that_is_restarted_between_two_commands_is_not_noticed(
    redis_server: RedisServer, client: Client
) -> None:
    assert lead(client, "me") == 1
    redis_server.restart()
    assert lead(client, "me") == 1


def test_no_redis_is_store_unavailable_for_a_script_and_for_a_command(redis_server: RedisServer) -> None:
    client = connect(redis_server.url)
    redis_server.kill()

    @answered
    def ask() -> object:
        return client.get("x")

    for call in (ask, lambda: lead(client, "me")):
        with pytest.raises(StoreUnavailable):
            call()


def test_what_redis_refuses_is_store_unavailable(any_client: Client) -> None:
    any_client.set(LEADER[0], "not a hash")
    with pytest.raises(StoreUnavailable):
        lead(any_client, "me")


def test_the_decorator_keeps_the_contract_of_what_it_decorates() -> None:
    @answered
    def ask() -> int:
        """Some contract."""
        return 3

    assert (ask(), ask.__name__, ask.__doc__) == (3, "ask", "Some contract.")
