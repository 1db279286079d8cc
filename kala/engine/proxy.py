"""The proxies that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` name, as curl(1) and requests read them."""

import ipaddress
import os
import socket
from contextlib import suppress

from kala.core.foreign import masked
from kala.core.reach import Reach, reach_of
from kala.core.url import Url
from kala.engine import response
from kala.engine.connection import Link
from kala.engine.http_request import basic


def proxy_for(url: Url) -> Url | None:
    """Return the proxy to ask for `url`; None for a direct connection, as this machine itself always gets.

    Raise ValueError with a sentence where the variable does not name an http proxy.
    """
    text = _variable(f"{url.scheme}_proxy") or _variable("all_proxy")
    if not text or known_reach(url.host) is Reach.LOOPBACK:
        return None
    is_excepted = any(_covers(entry.strip().lower(), url) for entry in _variable("no_proxy").split(","))
    return None if is_excepted else _parsed(text, url.scheme)


def _variable(name: str) -> str:
    """Return a variable's value. The name in small letters counts first, also where it is empty."""
    return os.environ.get(name, os.environ.get(name.upper(), ""))


def known_reach(host: str) -> Reach:
    """Return how far in a host is, as far as its name alone tells. A name that says nothing counts as public."""
    if f".{host.rstrip('.')}".endswith(".localhost"):
        return Reach.LOOPBACK
    try:
        # Also 127.1, 0x7f000001 and what else inet_aton(3) takes, as a proxy may, too.
        return reach_of(host if ":" in host else socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        return Reach.PUBLIC


def credentials(proxy: Url) -> dict[str, str]:
    """Return the header with the login that the proxy's URL names."""
    return {"Proxy-Authorization": basic(proxy.login)} if proxy.login else {}


def tunnel(link: Link, proxy: Url, url: Url) -> None:
    """Have the proxy connect to the host of `url` (RFC 9110, section 9.3.6). Raise BrokenError where it does not."""
    place = url.authority_with_port
    headers = {"Host": place, **credentials(proxy)}
    lines = [f"CONNECT {place} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    link.send("\r\n".join(lines).encode())
    head = response.read_head(response.Source(link.receive), lambda _: None)  # the status is not the server's
    if not 200 <= head.status < 300:
        raise response.BrokenError(f"the proxy answered {head.status} and did not connect")


def _parsed(text: str, scheme: str) -> Url:
    try:
        proxy = Url.parse(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = None
    if not proxy or proxy.scheme != "http":
        raise ValueError(f"{scheme}_proxy: {masked(text)!r} is not supported; give an http:// proxy")
    return proxy


def _covers(entry: str, url: Url) -> bool:
    """Return whether an entry of no_proxy means the host: `*`, a domain, an address, a network or one with a port."""
    if entry in ("", "*"):
        return bool(entry)
    with suppress(ValueError):
        return ipaddress.ip_address(url.host) in ipaddress.ip_network(entry, strict=False)
    domain = entry.lstrip(".")
    return any(f".{host}".endswith(f".{domain}") for host in (url.host, url.authority_with_port))
