"""How a command fails: one sentence on stderr and an exit code for scripts, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from kala.core.errors import Busy, Conflict, Forbidden, Invalid, KalaError, NotFound, Outdated, describe_os_error
from kala.core.foreign import presentable
from kala.core.limits import LOG_LINE

# 3 is left for commands that have a result of their own to report.
EXIT_CODES: dict[type[KalaError], int] = {
    Invalid: 2,
    NotFound: 4,
    Conflict: 5,
    Forbidden: 6,
    Busy: 7,
    Outdated: 8,
    KalaError: 1,
}


class _Sentence(click.ClickException):
    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance, but declares it otherwise

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"kala: {presentable(self.message, LOG_LINE)}", file=file, err=True)


@contextmanager
def sentences(code: int = 0) -> Iterator[None]:
    """Turn errors that a user can act on into one sentence. click handles a broken pipe (`| head`).

    `code` is the exit code for all errors, for a command whose other codes have a meaning of their own.
    """
    try:
        yield
    except KalaError as error:
        raise _Sentence(str(error), code or exit_code(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _Sentence(describe_os_error(error), code or EXIT_CODES[KalaError]) from error


def exit_code(error: KalaError) -> int:
    """Return the code of the most specific class in the table."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
