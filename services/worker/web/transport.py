"""Connections to addresses that a tool may reach, and to no others: looked up, checked and connected to in one go.

A name is looked up here alone, so that it cannot lead to one address when it is checked and to another when it is used.
"""

import socket
from collections.abc import Collection, Iterable
from typing import Any

import httpcore
import httpx

from services.worker.web.addresses import is_public
from services.worker.web.failures import NotAllowed

Place = tuple[str, int]
"""Host and port of a server."""

_POOL = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30)


def transport(trusted: Collection[Place]) -> httpx.BaseTransport:
    """A transport that connects to public addresses, and to `trusted` places wherever they are: those an operator has
    set. No proxy of the environment is used."""
    made = httpx.HTTPTransport(limits=_POOL, trust_env=False)
    # The one place where httpx offers no way to say so.
    made._pool._network_backend = _Guarded(frozenset(trusted))
    return made


class _Guarded(httpcore.NetworkBackend):
    def __init__(self, trusted: frozenset[Place]) -> None:
        self._trusted = trusted
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if (host, port) in self._trusted:
            return self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in _public_addresses(host, port):
            try:
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")


def _public_addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address") from error
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not all(map(is_public, addresses)):
        raise NotAllowed(f"{host} is not on the internet, so no tool may reach it")
    return addresses
