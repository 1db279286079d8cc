"""Where the server is: given, or found in the environment, cli.toml, a Unix socket, or at the default port."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from .errors import Invalid

DEFAULT_URL = "http://127.0.0.1:8000"
_SYSTEM_SOCKET = Path("/run/kala/kala.sock")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Address(Struct, frozen=True):
    """A server: a host and port, or the path of a Unix socket; the prefix of all paths, a token, and a CA file."""

    url: str
    host: str = ""
    port: int = 0
    socket: str = ""
    prefix: str = ""
    is_tls: bool = False
    token: str = ""
    ca: str = ""


def find(
    url: str | None = None,
    token: str | None = None,
    *,
    server: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """Return the address of the server. Raises Invalid if a URL, a file or the name of a server is wrong.

    The first of these that there is counts: `url`, `server` (a name in cli.toml), KALA_URL, the server of cli.toml, a
    Unix socket that can be opened, http://127.0.0.1:8000.
    """
    ca = ""
    if not url:
        url = None if server else environ.get("KALA_URL")
        if not url:
            section = _section(server, environ)
            url, ca = section.get("url"), section.get("ca", "")
            token = token or _token_from(section.get("token_file"), environ)
    token = token or environ.get("KALA_TOKEN") or _token_from(environ.get("KALA_TOKEN_FILE"), environ)
    if token and not (token.isascii() and token.isprintable()):
        raise Invalid("token: must be one line of visible ASCII characters")
    return parse(url or _open_socket(environ) or DEFAULT_URL, token or "", ca)


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


def _config_file(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_CONFIG_HOME", "")
    if folder.startswith("/"):
        return Path(folder, "kala/cli.toml")
    home = _home(environ)
    return home / ".config/kala/cli.toml" if home else None


def _home(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME", "")
    return Path(home) if home.startswith("/") else None


def _section(server: str | None, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return what cli.toml says about a server: the named one, `default`, or the only one."""
    file = _config_file(environ)
    table = _toml(file) if file else {}
    servers = table.get("server", {})
    name = server or table.get("default") or (next(iter(servers)) if len(servers) == 1 else "")
    if not name:
        return {}
    section = servers.get(name)
    if not isinstance(section, dict) or not isinstance(section.get("url"), str):
        raise Invalid(f'{file}: has no server {name!r}; add [server.{name}] with url = "http://HOST:PORT"')
    unknown = section.keys() - {"url", "token_file", "ca"}
    if unknown or not all(isinstance(value, str) for value in section.values()):
        raise Invalid(f"{file}: server {name!r} has keys that are not known; use url, token_file and ca, all strings")
    return section


def _toml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # with sudo -u, HOME can be another user's
        return {}
    except UnicodeDecodeError:
        raise Invalid(f"{file}: must be UTF-8") from None
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415  most users have no such file
    else:
        import tomli as tomllib  # noqa: PLC0415

    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise Invalid(f"{file}: invalid TOML: {error}") from None


def _token_from(file: str | None, environ: Mapping[str, str]) -> str:
    """Return the token in a file, which others must not be able to read."""
    if not file:
        return ""
    path = Path(file)
    if file.startswith("~/"):
        path = (_home(environ) or Path("/")) / file[2:]
    try:
        with path.open(encoding="ascii") as opened:
            if os.fstat(opened.fileno()).st_mode & _OTHERS:
                raise Invalid(f"token file {file}: others can read it; run chmod 600 on it")
            return opened.read().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "must have one token in ASCII"
        raise Invalid(f"token file {file}: {reason}") from None


def _open_socket(environ: Mapping[str, str]) -> str:
    """Return the URL of the first Unix socket on which a Kala listens that this user may use."""
    for path in _sockets(environ):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                continue
            return f"unix://{quote(str(path))}"
    return ""


def _sockets(environ: Mapping[str, str]) -> Iterator[Path]:
    yield _SYSTEM_SOCKET
    data = environ.get("XDG_DATA_HOME", "")
    home = _home(environ)
    if data.startswith("/"):
        yield Path(data, "kala/kala.sock")
    elif home:
        yield home / ".local/share/kala/kala.sock"
