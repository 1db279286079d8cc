"""From which networks an IP address can be reached, which decides whether a redirect may lead to it."""

import ipaddress
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Addresses that embed an IPv4 address in their last 32 bits: IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052).
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96")))


class Reach(IntEnum):
    """The widest network from which an address can be reached. The wider the network, the lower the value."""

    PUBLIC = 0
    PRIVATE = 1
    LINK_LOCAL = 2
    LOOPBACK = 3

    @property
    def adjective(self) -> str:
        return self.name.lower().replace("_", "-")


def reach_of(address: str) -> Reach:
    """Return the reach of `address`. An address that is neither public nor known counts as private."""
    found = ipaddress.ip_address(address)
    if found.is_loopback or found.is_unspecified:
        return Reach.LOOPBACK
    if isinstance(found, IPv6Address) and (inner := _embedded(found)):
        return reach_of(str(inner))
    if found in _THIS_NETWORK:
        return Reach.LOOPBACK
    if found.is_link_local:
        return Reach.LINK_LOCAL
    is_unicast = isinstance(found, IPv4Address) or found in _GLOBAL_UNICAST
    return Reach.PUBLIC if found.is_global and is_unicast and not found.is_multicast else Reach.PRIVATE


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _EMBEDDING):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)
