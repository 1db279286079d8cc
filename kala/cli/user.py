"""`kala user`: the users who can log in."""

import sys
from typing import TYPE_CHECKING, Any

import click

from kala.cli import passwords
from kala.cli.complete import paths, users
from kala.cli.connect import connected, say
from kala.cli.managed import RUN_AS, Managed, managed, owners, role, where
from kala.cli.sheet import print_sheet
from kala.cli.view import Column, View, listing, safe
from kala.core.instants import rfc3339

if TYPE_CHECKING:
    from kala.client import Login, User

_COLUMNS = (
    Column("name", lambda user: user.name, can_be_cut=True),
    Column("role", lambda user: user.role),
    Column("owners", lambda user: user.owners, can_be_cut=True),
    Column("password", lambda user: user.has_password),
    Column("last_login", lambda user: user.last_login),
    Column("run_as", lambda user: user.run_as, is_wide=True),
    Column("created", lambda user: user.created_at, is_wide=True),
)
_password_file = click.option(
    "--password-file", metavar="FILE", shell_complete=paths, help="Read the password from this file; - is stdin."
)


@click.group()
def user() -> None:
    """While Kala is not running, the commands work on its data, so that you can add the first user."""


@user.command()
@click.argument("name")
@role(required=True)
@owners
@click.option("--run-as", is_flag=True, help=RUN_AS)
@_password_file
@click.option("--invite", is_flag=True, help="Print an invitation to choose a password.")
@where
def add(
    name: str,
    *,
    role: str,
    owners: tuple[str, ...],
    run_as: bool,
    password_file: str | None,
    invite: bool,
    config_file: str | None,
    data_dir: str | None,
) -> None:
    """Add a user.

    You are asked for the password. If you type none, or there is no terminal, an invitation is printed, with which the
    user chooses a password, once and within an hour.
    """
    if invite and password_file:
        raise click.UsageError("--invite and --password-file exclude each other")
    password = passwords.from_file(password_file) if password_file else ""
    if not password and not invite and passwords.can_ask():
        from kala.access.passwords import SHORTEST  # noqa: PLC0415  `kala --help` imports this module, too

        password = passwords.ask_new(
            f"Password for {name}, at least {SHORTEST} characters (leave empty to invite {name})", may_be_empty=True
        )
    with managed(config_file, data_dir) as found:
        found.users.create(name, role=role, owners=owners, run_as=run_as, password=password or None)
        if password:
            say(f"added {name}")
        else:
            _invite(found, name)


@user.command(name="list")
@listing(_COLUMNS)
@where
def list_(view: View, config_file: str | None, data_dir: str | None) -> None:
    """List the users."""
    with managed(config_file, data_dir) as found:
        view.print(found.users.list(), lambda user: user.name)


@user.command()
@click.argument("name", shell_complete=users)
@listing(())
@where
def show(view: View, name: str, config_file: str | None, data_dir: str | None) -> None:
    """Show a user, and where they are logged in."""
    with managed(config_file, data_dir) as found:
        one = found.users.get(name)
        if view.is_table:
            print_sheet(_rows(one, view))
        else:
            view.print_one(one, one.name)


@user.command(name="set")
@click.argument("name", shell_complete=users)
@role(required=False)
@owners
@click.option("--no-owners", is_flag=True, help="Remove the limit to some owners.")
@click.option("--run-as/--no-run-as", default=None, help=f"{RUN_AS[:-1]}, or not.")
@click.option("--password", "asks", is_flag=True, help="Ask for a new password.")
@_password_file
@where
def set_(
    name: str,
    *,
    owners: tuple[str, ...],
    no_owners: bool,
    asks: bool,
    password_file: str | None,
    config_file: str | None,
    data_dir: str | None,
    **given: Any,
) -> None:
    """Change a user. With another role or password, all their logins end."""
    if owners and no_owners:
        raise click.UsageError("--owner and --no-owners exclude each other")
    if asks and password_file:
        raise click.UsageError("--password and --password-file exclude each other")
    if asks and not passwords.can_ask():
        raise click.UsageError("--password asks for it, and stdin is not a terminal; use --password-file")
    change = {field: value for field, value in given.items() if value is not None}
    if owners or no_owners:
        change["owners"] = owners
    if password_file:
        change["password"] = passwords.from_file(password_file)
    elif asks:
        change["password"] = passwords.ask_new(f"New password for {name}")
    if not change:
        raise click.UsageError("nothing to change; give an option, such as --role")
    with managed(config_file, data_dir) as found:
        found.users.change(name, **change)
        say(f"changed {name}")


@user.command()
@click.argument("name", shell_complete=users)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@where
def remove(name: str, *, yes: bool, config_file: str | None, data_dir: str | None) -> None:
    """Remove a user. All their logins end; jobs and tokens stay."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("remove asks before it removes, and stdin is not a terminal; use --yes")
        click.confirm(safe(f"Remove the user {name}?"), abort=True, err=True)
    with managed(config_file, data_dir) as found:
        found.users.delete(name)
        say(f"removed {name}")


@user.command()
@click.argument("name", shell_complete=users)
@where
def invite(name: str, config_file: str | None, data_dir: str | None) -> None:
    """Print an invitation, with which a user chooses a password. It works once, within an hour."""
    with managed(config_file, data_dir) as found:
        _invite(found, name)


@user.command()
@click.argument("name", shell_complete=users)
@where
def logout(name: str, config_file: str | None, data_dir: str | None) -> None:
    """End all logins of a user, in browsers and terminals."""
    with managed(config_file, data_dir) as found:
        found.users.log_out(name)
        say(f"logged {name} out")


@user.command()
@click.option("--old-file", metavar="FILE", shell_complete=paths, help="Read the old password from this file.")
@click.option("--new-file", metavar="FILE", shell_complete=paths, help="Read the new password from this file.")
def password(old_file: str | None, new_file: str | None) -> None:
    """Change your own password. All your other logins end."""
    if not (old_file and new_file) and not passwords.can_ask():
        raise click.UsageError("passwords are asked for, and stdin is not a terminal; use --old-file and --new-file")
    with connected() as kala:
        old = passwords.from_file(old_file) if old_file else passwords.ask("Old password")
        kala.change_password(old, passwords.from_file(new_file) if new_file else passwords.ask_new())
        say("changed")


def _invite(found: Managed, name: str) -> None:
    invitation = found.users.invite(name)
    click.echo(invitation.invitation)
    until = rfc3339(invitation.expires_at, "seconds")
    text = f"kala: send this invitation to {name}, who can use it once, until {until}, to choose a password"
    how = "with kala login URL --invitation, or in a browser on the page /invitation of this Kala"
    click.echo(safe(f"{text}: {how}"), err=True)


def _rows(one: "User", view: View) -> list[tuple[str, str]]:
    return [
        ("name", one.name),
        ("role", one.role),
        ("owners", view.text(one.owners)),
        ("run as", view.text(one.run_as)),
        ("password", view.text(one.has_password)),
        ("created", view.text(one.created_at)),
        ("last login", view.text(one.last_login)),
        *login_rows(one.logins or (), view),
    ]


def login_rows(logins: "tuple[Login, ...]", view: View) -> list[tuple[str, str]]:
    """Return what a sheet tells about logins."""
    lines = [f"{view.text(one.last_used)}  {one.address}  {one.agent}{'  (this one)' * one.is_this}" for one in logins]
    return [("logins", "\n".join(lines))] if lines else []
