"""`kala jobs`: the list of jobs."""

from typing import Any

import click

from kala.cli.complete import JOB_STATES, choices
from kala.cli.connect import connected
from kala.cli.view import Column, View, listing

_SORTS = ("created", "name", "next", "last", "failures", "state")
_COLUMNS = (
    Column("name", lambda job: job.name, can_be_cut=True),
    Column("state", lambda job: job.state),
    Column("next", lambda job: job.next_run_at),
    Column("last", lambda job: job.last_run and job.last_run.ended_at),
    Column("schedule", lambda job: job.sentence, can_be_cut=True),
    Column("id", lambda job: job.id, is_wide=True),
    Column("owner", lambda job: job.owner, is_wide=True, can_be_cut=True),
    Column("tags", lambda job: job.tags, is_wide=True, can_be_cut=True),
    Column("recent", lambda job: job.recent, is_wide=True, can_be_cut=True),
)


@click.command()
@click.argument("text", required=False)
@click.option("--state", metavar="STATES", shell_complete=choices(JOB_STATES), help="Only jobs in one of these states.")
@click.option("--owner", help="Only jobs of exactly this owner.")
@click.option("--tag", multiple=True, help="Only jobs with this tag; repeat it for jobs with all of several.")
@click.option("--enabled/--disabled", default=None, help="Only jobs that are enabled, or disabled.")
@click.option("--done/--not-done", default=None, help="Only jobs that will not, or will, run again.")
@click.option(
    "--sort", metavar="KEYS", shell_complete=choices(_SORTS), help=f"{', '.join(_SORTS)}; - before one reverses it."
)
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many jobs. [default: all]")
@listing(_COLUMNS)
def jobs(
    view: View,
    text: str | None,
    *,
    state: str | None,
    owner: str | None,
    tag: tuple[str, ...],
    enabled: bool | None,
    done: bool | None,
    sort: str | None,
    limit: int | None,
) -> None:
    """With TEXT, only jobs whose name contains it, in upper or lower case.

    States are running, queued, failing, ok, cancelled, lost, new, disabled and done; separate several with commas.
    """
    given: dict[str, Any] = {"q": text, "owner": owner, "tag": tag or None, "state": state, "done": done, "sort": sort}
    disabled = None if enabled is None else not enabled
    with connected() as kala:
        view.print(kala.jobs.list(**given, disabled=disabled, recent=5, limit=limit), lambda job: job.name)
