"""The proxies that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` name, as curl(1) and requests read them."""

import ipaddress
import socket
from contextlib import suppress
from urllib.request import getproxies, proxy_bypass

from kala.core.foreign import masked
from kala.core.reach import Reach, reach_of
from kala.core.url import Url
from kala.runner.connection import Link
from kala.runner.exchange import BrokenError, Exchange
from kala.runner.http_request import basic


def proxy_for(url: Url) -> Url | None:
    """Return the proxy for `url`, or None for a direct connection. Loopback addresses are always called directly.

    Raise ValueError with a sentence if the variable does not name an http proxy.
    """
    proxies = getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text or known_reach(url.host) is Reach.LOOPBACK:
        return None
    is_excepted = proxy_bypass(url.authority_with_port, proxies) or _is_in(url.host, proxies.get("no", ""))
    return None if is_excepted else _parsed(text, url.scheme)


def known_reach(host: str) -> Reach:
    """Return the reach of a host as far as its name alone tells. Any other name counts as public."""
    if f".{host.rstrip('.')}".endswith(".localhost"):
        return Reach.LOOPBACK
    try:
        # inet_aton(3) also accepts 127.1, 0x7f000001 and the like, and a proxy may do so, too.
        return reach_of(host if ":" in host else socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        return Reach.PUBLIC


def credentials(proxy: Url) -> dict[str, str]:
    """Return the header with the login in the proxy's URL."""
    return {"Proxy-Authorization": basic(proxy.login)} if proxy.login else {}


def tunnel(link: Link, proxy: Url, url: Url) -> None:
    """Have the proxy connect to the host of `url` (RFC 9110, section 9.3.6). Raise BrokenError if it refuses."""
    place = url.authority_with_port
    exchange = Exchange(link)
    exchange.send("CONNECT", place, {"Host": place, **credentials(proxy)}.items())
    status = exchange.head().status
    if not 200 <= status < 300:
        raise BrokenError(f"the proxy refused to connect (status {status})")


def _parsed(text: str, scheme: str) -> Url:
    try:
        proxy = Url.parse(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = None
    if not proxy or proxy.scheme != "http":
        raise ValueError(f"{scheme}_proxy: {masked(text)!r} is not supported; use an http:// proxy")
    return proxy


def _is_in(host: str, networks: str) -> bool:
    """Return whether a host is an address in `no_proxy`, or in a network there; urllib does not support networks."""
    for network in networks.split(","):
        with suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return False
