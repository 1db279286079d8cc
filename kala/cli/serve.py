"""`kala serve`: the service itself."""

import click

from kala.cli.settings import loader, settings


@click.command()
@settings
@click.option("--daemon", is_flag=True, help="Go to the background, once requests are answered. [default: off]")
def serve(config_file: str | None, *, daemon: bool, **flags: object) -> None:
    """Run the service.

    It ends with SIGTERM or Ctrl-C, and reads its settings again with SIGHUP.

    Settings come from /etc/kala/kala.toml, then ~/.config/kala/kala.toml, then variables such as KALA_PORT, then the
    options below; the last one wins. `kala config show` tells which did.
    """
    from kala.service.daemon import run  # noqa: PLC0415 - `kala --help` reads this module too, and needs no service

    run(loader(config_file, flags), detach=daemon)
