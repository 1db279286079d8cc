"""`kala config`: the settings in effect, and where each comes from."""

import json
from collections.abc import Mapping
from typing import Any

import click
from msgspec.structs import asdict

from kala.cli.connect import connected
from kala.cli.settings import loaded_as_by_service, settings
from kala.config import Loaded
from kala.config.toml import plain, toml
from kala.core.foreign import presentable

_Shown = dict[str, dict[str, Any]]


@click.group()
def config() -> None:
    """`kala config show` shows them, and where each comes from."""


@config.command()
@settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as {key: {value, origin}}. [default: off]")
@click.option("--running", is_flag=True, help="Ask the running Kala which settings it uses. [default: off]")
def show(config_file: str | None, *, as_json: bool, running: bool, **flags: object) -> None:
    """Show the value of each setting and where it comes from.

    The output is a settings file itself. Root sees the settings of the systemd service kala, if there is one. With
    --running, settings that were changed and not reloaded have their old values, and options of this command are
    refused.
    """
    shown = _running(config_file, flags) if running else _of_files(loaded_as_by_service(config_file, flags))
    click.echo(json.dumps(shown) if as_json else _table(shown))


def _of_files(loaded: Loaded) -> _Shown:
    values = asdict(loaded.config).items()
    return {key: {"value": plain(value), "origin": loaded.origins[key]} for key, value in values}


def _running(config_file: str | None, flags: Mapping[str, object]) -> _Shown:
    if config_file or any(value not in (None, ()) for value in flags.values()):
        raise click.UsageError("--running shows what Kala uses; leave out --config and the options for settings")
    with connected() as kala:
        return {one["key"]: {"value": plain(one["value"]), "origin": one["origin"]} for one in kala.config()}


def _table(shown: _Shown) -> str:
    rows = [(key, toml(one["value"]), presentable(one["origin"])) for key, one in shown.items()]
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{key:{key_width}} = {value:{value_width}}  # {origin}" for key, value, origin in rows)
