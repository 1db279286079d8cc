"""The servers in ~/.config/kala/cli.toml, which people write and `kala login` adds to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .errors import Invalid

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def expanded(file: str, environ: Mapping[str, str]) -> Path:
    """Return the path of a file, in which ~/ is the home directory."""
    return (home_of(environ) or Path("/")) / file[2:] if file.startswith("~/") else Path(file)


def home_of(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME", "")
    return Path(home) if home.startswith("/") else None


def named(server: str | None, environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the name of a server and what cli.toml says about it: the named one, `default`, or the only one.

    The name is empty if cli.toml has none to choose.
    """
    file, table, servers = _file(environ)
    name = server or table.get("default") or (next(iter(servers)) if len(servers) == 1 else "")
    if not name:
        return "", {}
    return name, _checked(name, servers.get(name), file)


def with_url(url: str, environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the name of the only server with this URL, and what cli.toml says about it.

    The name is empty if no server has the URL, or several have it.
    """
    file, _, servers = _file(environ)
    found = [name for name, section in servers.items() if isinstance(section, dict) and _is_at(section, url)]
    return (found[0], _checked(found[0], servers[found[0]], file)) if len(found) == 1 else ("", {})


def _file(environ: Mapping[str, str]) -> tuple[Path | None, Mapping[str, Any], Mapping[str, Any]]:
    """Return the path of cli.toml, what is in it, and the servers in it."""
    file = _config_file(environ)
    table = _read(file) if file else {}
    servers = table.get("server", {})
    if not isinstance(servers, dict):
        raise Invalid(f"{file}: server must be tables, such as [server.staging], not {servers!r}")
    return file, table, servers


def _is_at(section: Mapping[str, Any], url: str) -> bool:
    # A browser adds a slash to the address that it shows.
    return str(section.get("url")).rstrip("/") == url.rstrip("/")


def _checked(name: str, found: Any, file: Path | None) -> Mapping[str, str]:
    """Return what cli.toml says about a server. Raises Invalid if that is wrong."""
    if not isinstance(found, dict) or not isinstance(found.get("url"), str):
        raise Invalid(f'{file}: has no server {name!r}; add [server.{name}] with url = "http://HOST:PORT"')
    unknown = found.keys() - {"url", "token_file", "ca"}
    if unknown or not all(isinstance(value, str) for value in found.values()):
        raise Invalid(f"{file}: server {name!r} has keys that are not known; use url, token_file and ca, all strings")
    return found


def prepare(name: str, url: str, environ: Mapping[str, str]) -> Path:
    """Return the file for the token of a server. Raises Invalid if cli.toml has another server of this name.

    So no password is asked for that could not be used then.
    """
    file = _config_file(environ)
    if not file:
        raise Invalid("HOME: must be the path of your home directory, where the login is stored")
    if not _NAME.fullmatch(name):
        raise Invalid(f"name: must have at most 64 letters, digits and ._- and not begin with a dot, not {name!r}")
    if name not in _file(environ)[2]:
        return file.with_name(f"{name}.token")
    _, found = named(name, environ)
    if not _is_at(found, url):
        raise Invalid(
            f"{file}: server {name!r} is {found['url']}; give --name to add {url.rstrip('/')} under another name"
        )
    if "token_file" not in found:
        raise Invalid(f'{file}: server {name!r} has no token_file; add token_file = "~/.config/kala/{name}.token"')
    return expanded(found["token_file"], environ)


def add(name: str, url: str, ca: str, token_file: Path, environ: Mapping[str, str]) -> bool:
    """Add a server to cli.toml unless it has it; return whether it is the default. What is there stays as it is.

    Raises Invalid with what to add if cli.toml has a form to which nothing can be appended.
    """
    file = _config_file(environ)
    assert file
    before = _read(file)
    default = before.get("default")
    if name in before.get("server", {}):
        return default == name or (not default and len(before["server"]) == 1)
    added = {"url": url.rstrip("/"), "token_file": _with_tilde(token_file, environ), **({"ca": ca} if ca else {})}
    lines = "".join(f"{key} = {_quoted(value)}\n" for key, value in added.items())
    text = f"[server.{_quoted(name)}]\n{lines}"
    head = "" if default else f"default = {_quoted(name)}\n"
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    gap = "\n" if old.endswith("\n") or not old else "\n\n"
    new = f"{head}{old}{gap}{text}"
    wanted = {**before, "server": {**before.get("server", {}), name: added}}
    if not default:
        wanted["default"] = name
    if _parsed(new) != wanted:
        raise Invalid(f"{file}: nothing can be appended to it; add this yourself: {' '.join(text.split())}")
    write_private(file, new)
    return not default


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, as a whole or not at all."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = file.resolve()  # a link stays one
    part = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
        part.rename(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _config_file(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_CONFIG_HOME", "")
    if folder.startswith("/"):
        return Path(folder, "kala/cli.toml")
    home = home_of(environ)
    return home / ".config/kala/cli.toml" if home else None


def _with_tilde(file: Path, environ: Mapping[str, str]) -> str:
    home = home_of(environ)
    return f"~/{file.relative_to(home)}" if home and file.is_relative_to(home) else str(file)


def _quoted(text: str) -> str:
    """Return a string of TOML, in which the escapes of JSON mean the same."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # with sudo -u, HOME can be another user's
        return {}
    except UnicodeDecodeError:
        raise Invalid(f"{file}: must be UTF-8") from None
    found = _parsed(text)
    if isinstance(found, str):
        raise Invalid(f"{file}: invalid TOML: {found}")
    return found


def _parsed(text: str) -> dict[str, Any] | str:
    """Return what a text in TOML means, or why it has no meaning."""
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415  most users have no such file
    else:
        import tomli as tomllib  # noqa: PLC0415

    try:
        return tomllib.loads(text)
    except ValueError as error:
        return str(error)
