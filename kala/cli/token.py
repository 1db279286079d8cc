"""`kala token`: the tokens of programs."""

import click

from kala.cli.complete import choices, tokens
from kala.cli.connect import say
from kala.cli.managed import RUN_AS, managed, owners, role, where
from kala.cli.view import Column, View, listing, safe
from kala.core.instants import rfc3339

_COLUMNS = (
    Column("name", lambda token: token.name, can_be_cut=True),
    Column("role", lambda token: token.role),
    Column("owners", lambda token: token.owners, can_be_cut=True),
    Column("expires", lambda token: token.expires_at or "never"),
    Column("last_used", lambda token: token.last_used),
    Column("run_as", lambda token: token.run_as, is_wide=True),
    Column("created", lambda token: token.created_at, is_wide=True),
    Column("created_by", lambda token: token.created_by, is_wide=True),
)


@click.group()
def token() -> None:
    """These commands also work while Kala is not running, on its data."""


@token.command()
@click.argument("name")
@role(required=True)
@owners
@click.option("--run-as", is_flag=True, help=RUN_AS)
@click.option(
    "--expires-in",
    metavar="DURATION",
    shell_complete=choices(("P30D", "P90D", "P1Y", "never")),
    help="How long it is valid, such as P90D, or never. [default: a year]",
)
@where
def create(
    name: str,
    *,
    role: str,
    owners: tuple[str, ...],
    run_as: bool,
    expires_in: str | None,
    config_file: str | None,
    data_dir: str | None,
) -> None:
    """Create a token, and print its secret, which is shown only now.

    Programs send it as `Authorization: Bearer SECRET`; kala and the clients read it from the file that
    KALA_TOKEN_FILE names, which nobody else may be able to read.
    """
    with managed(config_file, data_dir) as found:
        created = found.tokens.create(name, role=role, owners=owners, run_as=run_as, expires_in=expires_in)
        click.echo(created.secret)
        ends = created.token.expires_at
        until = f"valid until {rfc3339(ends, 'seconds')}" if ends else "valid until it is revoked"
        text = f"kala: this is the token {name}, with the role {created.token.role}, {until}; it is not shown again"
        click.echo(safe(text), err=True)


@token.command(name="list")
@listing(_COLUMNS)
@where
def list_(view: View, config_file: str | None, data_dir: str | None) -> None:
    """List the tokens, without their secrets."""
    with managed(config_file, data_dir) as found:
        view.print(found.tokens.list(), lambda token: token.name)


@token.command()
@click.argument("name", shell_complete=tokens)
@where
def revoke(name: str, config_file: str | None, data_dir: str | None) -> None:
    """Revoke a token. The next request with it is refused."""
    with managed(config_file, data_dir) as found:
        found.tokens.delete(name)
        say(f"revoked {name}")
