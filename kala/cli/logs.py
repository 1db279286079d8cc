"""`kala logs`: the output of a run."""

import sys
from typing import TYPE_CHECKING

import click

from kala.cli.complete import runs
from kala.cli.connect import connected, run_id, say
from kala.cli.exits import RESULT

if TYPE_CHECKING:
    from kala.client import Output, Run


@click.command()
@click.argument("run", metavar="RUN|JOB", shell_complete=runs)
@click.option("-f", "--follow", is_flag=True, help="Print new output until the run ends; exit with 3 if it failed.")
@click.option("-n", "--tail", type=click.IntRange(0), help="Only this many of the last lines.")
def logs(run: str, *, follow: bool, tail: int | None) -> None:
    """Print what a run has written to stdout and stderr, as bytes. For a JOB, it is its newest run.

    With -f, output continues where it was if the connection breaks or Kala is restarted.
    """
    with connected() as kala:
        number = run_id(kala, run)
        copy(kala.runs.output(number, follow=follow, tail=tail))
        if follow:
            report(kala.runs.get(number))


def copy(output: "Output") -> None:
    """Write an output to stdout as it comes."""
    stdout = sys.stdout.buffer
    for chunk in output:
        stdout.write(chunk)
        stdout.flush()


def report(run: "Run") -> None:
    """Say how a run ended, and exit with 3 if it did not succeed."""
    say(run.explain)
    if not run.ok:
        sys.exit(RESULT)
