"""`kala version`: the versions that a bug report needs."""

import platform
from pathlib import Path

import click

import kala

# Written when Kala is built. A clone has none, because git knows the commit.
_COMMIT_FILE = Path(kala.__file__).with_name("commit.txt")


@click.command()
def version() -> None:
    """Show the versions of Kala and Python."""
    commit = f"commit {_COMMIT_FILE.read_text().strip()}, " if _COMMIT_FILE.exists() else ""
    click.echo(f"kala {kala.__version__}, {commit}Python {platform.python_version()}")
