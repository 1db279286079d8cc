"""Users and tokens of the server that is running or, for the first user, in the data of one that is not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import click

from kala.cli.complete import choices, paths
from kala.cli.connect import client_of_options, connected_to
from kala.cli.view import safe
from kala.core.caller import ROLES

if TYPE_CHECKING:
    from kala.client.access import Tokens, Users
    from kala.client.transport import Response

_Command = TypeVar("_Command", bound=Callable[..., object])
_ROLES = [role.value for role in ROLES]


class Managed(NamedTuple):
    """The requests about users and tokens."""

    users: "Users"
    tokens: "Tokens"


def where(command: _Command) -> _Command:
    """Give a command the options for data on this machine. The option that is added last comes first in the help."""
    by_file = click.option(
        "--config",
        "config_file",
        metavar="FILE",
        shell_complete=paths,
        help="Work with the Kala whose data directory this settings file names.",
    )
    by_directory = click.option(
        "--data-dir",
        metavar="DIR",
        shell_complete=paths,
        help="Work with the Kala of this data directory, even if it is not running.",
    )
    return by_directory(by_file(command))


def role(*, required: bool) -> Callable[[_Command], _Command]:
    return click.option(
        "--role",
        type=click.Choice(_ROLES),
        required=required,
        shell_complete=choices(_ROLES),
        help="viewer reads; operator also starts, cancels, enables; editor also changes jobs; admin may do everything.",
    )


owners = click.option(
    "--owner",
    "owners",
    metavar="PATTERN",
    multiple=True,
    help="Limit this user or token to jobs whose owner matches; * stands for any text. Can be repeated.",
)
RUN_AS = "Let them choose the user that a job runs as."


@contextmanager
def managed(config_file: str | None, data_dir: str | None) -> Iterator[Managed]:
    """Connect to the server that is meant or, if none was named and none is there, open its data.

    With a data directory or a settings file, the server is the one that runs on these data.
    """
    from kala.client.address import is_open  # noqa: PLC0415  `kala --help` imports this module, too

    if config_file is None and data_dir is None:
        with client_of_options() as kala:
            if kala.address.is_given or is_open(kala.address):
                with connected_to(kala):
                    yield Managed(kala.users, kala.tokens)
                return
    with _of_data(config_file, data_dir) as found:
        yield found


@contextmanager
def _of_data(config_file: str | None, data_dir: str | None) -> Iterator[Managed]:
    from kala.cli.settings import loaded_as_by_service  # noqa: PLC0415  settings are slow to import
    from kala.client import Client  # noqa: PLC0415
    from kala.client.access import Tokens, Users  # noqa: PLC0415
    from kala.client.address import is_open, parse  # noqa: PLC0415
    from kala.client.json_call import call  # noqa: PLC0415
    from kala.service.offline import has_database  # noqa: PLC0415

    config = loaded_as_by_service(config_file, {"data_dir": data_dir}).config
    socket = f"unix://{quote(str(Path.cwd() / config.data_dir / 'kala.sock'))}"
    if is_open(parse(socket)):
        with Client(socket) as kala, connected_to(kala):
            yield Managed(kala.users, kala.tokens)
        return
    offline = partial(call, partial(_respond, config), str(config.data_dir))
    was_there = has_database(config)
    try:
        yield Managed(Users(offline), Tokens(offline))
    finally:  # an invalid name leaves a new database, too
        if not was_there and has_database(config):
            new = f"{config.data_dir} had no data; made a new database there"
            hint = "If that is the wrong directory, use --data-dir"
            click.echo(safe(f"kala: Kala is not running, and {new}. {hint}"), err=True)
    if was_there:
        click.echo(safe(f"kala: Kala is not running; used its data in {config.data_dir}"), err=True)


def _respond(config: Any, method: str, path: str, body: bytes | None, *_: object, **__: object) -> "Response":
    """Respond to a request to the data of a Kala that is not running. Headers and repeats have no meaning there."""
    from kala.client.transport import Response  # noqa: PLC0415
    from kala.service.offline import respond  # noqa: PLC0415

    return Response(200, {}, respond(config, method, path, body or b""))
