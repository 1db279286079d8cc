"""`kala run`: run one command as a job would, to try it before it is scheduled."""

import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import click

from kala.cli.exits import sentences
from kala.core.errors import Busy, Invalid
from kala.core.foreign import presentable
from kala.core.run import Outcome
from kala.runner import command, environment
from kala.runner.cancellation import Cancellation
from kala.runner.command import CommandContext
from kala.runner.output import Output
from kala.runner.scarcity import Scarce

_KEPT_BYTES = 1024 * 1024
_OWN_FAILURE = 125


class _Tee(Output):
    """Output that is also written to stdout as it comes, all of it."""

    def write(self, data: bytes) -> None:
        super().write(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Run(click.Command):
    """Exits with the status of the command. So its own failures have the status that nice(1) and env(1) use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = _OWN_FAILURE  # type: ignore[misc]  # click reads it from the instance
            raise

    def invoke(self, ctx: click.Context) -> object:
        with sentences(_OWN_FAILURE):
            return super().invoke(ctx)


@click.command(cls=_Run, context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND [ARGUMENT]...", nargs=-1, required=True, type=click.UNPROCESSED)
def run(words: tuple[str, ...]) -> None:
    """Show its output and outcome.

    COMMAND alone is a command line for the shell, as in a job. With ARGUMENTs, it is a program and they are its
    arguments, as in nice(1).

    The command has no standard input and its own process group. It uses your user, current directory and environment;
    those of the service can differ, and the service also sets variables such as KALA_RUN_ID.

    The exit status is that of the command: 127 if it is not found, 126 if it cannot be executed, and 128 plus the
    signal number if a signal ends it. It is 125 if Kala itself fails.
    """
    line = words[0] if len(words) == 1 else f"exec {shlex.join(words)}"
    if not line.strip():
        raise Invalid("command: must not be empty; give a command")
    try:
        outcome = _execute(line)
    except BrokenPipeError:  # exit as the command would if it wrote to the closed pipe itself
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    reason = f": {presentable(outcome.message)}" if outcome.message else ""
    click.echo(f"kala: {outcome.state} after {outcome.duration / 1e9:.3f} s{reason}", err=True)
    sys.exit(_status(outcome))


def _status(outcome: Outcome) -> int:
    if outcome.signal is not None:
        return 128 + outcome.signal
    return _OWN_FAILURE if outcome.exit_code is None else outcome.exit_code


def _execute(line: str) -> Outcome:
    context = CommandContext(environ=environment.encoded(environment.for_commands(os.environ)), folder=Path.cwd())
    with tempfile.TemporaryDirectory(prefix="kala-") as folder:
        output, cancellation = _Tee(Path(folder), 0, _KEPT_BYTES), Cancellation()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: cancellation.cancel("cancelled by a signal"))
        try:
            return command.run(line, context, output, cancellation)
        except Scarce as scarce:
            raise Busy(f"the command cannot be started at the moment: {scarce}") from scarce
        finally:
            output.close()
