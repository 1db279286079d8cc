"""The addresses of clients, each in one form, and the hosts that have them."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address


def plain(text: str) -> Address:
    """Return an address without its zone, and an IPv4-mapped one as IPv4. Raise ValueError if the text is none."""
    found = ip_address(text.partition("%")[0])
    return (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found


def host_of(address: Address) -> str:
    """Return the host with an address: in IPv6 a network of 64 bits, any address of which a single host can have."""
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((address, 64), strict=False))
