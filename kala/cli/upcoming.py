"""`kala next`: the jobs that are due next, or the slots of a job or schedule."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job
from kala.cli.view import Column, View, listing, safe
from kala.core.instants import rfc3339

if TYPE_CHECKING:
    from kala.client import Client, Slots, UpcomingJob

# The longest period that the API has.
_FAR = timedelta(days=31)


class Due(NamedTuple):
    """A slot, as the clock of its zone shows it; and of which job."""

    at: datetime
    local: str
    job: str = ""
    schedule: str = ""


@click.command()
@click.argument("job_or_schedule", metavar="[JOB | SCHEDULE]", required=False, shell_complete=jobs)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=10, help="At most this many. [default: 10]")
@click.option("--timezone", metavar="ZONE", help="The time zone of SCHEDULE, such as Europe/Berlin.")
@listing((Column("at", lambda due: due.at), Column("local", lambda due: due.local)))
def upcoming(view: View, job_or_schedule: str | None, *, limit: int, timezone: str | None) -> None:
    """Without an argument, show the jobs that are due within 31 days.

    With a JOB, show its next slots; with a SCHEDULE, those that a job with it would have: `kala next '30 2 * * 1-5'`.
    """
    with connected() as kala:
        if job_or_schedule is None:
            due = due_jobs(kala, limit)
            columns = (
                Column("job", lambda job: job.name, can_be_cut=True),
                Column("next", lambda job: job.slots[0]),
                Column("schedule", lambda job: job.sentence, can_be_cut=True),
                Column("slots", lambda job: job.count, is_wide=True),
                Column("id", lambda job: job.id, is_wide=True),
            )
            view.with_columns(columns).print(due, lambda job: job.name)
            return
        slots = _slots(kala, job_or_schedule, limit, timezone)
    if view.is_table:
        click.echo(safe(slots.sentence))
        _print_changes(slots)
    dues = [Due(at, local) for at, local in zip(slots.slots, slots.local, strict=True)]
    view.print(dues, lambda due: due.local)


def due_jobs(kala: "Client", limit: int) -> "tuple[UpcomingJob, ...]":
    """Return the jobs that are due next."""
    return kala.upcoming(limit=limit, per_job=1, until=rfc3339(datetime.now(UTC) + _FAR)).jobs


def _slots(kala: "Client", text: str, limit: int, timezone: str | None) -> "Slots":
    from kala.client import Invalid, NotFound  # noqa: PLC0415

    try:
        found = find_job(kala, text)
    except NotFound as no_job:
        if not no_job.status:  # there are several
            raise
        try:
            return kala.preview(text, timezone=timezone, count=limit)
        except Invalid as error:
            raise (error if " " in text or "/" in text else no_job) from None
    job = kala.jobs.get(found.id)
    if not job.schedule:
        raise Invalid(f"job {job.name} has no schedule; kala show tells when it runs")
    return kala.preview(
        job.schedule, timezone=job.timezone or None, jitter=job.jitter or None, name=job.name, count=limit
    )


def _print_changes(slots: "Slots") -> None:
    for change in slots.clock_changes:
        click.echo(f"note: {safe(change.effect)}")
