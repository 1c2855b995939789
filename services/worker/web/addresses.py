"""Which addresses and hosts a tool may reach. Pure.

An agent's words, a page's links and a redirect's target are all somebody else's: none of them may lead to a machine of
ours, to another tenant's, or to the service that gives a cloud's machines their credentials.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")


def is_public(text: str) -> bool:
    """Whether the address is one of the internet at large: not private, local to a link or a machine, shared, reserved
    or for many; nor one of IPv6 that stands for such a one of IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
        if address in _NAT64_LOCAL:
            return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True)
class Hosts:
    """The hosts that a tenant's tools may reach: by name, or by `*.name` for all below it. None: every public one."""

    patterns: Sequence[str] | None = None

    def allows(self, host: str) -> bool:
        """Whether the host is one of them. Case and a dot at the end make no difference."""
        if self.patterns is None:
            return True
        name = host.lower().rstrip(".")
        return any(_fits(name, pattern.lower().rstrip(".")) for pattern in self.patterns)


def _fits(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return name == pattern
