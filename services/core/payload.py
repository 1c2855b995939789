"""Large payloads live in the artifact store; Redis keeps their name.

A packed payload is either the JSON text itself or `@<sha256>`. JSON never begins with `@`: the two cannot be mixed up.
"""

from typing import Protocol

INLINE_BYTES = 16 * 1024


class Blobs(Protocol):
    """The part of the artifact store that payloads need."""

    def put(self, data: bytes) -> str: ...
    def get(self, sha256: str) -> bytes: ...


class Payloads:
    """Packs JSON texts larger than `INLINE_BYTES` away, and brings them back."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def pack(self, text: str) -> str:
        data = text.encode()
        return text if len(data) <= INLINE_BYTES else "@" + self._blobs.put(data)

    def unpack(self, packed: str) -> str:
        return self._blobs.get(packed[1:]).decode() if packed.startswith("@") else packed
