"""Which requests are refused whoever makes them: those of other websites, of HTTP jobs, and for other names of hosts.

Any web page can make a visitor's browser send requests to localhost. Such a request carries the page's Origin or says
so in Sec-Fetch-Site (W3C Fetch Metadata), and after DNS rebinding it carries the page's name as Host.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

from kala.core.errors import Forbidden, Invalid
from kala.core.job import JOB_HEADER

_OWN_SITE = frozenset({"same-origin", "none"})
# A host and perhaps a port, as RFC 9110 (7.2) and RFC 3986 (3.2.2) have them: `[::1]evil.example` is neither.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\]|([A-Za-z0-9._~!$&'()*+,;=%-]+))(?::[0-9]*)?")


def check(headers: Mapping[str, str], allowed_hosts: Iterable[str], *, is_link: bool = False) -> None:
    """Raise Forbidden for a request that another site or a job sent, or for a name that is not ours.

    Raise Invalid for one without a Host. `is_link` is for a request that shows a page. Another site, such as a chat's,
    can link to it: the page shows itself to the visitor only, and opening it changes nothing.
    """
    # A redirect or a name server can lead a job's call here, so that a stranger's server would command Kala.
    if JOB_HEADER in headers:
        raise Forbidden(
            f"{JOB_HEADER}: sent by an HTTP job; to start other jobs, use parent_jobs or on_failure_job,"
            " or run curl in a command"
        )
    host = headers.get("Host", "")
    if not host:
        raise Invalid("Host: missing; HTTP/1.1 requires it")
    if not is_ours(host, allowed_hosts):
        raise Forbidden(f"Host: {host[:100]!r} is not a name of this server; use its address, or set allowed_hosts")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        raise Forbidden(f"Origin: {origin[:100]!r} is another site; requests from other websites are not allowed")
    if headers.get("Sec-Fetch-Site", "none") not in _OWN_SITE and not (is_link and _opens_document(headers)):
        raise Forbidden("Sec-Fetch-Site: requests from other websites are not allowed")


def _opens_document(headers: Mapping[str, str]) -> bool:
    """Whether a browser navigates its window to the response, rather than hand it to a page (W3C Fetch Metadata)."""
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"


def is_ours(host: str, allowed_hosts: Iterable[str]) -> bool:
    """Whether a Host header names this server. An address always does: rebinding needs a name."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = (match[1] or match[2]).lower().removesuffix(".")
    return _is_address(name) or name == "localhost" or name == socket.gethostname().lower() or name in allowed_hosts


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
