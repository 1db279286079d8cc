"""`kala reload`: what `systemctl reload kala` calls."""

import os

import click


@click.command()
def reload() -> None:
    """Let a running Kala read its settings again; ends when they are in force.

    Exits with 2 and the error when a setting is wrong; then all stay as they were. For the unit: it takes the process
    from $MAINPID and its folder from $RUNTIME_DIRECTORY, which systemd sets. By hand, `systemctl reload kala`.
    """
    from kala.service.reload import reload_and_wait  # noqa: PLC0415 - `kala --help` reads this module, too

    reload_and_wait(os.environ)
