"""Sending a reply's bytes: whole, or only half of them on purpose."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Then: TypeAlias = Literal["hang", "close"]


class Delivery(Response):
    """Sends `pieces` one by one, `delay_seconds` before each but the first."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        media_type: str,
        *,
        delay_seconds: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)
        self._pieces = pieces
        self._delay_seconds = delay_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send_pieces(self._pieces, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_pieces(self, pieces: Sequence[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for index, piece in enumerate(pieces):
            if index and self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await send({"type": "http.response.body", "body": piece, "more_body": True})


class HalfDelivery(Delivery):
    """Sends half of the pieces, then either nothing until the client goes, or closes the connection."""

    def __init__(self, pieces: Sequence[bytes], media_type: str, *, then: Then) -> None:
        super().__init__(pieces, media_type)
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send_pieces(self._pieces[: len(self._pieces) // 2], send)
        if self._then == "hang":
            await _client_gone(receive)
        # Returning with the body unfinished is what makes the server close the connection.


class Silence(Response):
    """Sends nothing until the client goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _client_gone(receive)


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
