"""Facts about one thing, one below the other."""

from collections.abc import Sequence

import click

from kala.cli.view import coloured, lines_of


def print_sheet(rows: Sequence[tuple[str, str]]) -> None:
    """Print rows of a name and a value; further lines of a value are below its first one."""
    width = max((len(name) for name, _ in rows), default=0) + 2
    for name, value in rows:
        first, *rest = list(lines_of(value)) or [""]
        if name == "state":
            first = ", ".join(map(coloured, first.split(", ")))
        click.echo(f"{name:{width}}{first}")
        for line in rest:
            click.echo(f"{'':{width}}{line}")
