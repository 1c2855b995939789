"""The first so many names, the same ones for every process. On every Redis that Cohort runs on."""

from services.core.monitoring.rosters import Roster
from services.core.redis import Client


def test_the_first_names_keep_their_places_and_all_processes_agree(any_client: Client) -> None:
    one, other = (Roster(any_client, "tenants", most=2) for _ in range(2))
    assert [one.label(name) for name in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]
    assert [other.label(name) for name in ("c", "b", "a")] == ["other", "b", "a"]
    assert other.names() == {"a", "b"}


def test_rosters_of_different_kinds_have_places_of_their_own(any_client: Client) -> None:
    tenants, models = Roster(any_client, "tenants", most=1), Roster(any_client, "models", most=1)
    assert (tenants.label("a"), models.label("b")) == ("a", "b")


def test_who_is_only_looked_for_takes_no_place(any_client: Client) -> None:
    roster = Roster(any_client, "models", most=1)
    assert roster.seen("a") == "other"
    assert roster.label("b") == "b"
    assert (roster.seen("b"), roster.seen("a")) == ("b", "other")


def test_a_name_that_is_other_is_not_mistaken_for_a_place(any_client: Client) -> None:
    roster = Roster(any_client, "tenants", most=1)
    assert (roster.label("other"), roster.label("a")) == ("other", "a")
