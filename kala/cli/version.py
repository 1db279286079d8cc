"""`kala version`: the versions that a bug report needs."""

import platform

import click

import kala


@click.command()
def version() -> None:
    commit = kala.commit()
    built_from = f"commit {commit}, " if commit else ""
    click.echo(f"kala {kala.__version__}, {built_from}Python {platform.python_version()}")
