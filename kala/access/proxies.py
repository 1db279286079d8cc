"""What reverse proxies say about their clients: the address of each, and who has logged in.

Only trusted proxies are believed, which have called over TCP from an address in `trusted_proxies`, on this machine
perhaps as a certain user: else every local user could pass for the proxy.
"""

import ipaddress
import pwd
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kala.core.caller import Caller, Role, highest
from kala.core.errors import Forbidden
from kala.server.addresses import Address, plain
from kala.server.peer import Peer

_EVERYONE = "*"
_LONGEST_NAME = 200
# What proxies add to requests: RFC 7239 and RFC 9110, 7.6.3, and the names that nginx, HAProxy, Envoy and others use.
_FORWARDING = (
    *("Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Envoy-External-Address"),
    *(f"X-Forwarded-{name}" for name in ("For", "Proto", "Host", "Port", "Server", "Prefix", "Scheme", "Ssl", "User")),
    *("Cf-Connecting-Ip", "True-Client-Ip", "Fly-Client-Ip"),
)


class _Trusted(NamedTuple):
    """An entry of trusted_proxies. The uid is None if there is no such user, so that nobody is trusted."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    is_any_user: bool
    uid: int | None

    def is_user_of(self, peer: Peer) -> bool:
        """Whether its user is at the other end. The kernel is asked only if it has one."""
        return self.uid is not None and self.uid == peer.uid


class Proxies:
    """The trusted proxies and their headers, from the settings of these names.

    No proxy is trusted on a Unix socket. The user at the other end of a connection is asked for only where that
    matters. The users of the setting are looked up once, here.
    """

    def __init__(
        self, trusted_proxies: Iterable[str], user_header: str, groups_header: str, group_roles: Mapping[str, Role]
    ) -> None:
        self._trusted = list(map(_trusted, trusted_proxies))
        self._user_header = user_header
        self._groups_header = groups_header
        self._group_roles = group_roles

    def client_address(self, peer: Peer, headers: Mapping[str, str]) -> str:
        """Return the address of the client: the last one that is not a trusted proxy's.

        Each proxy adds to X-Forwarded-For the address that it was called from. A client that is not trusted
        can have written anything before its own address.
        """
        if not self._trusted or "X-Forwarded-For" not in headers:
            return peer.address
        address = peer.address
        end: Peer | None = peer
        for text in reversed(headers["X-Forwarded-For"].split(",")):
            parsed = _parsed(text.strip())
            if parsed is None or not self._is_trusted(address, end):
                break
            address, end = str(parsed), None
        return address

    def caller(self, peer: Peer, headers: Mapping[str, str]) -> Caller | None:
        """Return who has logged in at a trusted proxy; None if nobody has, or if the request is not from one.

        Their role is the highest of their groups, which have commas between them, and of `*`. Raise Forbidden for a
        user without a role.
        """
        if not self._user_header or self._user_header not in headers or not self._is_trusted(peer.address, peer):
            return None
        user = _text(headers[self._user_header]).strip()
        if not user:
            return None
        if "," in user or not user.isprintable() or len(user) > _LONGEST_NAME:
            raise Forbidden(
                f"{self._user_header}: must be the name of one user, not {user[:_LONGEST_NAME]!r}; the proxy must"
                " replace what clients send in this header"
            )
        groups = _text(headers.get(self._groups_header, "")) if self._groups_header else ""
        given = {_EVERYONE, *(group.strip() for group in groups.split(","))}
        role = highest(role for group, role in self._group_roles.items() if group in given)
        if role is None:
            raise Forbidden(
                f"{user!r}, who has logged in at the proxy, has no role; add one of their groups to group_roles"
            )
        return Caller(f"proxy:{user}", role)

    def is_user_of_one(self, peer: Peer) -> bool:
        """Whether the user of this machine at the other end is that of a proxy: no request of it is the user's own."""
        parsed = _parsed(peer.address)
        return parsed is not None and any(parsed in one.network and one.is_user_of(peer) for one in self._trusted)

    def _is_trusted(self, address: str, peer: Peer | None) -> bool:
        """Whether the proxy at an address is trusted. `peer` is None for one behind another: its user is not known."""
        parsed = _parsed(address)
        return parsed is not None and any(
            parsed in one.network and (one.is_any_user or (peer is not None and one.is_user_of(peer)))
            for one in self._trusted
        )


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy has passed the request on, so that the other end of the connection is not who makes it."""
    return any(name in headers for name in _FORWARDING)


def is_https(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether the client's connection is encrypted; behind a proxy, only the proxy knows. `scheme` is that of Kala."""
    return scheme == "https" or headers.get("X-Forwarded-Proto") == "https"


def _trusted(setting: str) -> _Trusted:
    user, _, network = setting.rpartition("@")
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid if user else None
    except KeyError:
        uid = None
    return _Trusted(ipaddress.ip_network(network), not user, uid)


def _text(value: str) -> str:
    """Return a header's value in UTF-8, as proxies send names; WSGI has it in Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _parsed(text: str) -> Address | None:
    """Return an address, which may have a port, as Azure and HAProxy send it; None if it is none."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return plain(host)
    except ValueError:
        return None
