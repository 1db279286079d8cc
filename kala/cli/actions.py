"""`kala enable`, `disable`, `delete` and `cancel`: actions on jobs that exist."""

import sys
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import jobs as complete_jobs
from kala.cli.complete import runs as complete_runs
from kala.cli.connect import connected, find_job, is_number, say
from kala.cli.view import safe

if TYPE_CHECKING:
    from kala.client import Client, JobRef

_MOST_NAMED = 20


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs)
def enable(jobs: tuple[str, ...]) -> None:
    """A job's `missed` decides what happens to slots that passed meanwhile; by default, it runs once at once."""
    with connected() as kala:
        for job in _found(kala, jobs):
            kala.jobs.enable(job.id)
            say(f"enabled {job.name}")


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs)
def disable(jobs: tuple[str, ...]) -> None:
    """Runs in progress continue; queued ones are held until the job is enabled."""
    with connected() as kala:
        for job in _found(kala, jobs):
            kala.jobs.disable(job.id)
            say(f"disabled {job.name}")


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(jobs: tuple[str, ...], *, yes: bool) -> None:
    """Print the names of all deleted jobs. Jobs whose only parents are deleted go along; the question names them.

    Runs in progress continue. The history of deleted jobs stays until it is too old.
    """
    with connected() as kala:
        chosen = {job.id: job.name for job in _found(kala, jobs)}
        named = {} if yes else _confirmed(chosen, _along(kala, chosen, chosen))
        gone: set[str] = set()
        for job_id, name in chosen.items():
            if job_id in gone:
                continue
            # A job with several parents goes along with the last of them; and others may have been created meanwhile.
            if not yes and (more := _along(kala, [job_id], named)):
                named |= _confirmed({job_id: name}, more)
            for one in kala.jobs.delete(job_id):
                gone.add(one.id)
                click.echo(safe(one.name))


@click.command()
@click.argument("runs", metavar="RUN|JOB...", nargs=-1, required=True, shell_complete=complete_runs)
def cancel(runs: tuple[str, ...]) -> None:
    """A running command gets SIGTERM, and SIGKILL after `kill_grace`. A cancelled run is not retried.

    For a JOB, cancel its queued and running runs. The command does not wait for their end.
    """
    with connected() as kala:
        for text in runs:
            if is_number(text):
                kala.runs.cancel(int(text))
                say(f"run {text} is being cancelled")
            else:
                job = find_job(kala, text)
                _raise_failure(kala.jobs.bulk("cancel", ids=[job.id]))
                say(f"all runs of {job.name} are being cancelled")


def _found(kala: "Client", jobs: tuple[str, ...]) -> "list[JobRef]":
    """Return all jobs before anything is done to one of them."""
    return [find_job(kala, job) for job in jobs]


def _raise_failure(result: Any) -> None:
    from kala.client import Conflict  # noqa: PLC0415

    for failure in result.failed:
        raise Conflict(failure.error)


def _along(kala: "Client", ids: Iterable[str], known: Container[str]) -> dict[str, str]:
    """Return the names of the jobs that would be deleted with these, by their ids, without those that are known."""
    return {one.id: one.name for job_id in ids for one in kala.jobs.deletion(job_id) if one.id not in known}


def _confirmed(chosen: dict[str, str], along: dict[str, str]) -> dict[str, str]:
    """Ask whether to delete these jobs, and return them all."""
    if not sys.stdin.isatty():
        raise click.UsageError("delete asks before it deletes, and stdin is not a terminal; use --yes")
    if along:
        click.echo(f"These have no other parent and go along: {_listed(along)}", err=True)
    click.confirm(f"Delete {_listed(chosen)}?", abort=True, err=True)
    return chosen | along


def _listed(jobs: dict[str, str]) -> str:
    names = list(jobs.values())
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return safe(", ".join(names[:_MOST_NAMED]) + more)
