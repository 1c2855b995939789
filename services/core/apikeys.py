"""API keys: who calls, for which tenant, and what they may do.

A key reads `ck_<id>_<secret>`. The secret has 206 random bits, so one SHA-256 of it is all that is stored and no slow
hash is needed. Nothing is cached: a revoked key is refused at its next use.

An install's first key comes from its settings and is kept nowhere: it is good for as long as it is set.
"""

import hmac
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from services.core.errors import BadRequest, CohortError, NotFound
from services.core.keys import API_KEY_INDEX, api_key
from services.core.record import Versioned
from services.core.redis import Client, answered

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH, _SECRET_LENGTH = 12, 40
_KEY = re.compile(r"ck_([0-9a-z]{12})_([0-9a-z]{40})")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_NAME = 100
_TENANT_RULE = "a tenant is named with 1 to 63 of a-z, 0-9 and '-', not beginning with '-'"


class Scope(StrEnum):
    """What a key may do. `admin` may do everything within its tenant."""

    SUBMIT = "submit"
    READ = "read"
    CANCEL = "cancel"
    ADMIN = "admin"


class BadKey(CohortError):
    """The key is malformed, unknown, wrong or revoked; which of them is nobody's business."""


class KeyNotFound(NotFound):
    """No such key for this tenant."""


class KeyRecord(Versioned):
    """An API key without its secret. Times are seconds since the epoch."""

    id: str
    tenant: str
    name: str
    scopes: tuple[Scope, ...]
    created: float
    revoked: float | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True)
class FirstKey:
    """The key that the operator gave the API, with every right of its tenant. Raises `BadRequest` if it is none."""

    text: str = field(repr=False)
    tenant: str

    def __post_init__(self) -> None:
        if _KEY.fullmatch(self.text) is None:
            raise BadRequest("COHORT_FIRST_KEY: a key reads ck_, 12 of a-z and 0-9, _, and 40 of them", "first_key")
        if not TENANT.fullmatch(self.tenant):
            raise BadRequest(f"COHORT_FIRST_TENANT: {_TENANT_RULE}", "first_tenant")

    def record(self) -> KeyRecord:
        return KeyRecord(
            id=self.text.split("_")[1], tenant=self.tenant, name="first", scopes=(Scope.ADMIN,), created=0.0
        )


class ApiKeys:
    """The keys of one install."""

    def __init__(self, client: Client, first: FirstKey | None = None) -> None:
        self._client = client
        self._first = first

    @answered
    def create(self, tenant: str, scopes: Collection[Scope], name: str) -> tuple[KeyRecord, str]:
        """A new key and its text, which nobody can ever show again. Raises `BadRequest`."""
        if not TENANT.fullmatch(tenant):
            raise BadRequest(_TENANT_RULE, "tenant")
        if not scopes:
            raise BadRequest("a key needs at least one scope", "scopes")
        if not 0 < len(name) <= MAX_NAME:
            raise BadRequest(f"a key's name has 1 to {MAX_NAME} characters", "name")
        key_id, secret = _random(_ID_LENGTH), _random(_SECRET_LENGTH)
        ordered = tuple(scope for scope in Scope if scope in scopes)
        record = KeyRecord(id=key_id, tenant=tenant, name=name, scopes=ordered, created=time.time())
        # The record first: an indexed key always exists.
        self._client.hset(api_key(key_id), mapping={"record": record.model_dump_json(), "secret": _digest(secret)})
        self._client.sadd(API_KEY_INDEX, key_id)
        return record, f"ck_{key_id}_{secret}"

    @answered
    def check(self, text: str) -> KeyRecord:
        """Whose key this is. Raises `BadKey`."""
        match = _KEY.fullmatch(text)
        if match is None:
            raise BadKey("this is no API key")
        if self._first is not None and hmac.compare_digest(_digest(text), _digest(self._first.text)):
            return self._first.record()
        found, stored, revoked = self._client.hmget(api_key(match[1]), "record", "secret", "revoked")
        is_right = hmac.compare_digest(_digest(match[2]), (stored or b"").decode())
        if not is_right or revoked is not None:
            raise BadKey("this API key is unknown or revoked")
        return KeyRecord.read(found)

    @answered
    def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """The keys of one tenant, or all, revoked ones too; oldest first."""
        ids = [key_id.decode() for key_id in self._client.smembers(API_KEY_INDEX)]
        records = [self._read(key_id) for key_id in ids]
        wanted = [record for record in records if tenant is None or record.tenant == tenant]
        return sorted(wanted, key=lambda record: (record.created, record.id))

    @answered
    def revoke(self, key_id: str, tenant: str | None = None) -> KeyRecord:
        """End a key, of this tenant if one is named; ending it again changes nothing. Raises `KeyNotFound`."""
        record = self._read(key_id)
        if tenant is not None and record.tenant != tenant:
            raise KeyNotFound(f"there is no key {key_id}")
        self._client.hsetnx(api_key(key_id), "revoked", repr(time.time()))
        return self._read(key_id)

    def _read(self, key_id: str) -> KeyRecord:
        found, revoked = self._client.hmget(api_key(key_id), "record", "revoked")
        if found is None:
            raise KeyNotFound(f"there is no key {key_id}")
        record = KeyRecord.read(found)
        return record.model_copy(update={"revoked": float(revoked)}) if revoked is not None else record


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
