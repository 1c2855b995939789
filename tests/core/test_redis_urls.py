"""How a Redis is named."""

import pytest

from services.core.errors import BadRequest
from services.core.redis import connect
from services.core.redis_urls import SentinelAddress, sentinel_address

HOSTS = (("h1", 26379), ("h2", 26380), ("::1", 26379))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis+sentinel://h1,h2:26380,[::1]:26379?service=m", SentinelAddress(HOSTS, "m")),
        ("redis+sentinel://h1,h2:26380,[::1]/3?service=m", SentinelAddress(HOSTS, "m", 3)),
        ("redis+sentinel://:p%40ss@h1/0?service=m", SentinelAddress(HOSTS[:1], "m", password="p@ss")),
        ("redis+sentinel://me:x@h1?service=m", SentinelAddress(HOSTS[:1], "m", user="me", password="x")),
        (
            "redis+sentinel://h1?service=m&sentinel_user=s&sentinel_password=t%26u",
            SentinelAddress(HOSTS[:1], "m", sentinel_user="s", sentinel_password="t&u"),
        ),
    ],
)
def test_sentinels_are_named_with_their_service(url: str, address: SentinelAddress) -> None:
    assert sentinel_address(url, "COHORT_REDIS_URL") == address


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://:hush@h/1", "unix:///run/redis.sock?db=0"])
def test_a_server_is_no_sentinel(url: str) -> None:
    assert sentinel_address(url, "COHORT_REDIS_URL") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://:hush@h1", "service= is missing"),
        ("redis+sentinel://:hush@h1?service=", "service= is missing"),
        ("redis+sentinel://:hush@?service=m", "no host:port"),
        ("redis+sentinel://:hush@h1,,h2?service=m", "no host:port"),
        ("redis+sentinel://:hush@h1:x?service=m", "no host:port"),
        ("redis+sentinel://:hush@h1:0?service=m", "no host:port"),
        ("redis+sentinel://:hush@h1/mymaster?service=m", "is no number"),
        ("redis+sentinel://:hush@h1?service=m&db=1", "only sentinel_password, sentinel_user, service can be"),
        ("sentinel://:hush@h1", "begins with none of"),
        ("http://:hush@h1", "begins with none of"),
        ("hush", "begins with none of"),
        ("redis://:hu/sh@h1:6379", "%-encoded"),
        ("redis://:hush@h1:port", "no number"),
    ],
)
def test_what_names_no_redis_is_said_without_quoting_it(url: str, said: str) -> None:
    with pytest.raises(BadRequest) as error:
        connect(url)
    assert said in str(error.value)
    assert str(error.value).startswith("COHORT_REDIS_URL: ")
    assert "hush" not in str(error.value)


def test_sentinels_and_a_cluster_do_not_go_together() -> None:
    with pytest.raises(BadRequest, match="not over a Redis Cluster"):
        connect("redis+sentinel://h1?service=m", cluster=True)


def test_a_password_is_not_shown() -> None:
    address = sentinel_address("redis+sentinel://:hush@h1?service=m&sentinel_password=hush", "X")
    assert "hush" not in repr(address)


def test_celery_gets_every_sentinel_with_the_servers_password() -> None:
    address = sentinel_address("redis+sentinel://:p%40ss@h1,h2:26380/1?service=m", "X")
    assert address is not None
    assert address.broker_url() == "sentinel://:p%40ss@h1:26379/1;sentinel://:p%40ss@h2:26380/1"
