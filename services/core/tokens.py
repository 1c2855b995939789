"""The runner's credential: a signed, short-lived statement of which attempt may write.

`v1.<attempt>.<expiry>.<HMAC-SHA256>`; the version is the runner protocol's, as the controller speaks it that issued the
token. Nothing is stored, so a restarted controller can issue the same one again, and any API process can check it. What
may change within a version of the protocol, and how long one is understood: docs/versions.md.
"""

import hmac
import time
from hashlib import sha256

from services.core.errors import CohortError

PROTOCOL = 1
"""The runner's protocol that this version speaks."""
OLDEST_PROTOCOL = 1
"""The oldest one that it still understands: that of the release two minor versions back."""


class BadToken(CohortError):
    """The token is malformed, expired, for another attempt or not ours."""


class WrongProtocol(CohortError):
    """The runner speaks a protocol that this version does not understand."""


def issue(secret: str, attempt: str, expires: float) -> str:
    """A token for `attempt`, good until `expires` (seconds since the epoch)."""
    head = f"v{PROTOCOL}.{attempt}.{int(expires)}"
    return f"{head}.{_sign(secret, head)}"


def check(secret: str, attempt: str, token: str, now: float | None = None) -> None:
    """Raise `BadToken` unless `token` was issued for `attempt` and is still good, and `WrongProtocol` unless we
    understand who uses it."""
    head, _, signature = token.rpartition(".")
    parts = head.split(".")
    if len(parts) != 3 or not hmac.compare_digest(signature.encode(), _sign(secret, head).encode()):
        raise BadToken("this is no token of ours for the runner's ingest")
    check_protocol(int(parts[0][1:]))
    if parts[1] != attempt:
        raise BadToken("this token belongs to another attempt")
    if int(parts[2]) < (time.time() if now is None else now):
        raise BadToken("this token has expired")


def check_protocol(spoken: int) -> None:
    """Raise `WrongProtocol` unless this version of the runner's protocol is understood here."""
    if not OLDEST_PROTOCOL <= spoken <= PROTOCOL:
        known = f"{OLDEST_PROTOCOL} to {PROTOCOL}" if OLDEST_PROTOCOL < PROTOCOL else f"{PROTOCOL}"
        how = "this API is too old for it: upgrade it first" if spoken > PROTOCOL else "its step has to be tried again"
        raise WrongProtocol(f"the runner speaks protocol {spoken}, and this API {known}; {how}")


def receipt(secret: str, attempt: str, sha256: str, size: int) -> str:
    """Our word that `attempt` brought the object: a digest alone is no right to name one."""
    return _sign(secret, f"object.{attempt}.{sha256}.{size}")


def is_receipt(secret: str, attempt: str, sha256: str, size: int, text: str) -> bool:
    """Whether `text` is our word that `attempt` brought the object."""
    return hmac.compare_digest(text.encode(), receipt(secret, attempt, sha256, size).encode())


def _sign(secret: str, head: str) -> str:
    return hmac.new(secret.encode(), head.encode(), sha256).hexdigest()
