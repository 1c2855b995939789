"""Long answers: head and tail are shown, the whole is kept in the artifact store and can be read by its pointer."""

from services.core.artifacts import ArtifactStore

ANSWER_CHARS = 8_000
_HEAD_SHARE = 0.25
POINTER = "output:"


def bounded(text: str, artifacts: ArtifactStore, limit: int = ANSWER_CHARS) -> str:
    """`text`, or its head and tail with what was left out and how to read it."""
    if len(text) <= limit:
        return text
    name = POINTER + artifacts.put(text.encode())
    head, tail = round(limit * _HEAD_SHARE), limit - round(limit * _HEAD_SHARE)
    cut = text[head:-tail]
    note = f"[… {len(cut)} characters, {cut.count(chr(10))} lines left out; read them with read(path={name!r}) …]"
    return f"{text[:head]}\n{note}\n{text[-tail:]}"
