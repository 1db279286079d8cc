"""`kala start` and `kala retry`: a new run, to wait for or not."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import jobs, runs
from kala.cli.connect import connected, find_job, run_id, say
from kala.cli.logs import copy, report

if TYPE_CHECKING:
    from kala.client import Run


def _awaited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options to wait for its run."""
    for option in (
        click.option("--wait", is_flag=True, help="Wait until the run has ended; exit with 3 if it did not succeed."),
        click.option("-f", "--follow", is_flag=True, help="Wait, and print the output as it comes."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("job", shell_complete=jobs)
@_awaited
def start(job: str, *, wait: bool, follow: bool) -> None:
    """Print the id of the new run.

    The schedule stays as it is. If a run of the job is in progress, its `overlap` decides what happens; by default,
    the new run starts afterwards.
    """
    with connected() as kala:
        found = find_job(kala, job)
        _await(kala.jobs.start(found.id), wait=wait, follow=follow)


@click.command()
@click.argument("run", metavar="RUN|JOB", shell_complete=runs)
@_awaited
def retry(run: str, *, wait: bool, follow: bool) -> None:
    """Print the id of the new run. For a JOB, retry its newest run.

    The run must have ended. The new one has all retries of the job.
    """
    with connected() as kala:
        _await(kala.runs.retry(run_id(kala, run)), wait=wait, follow=follow)


def _await(run: "Run", *, wait: bool, follow: bool) -> None:
    if follow:
        say(f"run {run.id} of {run.job_name}")
        copy(run.output(follow=True))
    else:
        click.echo(run.id)
    if wait or follow:
        report(run.wait())
