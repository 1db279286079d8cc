"""`kala serve`: run the service."""

import click

from kala.cli.settings import loader, settings


@click.command()
@settings
@click.option(
    "--daemon", is_flag=True, help="Run in the background; returns once Kala answers requests. [default: off]"
)
def serve(config_file: str | None, *, daemon: bool, **flags: object) -> None:
    """It stops on SIGTERM or Ctrl-C, and reloads its settings on SIGHUP.

    Settings come from /etc/kala/kala.toml, ~/.config/kala/kala.toml, environment variables such as KALA_PORT, and the
    options below; later ones override earlier ones. `kala config show` shows where each value comes from.
    """
    from kala.service.daemon import run  # noqa: PLC0415  `kala --help` imports this module, too

    run(loader(config_file, flags), detach=daemon)
