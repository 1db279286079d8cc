"""The options that stand for Kala's settings, made from the table in `kala.config`."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from kala import config
from kala.config import KEYS, Config, Loaded

_Command = TypeVar("_Command", bound=Callable[..., object])
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Config)}


def settings(command: _Command, keys: Iterable[str] = KEYS) -> _Command:
    """Give a command --config and an option for each key. What the user leaves out arrives as None or ()."""
    for name in reversed(list(keys)):
        command = _option(name)(command)
    return click.option(
        "--config", "config_file", metavar="FILE", help="Read this file instead of the usual ones. [default: none]"
    )(command)


def loader(config_file: str | None, flags: Mapping[str, object]) -> Callable[[], Loaded]:
    """A function that reads the settings, now and at each reload, as they look from where the command was given."""
    here, environ = Path.cwd(), dict(os.environ)
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
    return {"multiple": KEYS[name].kind.is_list, "metavar": "TEXT"}


def _help(name: str) -> str:
    default = _DEFAULTS[name]
    if default is msgspec.NODEFAULT:  # such a key's meaning tells it
        return KEYS[name].meaning
    words = {True: "on", False: "off"} if isinstance(default, bool) else {None: "none", (): "none", "": "none"}
    shown = words.get(default, default)
    return f"{KEYS[name].meaning} [default: {shown}]"
