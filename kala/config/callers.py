"""The settings about callers: kinds of values that only these have, and what must be right about several of them."""

import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from typing import Any

from kala.config.kinds import Kind, list_of_texts, pairs, table, text_of
from kala.core import duration
from kala.core.caller import ROLES, Role
from kala.core.errors import Invalid

_ROLE_NAMES = f"{', '.join(ROLES[:-1])} or {ROLES[-1]}"
# A user or @group of the system; of a directory, perhaps with its domain, as DOMAIN\ann or ann@example.org.
_PEER = re.compile(r"@?[^\s\0,=:/@-][^\s\0,=:/]*")
_USER = re.compile(r"[^\s\0,=:/@-][^\s\0,=:/@]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")
# Headers that clients and proxies send for other reasons, so that a proxy does not remove those of a client.
_TAKEN = re.compile(
    r"accept.*|access-control-.*|authorization|cache-control|connection|content-.*|cookie|date|dnt|expect|forwarded|host"
    r"|idempotency-key|if-.*|kala-.*|keep-alive|last-event-id|origin|pragma|priority|proxy-.*|range|referer|sec-.*|te"
    r"|trailer|transfer-encoding|upgrade.*|user-agent|via|x-forwarded-(?:by|for|host|method|path|port|prefix|proto"
    r"|protocol|scheme|server|ssl|uri)|x-http-method.*|x-original-.*|x-real-ip|x-requested-with|x-rewrite-url"
)
# Browsers keep no cookie longer (RFC 6265bis).
_LONGEST_SESSION = timedelta(days=400)


def _peers(value: object) -> dict[Role, tuple[str, ...]]:
    found: dict[Role, tuple[str, ...]] = {}
    for name, users in pairs(value):
        role, given = _role(name), list_of_texts(users)
        if not given or not all(map(_PEER.fullmatch, given)):
            raise ValueError(value)
        found[role] = (*found.get(role, ()), *given)
    return found


def _group_roles(value: object) -> dict[str, Role]:
    return table(value, _group, _role)


def _role(value: object) -> Role:
    role = Role(text_of(value).strip())
    if role not in ROLES:
        raise ValueError(value)
    return role


def _group(value: object) -> str:
    group = text_of(value).strip()
    if not group or "," in group or not group.isprintable():
        raise ValueError(value)
    return group


def _proxies(value: object) -> tuple[str, ...]:
    return tuple(map(_proxy, list_of_texts(value)))


def _proxy(text: str) -> str:
    user, at, where = text.rpartition("@")
    network = ipaddress.ip_network(where)
    # Only on this machine is the user known whose process has connected.
    if network.prefixlen == 0 or (at and not (network.is_loopback and _USER.fullmatch(user))):
        raise ValueError(text)
    return user + at + str(network[0] if network.num_addresses == 1 else network)


def _header(value: object) -> str:
    name = text_of(value)
    if name and (not _HEADER.fullmatch(name) or _TAKEN.fullmatch(name.lower())):
        raise ValueError(value)
    return name


def _session_length(value: object) -> str:
    if not timedelta() < duration.parse(text_of(value), "").longest <= _LONGEST_SESSION:
        raise ValueError(value)
    return text_of(value)


PEERS = Kind(
    _peers,
    "a list such as operator=@ops,viewer=ann, in a file {operator = ['@ops'], viewer = ['ann']}, of users and @groups"
    f" with the role {_ROLE_NAMES}",
    is_list=True,
)
GROUP_ROLES = Kind(
    _group_roles,
    f"a list such as ops=operator,*=viewer, with each group once and the role {_ROLE_NAMES}",
    is_list=True,
)
PROXIES = Kind(
    _proxies,
    "a list of addresses and networks such as 192.0.2.1,10.0.0.0/8,www-data@127.0.0.1; a network must begin with its"
    " first address and not have all addresses, and only a loopback address can have a user",
    is_list=True,
)
HEADER = Kind(_header, "the name of a header for this purpose only, such as Remote-User, or empty")
SESSION = Kind(_session_length, "an ISO 8601 duration longer than zero, such as P7D, at most P400D")


def settle_auth(values: MutableMapping[str, Any], origins: MutableMapping[str, str]) -> None:
    """Let auth and insecure_no_auth, two names of one setting, say the same; `values` has only what is given.

    Raise Invalid if both are given and contradict each other.
    """
    auth, is_open = values.get("auth"), values.get("insecure_no_auth")
    if auth is None:
        if is_open is not None:
            values["auth"], origins["auth"] = "off" if is_open else "on", origins["insecure_no_auth"]
    elif is_open is None:
        values["insecure_no_auth"], origins["insecure_no_auth"] = auth == "off", origins["auth"]
    elif is_open != (auth == "off"):
        raise Invalid(
            f'auth: "{auth}" ({origins["auth"]}) contradicts insecure_no_auth = {str(is_open).lower()}'
            f" ({origins['insecure_no_auth']}); they are two names of one setting, so leave one out"
        )


def check_proxy(values: Mapping[str, Any]) -> None:
    """Raise Invalid if a proxy that logs people in would let in anyone, or nobody."""
    given = [name for name in ("proxy_user_header", "proxy_groups_header", "group_roles") if values.get(name)]
    if not given:
        return
    if "proxy_user_header" not in given:
        raise Invalid(f"{given[0]}: has no effect without proxy_user_header; set that, too")
    if not values.get("trusted_proxies"):
        raise Invalid(
            "proxy_user_header: needs trusted_proxies, since others can send the header, too; set it to the addresses"
            " of the proxy"
        )
    if "group_roles" not in given:
        raise Invalid(
            'proxy_user_header: needs group_roles, without which nobody has a role; * is any group: {"*" = "viewer"}'
        )
    if values["proxy_user_header"].lower() == values.get("proxy_groups_header", "").lower():
        raise Invalid("proxy_groups_header: must be another header than proxy_user_header")


def check_tls(values: Mapping[str, Any]) -> None:
    """Raise Invalid for a certificate without its key, and the reverse."""
    names = ("tls_certificate", "tls_key")
    for name, other in (names, names[::-1]):
        if values.get(name) and not values.get(other):
            raise Invalid(f"{name}: needs {other}, too; set both, or none to serve plain HTTP")
