"""`kala run`: one command as a job runs it, for trying out what will be scheduled."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import click

from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.run import Outcome, State
from kala.engine import environment
from kala.engine.command import Setting, execute
from kala.engine.control import Control
from kala.engine.output import Output

_KEPT_BYTES = 1024 * 1024


class _Shown(Output):
    """Output that is shown as it comes, all of it."""

    def write(self, data: bytes) -> None:
        super().write(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("command")
def run(command: str) -> None:
    """Run COMMAND as a job does, and show its output and outcome.

    It gets no standard input and a process group of its own. User, folder and environment are yours: those of the
    service may differ, which also gives each run variables such as KALA_RUN_ID. The exit status is 0 when the run
    succeeded and 1 when it did not.
    """
    if not command.strip():
        raise Invalid("command: blank; give a command")
    outcome = _execute(command)
    reason = f": {presentable(outcome.message)}" if outcome.message else ""
    click.echo(f"kala: {outcome.state} after {outcome.duration / 1e9:.3f} s{reason}", err=True)
    sys.exit(0 if outcome.state is State.SUCCEEDED else 1)


def _execute(command: str) -> Outcome:
    setting = Setting(environ=environment.encoded(environment.for_commands(os.environ)), folder=Path.cwd())
    with tempfile.TemporaryDirectory(prefix="kala-") as folder:
        output, control = _Shown(Path(folder), 0, _KEPT_BYTES), Control()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: control.cancel("cancelled by a signal"))
        try:
            return execute(command, setting, output, control)
        finally:
            output.close()
