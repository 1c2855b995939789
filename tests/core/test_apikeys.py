import pytest

from services.core.apikeys import ApiKeys, BadKey, FirstKey, KeyNotFound, Scope
from services.core.errors import BadRequest, StoreUnavailable
from services.core.keys import api_key
from services.core.redis import Client
from tests.servers import RedisServer


@pytest.fixture
def api_keys(client: Client) -> ApiKeys:
    return ApiKeys(client)


def test_a_key_is_known_by_its_text_alone(api_keys: ApiKeys) -> None:
    record, text = api_keys.create("acme", [Scope.READ, Scope.SUBMIT], "ci")
    assert text.startswith(f"ck_{record.id}_")
    assert api_keys.check(text) == record
    assert record.may(Scope.READ) and record.may(Scope.SUBMIT)
    assert not record.may(Scope.CANCEL) and not record.may(Scope.ADMIN)


def test_admin_implies_every_scope(api_keys: ApiKeys) -> None:
    record, _ = api_keys.create("acme", [Scope.ADMIN], "root")
    assert all(record.may(scope) for scope in Scope)


def test_the_secret_is_nowhere_in_redis(api_keys: ApiKeys, client: Client) -> None:
    record, text = api_keys.create("acme", [Scope.READ], "ci")
    secret = text.rpartition("_")[2].encode()
    assert all(secret not in value for value in client.hgetall(api_key(record.id)).values())


@pytest.mark.parametrize("spoil", [lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), str.upper])
def test_a_wrong_secret_is_refused(api_keys: ApiKeys, spoil: object) -> None:
    _, text = api_keys.create("acme", [Scope.READ], "ci")
    with pytest.raises(BadKey):
        api_keys.check(spoil(text))  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "ck_", "ck__", "ck_" + "a" * 12 + "_" + "b" * 40, "x" * 10_000, "ck_é_ü", "\0"])
def test_what_is_no_key_is_refused(api_keys: ApiKeys, text: str) -> None:
    with pytest.raises(BadKey):
        api_keys.check(text)


def test_a_revoked_key_is_refused_at_once_and_stays_listed(api_keys: ApiKeys) -> None:
    record, text = api_keys.create("acme", [Scope.READ], "ci")
    first = api_keys.revoke(record.id)
    assert first.revoked is not None
    assert api_keys.revoke(record.id) == first
    with pytest.raises(BadKey):
        api_keys.check(text)
    assert api_keys.list("acme") == [first]


def test_keys_of_another_tenant_are_neither_listed_nor_revoked(api_keys: ApiKeys) -> None:
    ours, text = api_keys.create("acme", [Scope.READ], "ci")
    theirs, _ = api_keys.create("umbrella", [Scope.READ], "ci")
    assert api_keys.list("acme") == [ours]
    assert api_keys.list() == [ours, theirs]
    with pytest.raises(KeyNotFound):
        api_keys.revoke(ours.id, "umbrella")
    assert api_keys.check(text) == ours


@pytest.mark.parametrize("tenant", ["", "-a", "A", "a" * 64, "a}b", "a b"])
def test_a_tenant_that_could_break_a_redis_key_is_refused(api_keys: ApiKeys, tenant: str) -> None:
    with pytest.raises(BadRequest, match="tenant"):
        api_keys.create(tenant, [Scope.READ], "ci")


def test_a_key_needs_a_scope_and_a_name(api_keys: ApiKeys) -> None:
    with pytest.raises(BadRequest, match="scope"):
        api_keys.create("acme", [], "ci")
    with pytest.raises(BadRequest, match="name"):
        api_keys.create("acme", [Scope.READ], "")


def test_a_redis_that_is_away_is_no_bad_key(redis_server: RedisServer, api_keys: ApiKeys) -> None:
    _, text = api_keys.create("acme", [Scope.READ], "ci")
    redis_server.kill()
    with pytest.raises(StoreUnavailable):
        api_keys.check(text)


FIRST = f"ck_{'a' * 12}_{'b' * 40}"


def test_the_first_key_is_good_for_as_long_as_it_is_set(client: Client) -> None:
    record = ApiKeys(client, FirstKey(FIRST, "acme")).check(FIRST)
    assert (record.tenant, record.may(Scope.ADMIN)) == ("acme", True)
    with pytest.raises(BadKey):
        ApiKeys(client, FirstKey(FIRST.replace("b", "c"), "acme")).check(FIRST)
    with pytest.raises(BadKey):
        ApiKeys(client).check(FIRST)


@pytest.mark.parametrize(("text", "tenant"), [("hunter2", "acme"), (FIRST, "-")])
def test_a_first_key_that_is_none_is_refused_without_being_shown(text: str, tenant: str) -> None:
    with pytest.raises(BadRequest) as error:
        FirstKey(text, tenant)
    assert "hunter2" not in str(error.value)
