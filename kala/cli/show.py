"""`kala show`: one job."""

import json
from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job
from kala.cli.sheet import print_sheet
from kala.cli.view import View, listing
from kala.core.figures import length

if TYPE_CHECKING:
    from kala.client import Client, Job, Run

_RECENT = 5
# Shown in rows of their own, in words.
_IN_WORDS = ("name", "schedule", "timezone", "jitter", "parent_jobs", "on_failure_job", "disabled", "type")


@click.command()
@click.argument("job", shell_complete=jobs)
@listing(())
def show(view: View, job: str) -> None:
    """JOB is an id, the beginning of an id, or a unique name.

    Fields with their default values are left out; -o json and -o yaml have all of them.
    """
    with connected() as kala:
        found = find_job(kala, job)
        if view.is_table:
            print_sheet(_rows(kala, kala.jobs.get(found.id), view))
        else:
            view.print_one(_as_in_the_api(kala, found.id), found.name)


def _as_in_the_api(kala: "Client", job_id: str) -> Any:
    """Return the job with all fields of the response, also those that the client does not know."""
    from kala.client.transport import path_of  # noqa: PLC0415

    return json.loads(kala.request("GET", path_of("job", job_id)).body)["job"]


def _rows(kala: "Client", job: "Job", view: View) -> list[tuple[str, str]]:
    [summary] = kala.jobs.list(ids=[job.id])
    names = {node["id"]: node["name"] for node in kala.graph(job=job.id, depth=1)["nodes"]}
    schedule = f"  [{job.schedule}]" if job.schedule else ""
    rows = [
        ("name", job.name),
        ("id", job.id),
        ("state", ", ".join(summary.state)),
        ("runs", f"{summary.sentence}{schedule}"),
    ]
    if job.next_run_at:
        rows.append(("next run", f"{view.text(job.next_run_at)}, {job.next_run_local}"))
    for title, ids in (
        ("parents", job.parent_jobs),
        ("children", job.dependent_jobs),
        ("on failure", [job.on_failure_job] if job.on_failure_job else None),
    ):
        if ids:
            rows.append((title, ", ".join(names.get(one, one) for one in ids)))
    rows += _settings(job)
    rows.append(("counts", f"{job.success_count:,} succeeded, {job.error_count:,} attempts failed"))
    runs = kala.runs.list(job=job.id, limit=_RECENT)
    return rows + [("latest" if not place else "", _run(run, view)) for place, run in enumerate(runs)]


def _settings(job: "Job") -> list[tuple[str, str]]:
    """Return the fields that the owner has set, in the order of the table of fields."""
    from msgspec import to_builtins  # noqa: PLC0415

    from kala.api.job_fields import JOB  # noqa: PLC0415

    values, defaults = to_builtins(job), to_builtins(type(job)(id="", name=""))
    shown = [name for name in JOB if name not in _IN_WORDS and values[name] != defaults[name]]
    return [row for name in shown for row in _values(name, values[name])]


def _values(name: str, value: Any) -> list[tuple[str, str]]:
    if name == "remote_properties":
        return [row for key, one in value.items() if one for row in _values(key, one)]
    if isinstance(value, dict):
        pairs = [f"{key}={', '.join(one) if isinstance(one, (list, tuple)) else one}" for key, one in value.items()]
        return [(name if not place else "", pair) for place, pair in enumerate(pairs)]
    return [(name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))]


def _run(run: "Run", view: View) -> str:
    when = view.text(run.ended_at or run.started_at or run.queued_at)
    took = f" after {length(run.duration)}" if run.duration is not None else ""
    message = f": {run.message}" if run.message else ""
    return f"run {run.id} {run.state} {when}{took}{message}"
