"""Passwords: asked for on a terminal without echo, or read from a file."""

import sys
from pathlib import Path

import click

from kala.core.errors import Invalid

_LONGEST = 10_000


def from_file(file: str) -> str:
    """Return the password that is the first line of a file, or of stdin for `-`."""
    try:
        text = sys.stdin.read(_LONGEST) if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{file}: must be UTF-8") from None
    password, _, rest = text.partition("\n")
    password = password.removesuffix("\r")
    if not password or rest.strip():
        raise Invalid(f"{file}: must have a password on one line")
    return password


def ask(title: str = "Password") -> str:
    """Ask for a password, once and without echo."""
    password: str = click.prompt(title, hide_input=True, err=True)
    return password


def ask_new(title: str = "New password", *, may_be_empty: bool = False) -> str:
    """Ask for a new password twice, until it is the same. It can be empty for none."""
    while True:
        password: str = click.prompt(
            title, hide_input=True, err=True, default="" if may_be_empty else None, show_default=False
        )
        if (
            not password
            or click.prompt("The same again", hide_input=True, err=True, default="", show_default=False) == password
        ):
            return password
        click.echo("These two are not the same.", err=True)


def can_ask() -> bool:
    return sys.stdin.isatty()
