import pytest

from services.worker.web.addresses import Hosts, is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.7",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "2002:a00:1::1",
        "2002:7f00:1::",
    ],
)
def test_an_address_of_ours_of_a_neighbour_or_of_a_clouds_metadata_is_not(address: str) -> None:
    assert not is_public(address)


def test_without_a_list_every_host_is_allowed() -> None:
    assert Hosts().allows("example.com")


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("arxiv.org", True),
        ("ARXIV.org.", True),
        ("export.arxiv.org", False),
        ("huggingface.co", False),
        ("cdn.huggingface.co", True),
        ("a.b.huggingface.co", True),
        ("evilhuggingface.co", False),
        ("huggingface.co.evil.example", False),
        ("", False),
    ],
)
def test_a_list_allows_names_and_what_is_below_a_star(host: str, is_allowed: bool) -> None:
    assert Hosts(("arxiv.org", "*.huggingface.co")).allows(host) is is_allowed


def test_an_empty_list_allows_nothing() -> None:
    assert not Hosts(()).allows("example.com")
