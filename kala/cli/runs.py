"""`kala runs`: the history of runs."""

from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import RUN_STATES, choices, jobs
from kala.cli.connect import connected, find_job
from kala.cli.view import Column, Seconds, View, listing

if TYPE_CHECKING:
    from kala.client import Client

_FAILED = ("failed", "timed_out", "lost")
_CAUSES = ("schedule", "manual", "parent", "failure", "retry", "creation")
_COLUMNS = (
    Column("id", lambda run: run.id),
    Column("job", lambda run: run.job_name, can_be_cut=True),
    Column("state", lambda run: f"{run.state} ({run.waiting_for})" if run.waiting_for else run.state),
    Column("started", lambda run: run.started_at),
    Column("took", lambda run: None if run.duration is None else Seconds(run.duration)),
    Column("message", lambda run: run.message, can_be_cut=True),
    Column("cause", lambda run: run.cause, is_wide=True),
    Column("attempt", lambda run: run.attempt, is_wide=True),
    Column("slot", lambda run: run.slot, is_wide=True),
    Column("ended", lambda run: run.ended_at, is_wide=True),
    Column("exit", lambda run: run.exit_code, is_wide=True),
    Column("job_id", lambda run: run.job_id, is_wide=True),
)


@click.command()
@click.argument("job", required=False, shell_complete=jobs)
@click.option("--failed", is_flag=True, help="Only runs that failed, timed out or were lost.")
@click.option("--state", metavar="STATES", shell_complete=choices(RUN_STATES), help="Only runs in one of these states.")
@click.option("--cause", type=click.Choice(_CAUSES), help="Only runs with this cause.")
@click.option("--since", metavar="TIME", help="Only runs not before this time, such as -1h or 2030-01-01T08:00:00Z.")
@click.option("--until", metavar="TIME", help="Only runs not after this time.")
@click.option("--longer-than", metavar="DURATION", help="Only runs that took longer than this, such as 10m or PT1H.")
@click.option("--caused-by", "cause_run", metavar="RUN", type=int, help="Only runs that this run caused.")
@click.option("--pool", help="Only runs in this pool.")
@click.option("--search", "q", metavar="TEXT", help="Only runs of jobs whose name contains this text.")
@click.option("--owner", help="Only runs of jobs of exactly this owner.")
@click.option("--tag", multiple=True, help="Only runs of jobs with this tag.")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, help="At most this many runs. [default: 20]")
@listing(_COLUMNS)
def runs(
    view: View, job: str | None, *, failed: bool, state: str | None, tag: tuple[str, ...], limit: int, **filters: Any
) -> None:
    """The newest come first. JOB is an id, the beginning of an id, or a unique name; a deleted job, its whole id.

    States are queued, running, succeeded, failed, timed_out, cancelled, lost and skipped; separate several with commas.
    """
    if failed and state:
        raise click.UsageError("--failed and --state exclude each other")
    states = _FAILED if failed else state
    with connected() as kala:
        job_id = _id_of(kala, job) if job else None
        found = kala.runs.list(job=job_id, state=states, tag=tag or None, limit=limit, **filters)
        view.print(found, lambda run: run.id)


def _id_of(kala: "Client", job: str) -> str:
    from kala.client import NotFound  # noqa: PLC0415

    try:
        return find_job(kala, job).id
    except NotFound as error:
        if not error.status:  # there are several
            raise
        return job  # it may have been deleted
