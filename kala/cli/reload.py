"""`kala reload`, the command that `systemctl reload kala` runs."""

import os

import click


@click.command()
def reload() -> None:
    """Wait until the new settings are in effect.

    If one is invalid, print the error, exit with status 2 and keep the current settings. This command is for the
    systemd unit: it needs $MAINPID and $RUNTIME_DIRECTORY, which systemd sets. Use `systemctl reload kala` instead.
    """
    from kala.service.reload import reload_and_wait  # noqa: PLC0415  `kala --help` imports this module, too

    reload_and_wait(os.environ)
