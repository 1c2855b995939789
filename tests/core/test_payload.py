"""Large payloads live in the artifact store."""

import json

import pytest

from services.core.artifacts import ArtifactStore
from services.core.payload import INLINE_BYTES, Payloads


def of_length(size: int) -> str:
    return json.dumps("x" * (size - 2))


@pytest.mark.parametrize("text", ["null", '{"a": "ü\\u2028"}', of_length(INLINE_BYTES)], ids=["null", "small", "limit"])
def test_a_small_payload_is_the_text_itself(artifacts: ArtifactStore, text: str) -> None:
    payloads = Payloads(artifacts)
    assert payloads.pack(text) == text
    assert payloads.unpack(text) == text


def test_a_large_payload_is_the_name_of_what_the_artifact_store_has(artifacts: ArtifactStore) -> None:
    payloads, text = Payloads(artifacts), of_length(INLINE_BYTES + 1)
    packed = payloads.pack(text)
    assert packed.startswith("@")
    assert len(packed) == 65
    assert artifacts.get(packed[1:]) == text.encode()
    assert payloads.unpack(packed) == text


def test_the_limit_counts_bytes_not_characters(artifacts: ArtifactStore) -> None:
    payloads = Payloads(artifacts)
    text = json.dumps("ü" * (INLINE_BYTES // 2), ensure_ascii=False)
    assert payloads.pack(text).startswith("@")
    assert payloads.unpack(payloads.pack(text)) == text


def test_the_same_payload_has_the_same_name(artifacts: ArtifactStore) -> None:
    payloads, text = Payloads(artifacts), of_length(INLINE_BYTES * 2)
    assert payloads.pack(text) == payloads.pack(text)
