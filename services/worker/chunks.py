"""What a model says while it says it, as events."""

import time

from services.core import events as ev
from services.core.store import Draft
from services.worker.reply import encodable
from services.worker.session import Session

_CHUNK_SECONDS = 0.25
_CHUNK_CHARS = 2_000


class Chunks:
    """Puts deltas together into pieces of some size, so that the log holds a few events a second and not hundreds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parts: list[str] = []
        self._since = time.monotonic()

    def add(self, text: str) -> None:
        self._parts.append(text)
        if time.monotonic() - self._since > _CHUNK_SECONDS or sum(map(len, self._parts)) > _CHUNK_CHARS:
            self.flush()

    def flush(self) -> None:
        text, self._parts, self._since = encodable("".join(self._parts)), [], time.monotonic()
        if text:
            self._session.write(lambda _: Draft((ev.AssistantChunk(content=text),)))
