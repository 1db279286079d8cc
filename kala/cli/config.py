"""`kala config`: the settings in effect, and where each comes from."""

import json
from pathlib import Path

import click
from msgspec.structs import asdict

from kala.cli.settings import loaded_as_by_service, settings
from kala.config import Loaded
from kala.core.foreign import is_plain_line, presentable


@click.group()
def config() -> None:
    """Inspect Kala's settings."""


@config.command()
@settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as {key: {value, origin}}. [default: off]")
def show(config_file: str | None, *, as_json: bool, **flags: object) -> None:
    """Show the value of each setting and where it comes from.

    The output is a settings file itself. Root sees the settings of the systemd service kala, if there is one.
    """
    loaded = loaded_as_by_service(config_file, flags)
    click.echo(_json(loaded) if as_json else _table(loaded))


def _json(loaded: Loaded) -> str:
    values = asdict(loaded.config).items()
    return json.dumps({key: {"value": _plain(value), "origin": loaded.origins[key]} for key, value in values})


def _table(loaded: Loaded) -> str:
    values = asdict(loaded.config).items()
    rows = [(key, _toml(value), presentable(loaded.origins[key])) for key, value in values]
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{key:{key_width}} = {value:{value_width}}  # {origin}" for key, value, origin in rows)


def _toml(value: object) -> str:
    """Return the value as TOML: strings, numbers and lists are as in JSON, except for surrogate pairs and DEL.

    Control characters that a terminal obeys are escaped, which means the same in TOML.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    return "".join(map(_escaped, json.dumps(_plain(value), ensure_ascii=False)))


def _escaped(character: str) -> str:
    return character if is_plain_line(character) else f"\\U{ord(character):08x}"


def _plain(value: object) -> object:
    """Return the value as a file would have it: TOML has no null."""
    if value is None:
        return ""
    return str(value) if isinstance(value, Path) else value
