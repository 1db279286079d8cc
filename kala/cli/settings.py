"""The command-line options for Kala's settings, made from the table in `kala.config`."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from kala import config
from kala.cli.complete import choices, paths
from kala.config import KEYS, Config, Loaded
from kala.service import unit

_Command = TypeVar("_Command", bound=Callable[..., object])
_SERVICE_SOCKET = Path("/run/kala/kala.sock")
_DEFAULTS = {
    field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    for field in msgspec.structs.fields(Config)
}


def settings(command: _Command, keys: Iterable[str] = KEYS) -> _Command:
    """Give a command --config and an option for each key. Options that are not given are passed as None or ()."""
    for name in reversed(list(keys)):
        command = _option(name)(command)
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="Read this file instead of the default files. [default: none]",
        shell_complete=paths,
    )(command)


def loader(config_file: str | None, flags: Mapping[str, object]) -> Callable[[], Loaded]:
    """Return a function that reads the settings, now and at each reload, relative to the current working directory."""
    return _loader(config_file, flags, dict(os.environ))


def loaded_as_by_service(config_file: str | None, flags: Mapping[str, object]) -> Loaded:
    """Read the settings; those of the service on this machine if root asks and sets no file or variable of Kala's.

    An administrator who runs `kala backup` as root means the service, not settings and data of root's own.
    """
    own = dict(os.environ)
    is_asked = os.geteuid() == 0 and not config_file and not any(map(_is_kalas, own))
    return _loader(config_file, flags, (unit.environment() if is_asked else {}) or own)()


def data_dir_of_running_service(config_file: str | None, flags: Mapping[str, object]) -> Path | None:
    """Return the data directory that the service in /run uses, if root asks and gives none; None if it is not running.

    Only the service knows the options that it was started with.
    """
    if os.geteuid() or config_file or any(flags.values()) or any(map(_is_kalas, os.environ)):
        return None
    from kala.client import Client, ConnectionFailed  # noqa: PLC0415  `kala serve --help` imports this module, too

    try:
        with Client(f"unix://{_SERVICE_SOCKET}", retries=0) as kala:
            found = {setting["key"]: setting["value"] for setting in kala.config()}
    except ConnectionFailed:
        return None
    return Path(found["data_dir"])


def _is_kalas(variable: str) -> bool:
    return variable.startswith("KALA_") or variable == "STATE_DIRECTORY"


def _loader(config_file: str | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Callable[[], Loaded]:
    here = Path.cwd()
    return lambda: config.load(flags, environ, config.locate(config_file, environ, here), here)


def _option(name: str) -> Callable[[_Command], _Command]:
    short = KEYS[name].short
    if _DEFAULTS[name] is True:
        names, kind = [f"{config.flag(name)}/{config.flag(name, False)}", f" /{short}"], {}
    else:
        names, kind = [config.flag(name), *([short] if short else [])], _kind(name)
    return click.option(*names, name, default=None, help=_help(name), **kind)


def _kind(name: str) -> dict[str, Any]:
    if _DEFAULTS[name] is False:
        return {"is_flag": True}
    kind = KEYS[name].kind
    # Not click's types, whose error messages differ from ours.
    complete = paths if kind.is_path else choices(kind.choices)
    return {"multiple": kind.is_list, "metavar": "TEXT", "shell_complete": complete}


def _help(name: str) -> str:
    default = _DEFAULTS[name]
    if default is msgspec.NODEFAULT:  # then the meaning includes the default
        return KEYS[name].meaning
    shown = "none" if default in (None, (), "", {}) else default
    if isinstance(default, bool):
        shown = "on" if default else "off"
    return f"{KEYS[name].meaning} [default: {shown}]"
