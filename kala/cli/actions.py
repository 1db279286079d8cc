"""`kala enable`, `disable`, `delete` and `cancel`: actions on jobs that exist."""

import sys
from collections.abc import Iterator
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
        chosen = list({job.id: job for job in _found(kala, jobs)}.values())
        if not yes:
            _ask(chosen, *_going_along(kala, chosen))
        gone: set[str] = set()
        for job in chosen:
            if job.id not in gone:
                deleted = kala.jobs.delete(job.id)
                gone |= {one.id for one in deleted}
                for one in deleted:
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


def _ask(chosen: "list[JobRef]", along: "list[str]", has_more: bool) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("delete asks before it deletes, and stdin is not a terminal; use --yes")
    if along or has_more:
        more = " and perhaps others" if has_more else ""
        click.echo(f"These have no other parent and go along: {safe(_listed(along))}{more}", err=True)
    click.confirm(f"Delete {safe(_listed([job.name for job in chosen]))}?", abort=True, err=True)


def _listed(names: "list[str]") -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _going_along(kala: "Client", chosen: "list[JobRef]") -> tuple[list[str], bool]:
    """Return the names of the jobs whose parents would all be deleted, and whether there may be others."""
    gone, has_more = {job.id for job in chosen}, False
    names: dict[str, str] = {}
    parents: dict[str, set[str]] = {}
    for job in chosen:
        around = kala.graph(job=job.id, depth=100)
        has_more = has_more or around["has_more"]
        names |= {node["id"]: node["name"] for node in around["nodes"]}
        for edge in around["edges"]:
            if edge["kind"] == "success":
                parents.setdefault(edge["to"], set()).add(edge["from"])
    along = list(_descendants(gone, parents))
    return [names[one] for one in along], has_more


def _descendants(gone: set[str], parents: dict[str, set[str]]) -> Iterator[str]:
    """Yield the jobs of which each parent is gone, or is yielded before."""
    gone = set(gone)
    while new := [child for child, its in parents.items() if child not in gone and its <= gone]:
        gone |= set(new)
        yield from new
