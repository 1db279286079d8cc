"""`kala version`, for who does not think of `--version`."""

import click

from kala import __version__


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"kala {__version__}")
