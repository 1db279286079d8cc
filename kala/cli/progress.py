"""How far long work has come, for a person at the terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from kala.core.figures import size

_SECONDS = 0.2
_CLEARED = "\r\x1b[K"


@contextmanager
def progress(verb: str) -> Iterator[Callable[[int], None]]:
    """Give a function that gets the number of bytes so far, and shows it as in `12 MB written`."""
    shown_at = time.monotonic()

    def tell(count: int) -> None:
        nonlocal shown_at
        if is_terminal and time.monotonic() - shown_at >= _SECONDS:
            shown_at = time.monotonic()
            click.echo(f"{_CLEARED}{size(count)} {verb}", nl=False, err=True)

    is_terminal = sys.stderr.isatty()
    try:
        yield tell
    finally:
        if is_terminal:
            click.echo(_CLEARED, nl=False, err=True)
