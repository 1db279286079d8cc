"""`kala events`: changes, as they happen."""

import json
from typing import TYPE_CHECKING

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job
from kala.cli.view import coloured, safe

if TYPE_CHECKING:
    from kala.client import Client


@click.command()
@click.option("--job", shell_complete=jobs, help="Only changes of this job and of its runs.")
@click.option("--run", type=int, help="Only changes of this run.")
@click.option("-o", "--output", type=click.Choice(["table", "jsonl"]), default="table", help="The form of the output.")
def events(*, job: str | None, run: int | None, output: str) -> None:
    """Print a line for each change until you press Ctrl-C.

    After a lost connection, it continues where it was. `refetch` says that changes are missing.
    """
    with connected() as kala:
        names: dict[str, str] = {}
        for event in kala.events(job=find_job(kala, job).id if job else None, run=run):
            if output == "jsonl":
                click.echo(json.dumps({name: getattr(event, name) for name in event.__struct_fields__}))
                continue
            job_id = event.job_id or (event.id if event.kind == "job" else "")
            if job_id and (job_id not in names or event.what == "updated"):
                names[job_id] = _name_of(kala, job_id)
            number = f" {event.id}" if event.kind == "run" else ""
            click.echo(f"{event.kind}{number}  {coloured(event.what)}  {safe(names.get(job_id, ''))}".rstrip())


def _name_of(kala: "Client", job_id: str) -> str:
    from kala.client import NotFound  # noqa: PLC0415

    try:
        return kala.jobs.find(job_id).name
    except NotFound:  # deleted meanwhile; or all were, whose id is *
        return job_id
