"""The URL of an HTTP call (RFC 3986), split once, so that every check and the request itself mean the same host."""

import ipaddress
import re
from typing import Self
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import msgspec

_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII)
_LONGEST_NAME = 253
_ZONE = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SAFE = "!$%&'()*+,/:;=?@[]~"


class Url(msgspec.Struct, frozen=True):
    """An absolute http or https URL. `target` is the path and query as they are sent, without the fragment.

    `host` is ASCII in lower case: a name, or an address without brackets. `login` is the user and password as bytes.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: bytes = b""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a URL. Raise ValueError if the text is not a complete http or https URL."""
        text = text.strip()
        parts = urlsplit(text)
        if parts.scheme not in _PORTS or _CONTROL.search(text) or re.search(r"\s", parts.netloc):
            raise ValueError(text)
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        if not port:
            raise ValueError(text)
        target = _encoded(parts.path or "/") + (f"?{_encoded(parts.query)}" if parts.query else "")
        return cls(
            parts.scheme, _host(parts.hostname or ""), port, target, _login(parts.username or "", parts.password or "")
        )

    def join(self, reference: str) -> Self:
        """Resolve a reference, such as a redirect's Location, against this URL. Raise ValueError as `parse` does."""
        if _CONTROL.search(reference):
            raise ValueError(reference)
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return self.parse(urljoin(f"{self.scheme}://{host}:{self.port}{self.target}", reference.strip()))

    @property
    def origin(self) -> tuple[str, str, int]:
        """The origin (RFC 6454), which is equal for two URLs of the same server."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header: the host, and the port unless it is the scheme's default."""
        return self._bracketed if self.port == _PORTS[self.scheme] else self.authority_with_port

    @property
    def authority_with_port(self) -> str:
        return f"{self._bracketed}:{self.port}"

    @property
    def place(self) -> str:
        """The URL without its login, path and query, which can hold secrets."""
        return f"{self.scheme}://{self.authority}"

    @property
    def _bracketed(self) -> str:
        # A zone identifier has a meaning on this machine only (RFC 6874, section 1).
        return f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host


def _encoded(text: str) -> str:
    """Percent-encode what a URL cannot contain, including a percent sign that does not begin an escape."""
    return quote(_BARE_PERCENT.sub("%25", text), safe=_SAFE, errors="surrogateescape")


def _host(host: str) -> str:
    if ":" in host:
        address, _, zone = host.partition("%")
        zone = zone.removeprefix("25")
        if zone and not _ZONE.fullmatch(zone):
            raise ValueError(host)
        return f"{ipaddress.IPv6Address(address)}%{zone}".removesuffix("%")
    if not host.isascii():
        # Imported here as few URLs need its tables of internationalized names.
        import idna  # noqa: PLC0415

        host = idna.encode(host, uts46=True).decode()
    if len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise ValueError(host)
    return host


def _login(user: str, password: str) -> bytes:
    return unquote_to_bytes(user) + b":" + unquote_to_bytes(password) if user or password else b""
