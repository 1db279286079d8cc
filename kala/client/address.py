"""Where the server is: given, or found in the environment, cli.toml, a Unix socket, or at the default port."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from . import servers
from .errors import Invalid, Unauthorized
from .servers import expanded, home_of

DEFAULT_URL = "http://127.0.0.1:8000"
_SYSTEM_SOCKET = Path("/run/kala/kala.sock")
_PROBE_SECONDS = 5.0
_TOKEN = re.compile("[!-~]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Address(Struct, frozen=True):
    """A server: a host and port, or the path of a Unix socket; the prefix of all paths, a token, and a CA file.

    `is_given` tells whether somebody has named the server, `token_file` is the file of cli.toml that the token is from,
    and `login` the command with which one logs in to the server.
    """

    url: str
    host: str = ""
    port: int = 0
    socket: str = ""
    prefix: str = ""
    is_tls: bool = False
    token: str = ""
    ca: str = ""
    is_given: bool = False
    token_file: str = ""
    login: str = "kala login"

    def __repr__(self) -> str:
        return f"Address({self.url!r})"  # without the token


def find(
    url: str | None = None,
    token: str | None = None,
    *,
    server: str | None = None,
    ca: str | None = None,
    is_anonymous: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """Return the address of the server. Raises Invalid if a URL, a file or the name of a server is wrong.

    The first of these that there is counts: `url`, `server` (a name in cli.toml), KALA_URL, the server of cli.toml, a
    Unix socket that can be opened, http://127.0.0.1:8000. With `is_anonymous`, no token is looked for.
    """
    given = url or (None if server else environ.get("KALA_URL"))
    name, section = servers.with_url(given, environ) if given else servers.named(server, environ)
    url = given or section.get("url")
    login = _login(given, name if given else server)
    token_file = ""
    if not token and not is_anonymous:
        token, token_file = _token_for(section.get("token_file"), environ, has_url=bool(given))
        if not given and not token and section.get("token_file"):  # as after `kala logout`
            file = f"its token file {section['token_file']} does not exist"
            raise Unauthorized(f"not logged in to the server {name!r} ({url}): {file}; log in with {login}")
    if token and not _TOKEN.fullmatch(token):
        raise Invalid("token: must be one line of visible ASCII characters")
    variable, of_server = environ.get("KALA_CA"), section.get("ca")
    ca = ca or ((variable or of_server) if given else (of_server or variable))
    address = parse(url or _open_socket(environ) or DEFAULT_URL, token or "", str(expanded(ca, environ)) if ca else "")
    return replace(address, is_given=url is not None, token_file=token_file, login=login)


def parse(url: str, token: str = "", ca: str = "") -> Address:
    """Return the parts of an http, https or unix URL. Raises Invalid for another."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _not_a_url(url) from None
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return Address(url, socket=unquote(parts.path), token=token)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise _not_a_url(url)
    is_tls = parts.scheme == "https"
    default = 443 if is_tls else 80
    prefix = parts.path.rstrip("/")
    return Address(url, parts.hostname, port or default, prefix=prefix, is_tls=is_tls, token=token, ca=ca)


def _not_a_url(url: str) -> Invalid:
    return Invalid(f"url: must be like http://HOST:PORT, https://HOST or unix:///PATH, not {url!r}")


def _login(url: str | None, server: str | None) -> str:
    """Return the command that logs in to this server: the one that is used without options if neither is given."""
    if server:
        return f"kala --server {server} login"
    return f"kala login {url}" if url else "kala login"


def is_open(address: Address) -> bool:
    """Return whether something listens at an address."""
    if not address.socket:
        try:
            socket.create_connection((address.host, address.port), timeout=_PROBE_SECONDS).close()
        except OSError:
            return False
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.socket)
        except OSError:
            return False
        return True


def is_refused_socket() -> bool:
    """Return whether the service of this machine has a socket that this user may not open."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(_SYSTEM_SOCKET))
        except OSError as error:
            return error.errno == errno.EACCES
        return False


def _token_for(file: str | None, environ: Mapping[str, str], *, has_url: bool) -> tuple[str, str]:
    """Return the token for a server, and the path of `file`, which cli.toml names for the server, if it is from there.

    The variables are for the server whose URL was given. A server that cli.toml chooses has its own token first: those
    in the variables may be for another server.
    """
    has_variable = bool(environ.get("KALA_TOKEN") or environ.get("KALA_TOKEN_FILE"))
    if file and not (has_url and has_variable):
        path = expanded(file, environ)
        if path.exists():
            return _token_from(file, environ), str(path)
    return environ.get("KALA_TOKEN") or _token_from(environ.get("KALA_TOKEN_FILE"), environ), ""


def _token_from(file: str | None, environ: Mapping[str, str]) -> str:
    """Return the token in a file, which others must not be able to read."""
    if not file:
        return ""
    try:
        with expanded(file, environ).open(encoding="ascii", errors="replace") as opened:
            if os.fstat(opened.fileno()).st_mode & _OTHERS:
                raise Invalid(f"token file {file}: others can read it; run chmod 600 on it")
            token = opened.read().strip()
    except OSError as error:
        raise Invalid(f"token file {file}: {error.strerror}") from None
    if not token:
        raise Invalid(f"token file {file}: is empty; write the token into it")
    if not _TOKEN.fullmatch(token):
        raise Invalid(f"token file {file}: must have one token on one line, in visible ASCII characters")
    return token


def _open_socket(environ: Mapping[str, str]) -> str:
    """Return the URL of the first Unix socket on which a Kala listens that this user may use."""
    for path in _sockets(environ):
        url = f"unix://{quote(str(path))}"
        if is_open(parse(url)):
            return url
    return ""


def _sockets(environ: Mapping[str, str]) -> Iterator[Path]:
    yield _SYSTEM_SOCKET
    data = environ.get("XDG_DATA_HOME", "")
    home = home_of(environ)
    if data.startswith("/"):
        yield Path(data, "kala/kala.sock")
    elif home:
        yield home / ".local/share/kala/kala.sock"
