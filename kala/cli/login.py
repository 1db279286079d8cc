"""`kala login`, `logout` and `whoami`: one's own access."""

import os
from pathlib import Path

import click

from kala import __version__
from kala.cli import passwords
from kala.cli.complete import paths
from kala.cli.connect import connected, say, target_of_options, warn_if_unencrypted
from kala.cli.sheet import print_sheet
from kala.cli.user import login_rows
from kala.cli.view import View, listing, safe
from kala.core.instants import rfc3339


@click.command()
@click.argument("url", required=False)
@click.option("--name", metavar="NAME", help="The name of the server in ~/.config/kala/cli.toml. [default: its host]")
@click.option("--user", metavar="USER", help="Who you are; without it, you are asked.")
@click.option(
    "--password-file", metavar="FILE", shell_complete=paths, help="Read the password from this file; - is stdin."
)
@click.option("--invitation", is_flag=True, help="Ask for an invitation and a new password, and log in with it.")
@click.option("--ca", metavar="FILE", shell_complete=paths, help="The certificates of a CA of your own, in PEM.")
def login(
    url: str | None, name: str | None, *, user: str | None, password_file: str | None, invitation: bool, ca: str | None
) -> None:
    """URL is the address of the server, such as https://kala.example.org.

    Without it, you log in to the server that other commands use. The login is stored in a file next to cli.toml that
    only you can read. It ends with `kala logout`, a week after its last
    use, or at the latest after a month, if the server has no other settings.
    """
    from kala.client import Client, servers  # noqa: PLC0415  `kala login --help` imports this module, too

    if not passwords.can_ask():
        if invitation:
            raise click.UsageError("--invitation asks for it, and stdin is not a terminal; use a terminal")
        if not (user and password_file):
            raise click.UsageError(
                "login asks for name and password, and stdin is not a terminal; use --user and --password-file"
            )
    section, url = _server(url)
    if not ca and target_of_options().server:  # else the client finds it, where KALA_CA has precedence for a URL
        ca = section.get("ca")
    ca = str(Path(ca).absolute()) if ca else None
    with Client(url, ca=ca, is_anonymous=True, agent=f"kala/{__version__}") as kala:
        address = kala.address
        name = name or section.get("name") or address.host or "local"
        token_file = servers.prepare(name, address.url, os.environ)
        warn_if_unencrypted(address, "your password")
        if invitation:
            secret = click.prompt("Invitation", hide_input=True, err=True)
            password = passwords.ask_new()
            user = kala.accept_invitation(secret.strip().rpartition("#")[2], password)
        else:
            user = user or click.prompt("Name", err=True)
            password = passwords.from_file(password_file) if password_file else passwords.ask()
        session = kala.log_in(user, password)
        servers.write_private(token_file, f"{session.token}\n")
        is_default = servers.add(name, address.url, ca or "", token_file, os.environ)
    until = rfc3339(session.expires_at, "seconds")
    how = "" if is_default else f"; kala --server {name} uses it"
    click.echo(
        safe(f"kala: logged in to {address.url} as {session.user} ({session.role}) until {until}{how}"), err=True
    )


@click.command()
@click.option("--all", "everywhere", is_flag=True, help="End all your logins, also those in browsers and elsewhere.")
def logout(*, everywhere: bool) -> None:
    """End the login of `kala login` on the server, and delete its file."""
    from kala.client import Unauthorized  # noqa: PLC0415

    with connected() as kala:
        token_file = kala.address.token_file
        try:
            kala.log_out(everywhere=everywhere)
        except Unauthorized:
            if not token_file:
                raise
            click.echo("kala: the login had ended already", err=True)
    if token_file:
        Path(token_file).unlink(missing_ok=True)
    say(f"logged out of {kala.address.url}")


@click.command()
@listing(())
def whoami(view: View) -> None:
    """Show how the audit log names you, your role, and where you are logged in."""
    with connected() as kala:
        me = kala.me()
        if not view.is_table:
            view.print_one(me, me.actor)
            return
        print_sheet(
            [
                ("server", kala.address.url),
                ("actor", me.actor),
                ("role", me.role),
                ("owners", view.text(me.owners)),
                ("run as", view.text(me.run_as)),
                ("address", view.text(me.address)),
                *login_rows(me.logins, view),
            ]
        )


def _server(url: str | None) -> tuple[dict[str, str], str | None]:
    """Return what cli.toml says about the server to log in to, with its name, and its URL if there is one."""
    from kala.client import servers  # noqa: PLC0415

    target = target_of_options()
    if url and (target.url or target.server):
        raise click.UsageError("the server is given twice; leave out URL, --url or --server")
    url = url or target.url or (None if target.server else os.environ.get("KALA_URL"))
    name, section = servers.with_url(url, os.environ) if url else servers.named(target.server, os.environ)
    return {**section, **({"name": name} if name else {})}, url or section.get("url")
