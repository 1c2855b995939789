"""The names in Redis."""

import re

import pytest
from redis.crc import key_slot

from services.core import keys as names
from services.core.keys import Keys

RUN = "rk3v9x2m4q8aa"


def test_run_ids_are_fit_for_a_dns_name_and_never_the_same() -> None:
    ids = {names.new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"r[a-z0-9]{12}", run) for run in ids)


def test_the_same_digest_gives_the_same_id_and_another_gives_another() -> None:
    first = names.run_id_from(b"0123456789abcdef")
    assert first == names.run_id_from(b"0123456789abcdef")
    assert re.fullmatch(r"r[a-z0-9]{12}", first)
    assert len({names.run_id_from(bytes([number]) * 32) for number in range(256)}) == 256


@pytest.mark.parametrize("step", ["train", "a", "train-2", "x" * 24])
def test_an_attempts_id_tells_its_run_and_its_step(step: str) -> None:
    attempt = names.attempt_id(RUN, step, 12)
    assert attempt == f"{RUN}-{step}-12"
    assert names.run_of_attempt(attempt) == RUN
    assert names.step_of_attempt(attempt) == step
    assert len(attempt) <= 63


def test_everything_of_a_run_is_in_one_slot_of_a_cluster() -> None:
    keys = Keys()
    tag = keys.tag(RUN)
    attempt = names.attempt_id(RUN, "train", 1)
    together = [
        keys.run(RUN),
        keys.events(RUN),
        keys.talk(RUN),
        keys.seen(RUN),
        keys.due(tag),
        keys.overdue(tag),
        keys.live(tag),
        keys.ended(tag),
        keys.attempts(tag),
        keys.tenant(tag, "acme"),
        keys.tenant(tag, "acme", "running"),
        keys.attempt(attempt),
        keys.attempt(attempt, "tail"),
    ]
    assert len(set(together)) == len(together)
    assert len({key_slot(key.encode()) for key in together}) == 1


def test_a_tenants_money_is_in_one_slot_and_so_are_the_keys() -> None:
    assert key_slot(names.ledger("acme").encode()) == key_slot(names.holds("acme").encode())
    assert key_slot(names.api_key("abc").encode()) == key_slot(names.API_KEY_INDEX.encode())


@pytest.mark.parametrize("shards", [1, 16, 99])
def test_runs_spread_over_every_shard_there_is(shards: int) -> None:
    keys = Keys(shards)
    used = {keys.tag(names.new_run_id()) for _ in range(100 * shards)}
    assert used == set(keys.tags())
    assert len(keys.tags()) == shards


def test_the_shards_spread_over_a_clusters_slots() -> None:
    assert len({key_slot(tag.encode()) for tag in Keys().tags()}) == 16
