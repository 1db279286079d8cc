"""`kala config`: the settings in effect, and where each comes from."""

import json

import click
from msgspec.structs import asdict

from kala.cli.settings import loaded_as_by_service, settings
from kala.config import Loaded
from kala.config.toml import plain, toml
from kala.core.foreign import presentable


@click.group()
def config() -> None:
    """`kala config show` shows them, and where each comes from."""


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
    return json.dumps({key: {"value": plain(value), "origin": loaded.origins[key]} for key, value in values})


def _table(loaded: Loaded) -> str:
    values = asdict(loaded.config).items()
    rows = [(key, toml(value), presentable(loaded.origins[key])) for key, value in values]
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{key:{key_width}} = {value:{value_width}}  # {origin}" for key, value, origin in rows)
