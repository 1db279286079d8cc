"""How a command fails: one sentence on stderr and an exit code for scripts, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import click

from kala.core.errors import describe_os_error


class Exit(NamedTuple):
    """An exit code, the errors that lead to it, and what it means."""

    code: int
    errors: tuple[str, ...]
    meaning: str


RESULT = 3
"""The exit code of a command that worked, with a result that is not good."""

EXITS = (
    Exit(0, (), "Success."),
    Exit(1, ("KalaError",), "Another error."),
    Exit(2, ("Invalid", "TooLarge"), "The command line, or a value in it, is invalid."),
    Exit(RESULT, (), "The run did not succeed (`logs`, `start`, `retry`, `why`), or Kala is not well (`status`)."),
    Exit(4, ("NotFound",), "The job, run, user or token does not exist, or several jobs have the name."),
    Exit(
        5,
        ("Conflict", "Outdated"),
        "The state of what you named does not allow this, it was changed meanwhile, or the name is taken.",
    ),
    Exit(6, ("Forbidden", "Unauthorized"), "You are not logged in, or your role does not allow this."),
    Exit(7, ("Busy", "RateLimited", "TooManyTries"), "Kala cannot do this at the moment; try again later."),
    Exit(8, ("ConnectionFailed",), "Kala cannot be reached."),
)
"""All exit codes. The errors are those of kala.core and of kala.client, by name, as a command imports only one."""

_CODES = {name: row.code for row in EXITS for name in row.errors}


class _Sentence(click.ClickException):
    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance, but declares it otherwise

    def show(self, file: IO[Any] | None = None) -> None:
        from kala.core.foreign import presentable  # noqa: PLC0415  `kala --help` imports this module, too
        from kala.core.limits import LOG_LINE  # noqa: PLC0415

        click.echo(f"kala: {presentable(self.message, LOG_LINE)}", file=file, err=True)


@contextmanager
def sentences(code: int = 0) -> Iterator[None]:
    """Turn errors that a user can act on into one sentence. click handles a broken pipe (`| head`).

    `code` is the exit code for all errors, for a command whose other codes have a meaning of their own.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _Sentence(describe_os_error(error), code or _CODES["KalaError"]) from error
    except Exception as error:
        found = exit_code(error)
        if not found:
            raise
        raise _Sentence(str(error), code or found) from error


def exit_code(error: Exception) -> int:
    """Return the code of the most specific class in the table; 0 if the error is not one of Kala's."""
    names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)]
    return next((_CODES[name] for name in names if name in _CODES), 0) if "KalaError" in names else 0
