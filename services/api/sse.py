"""Server-sent events as bytes, and the answer that carries them."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic_core import to_json
from starlette.responses import StreamingResponse

# One event as the OpenAPI document shows it.
SCHEMA = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
KEEP_ALIVE = b": keep-alive\n\n"
# A client waits so many milliseconds before it asks again, here: after a stream that ends because this process does.
GOODBYE = b"retry: 1000\n\n"
# Ends of lines to some clients' libraries, though not to the standard.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def frame(event: str, data: Any, ident: int | None = None) -> bytes:
    """One event. `data` becomes one line of JSON, so no text in it can end the event or forge another."""
    line = to_json(data, inf_nan_mode="strings")
    for end, escaped in _LINE_ENDS:
        line = line.replace(end, escaped)
    head = b"" if ident is None else b"id: %d\n" % ident
    return b"%sevent: %s\ndata: %s\n\n" % (head, event.encode(), line)


def stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """The answer that sends `frames` as they come, past every buffer on the way."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)
