"""`kala status`: whether Kala is well, and what goes on."""

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from kala.cli.connect import connected
from kala.cli.exits import RESULT
from kala.cli.sheet import print_sheet
from kala.cli.upcoming import due_jobs
from kala.cli.view import Column, View, listing
from kala.core.figures import length, size

if TYPE_CHECKING:
    from kala.client import Client

_SHOWN = 5
_SECONDS = 2.0
_FAILING = (
    Column("failing", lambda job: job.name, can_be_cut=True),
    Column("last", lambda job: job.last_run and job.last_run.ended_at),
    Column("run", lambda job: job.last_run and job.last_run.id),
)
_RUNNING = (
    Column("running", lambda run: run.job_name, can_be_cut=True),
    Column("started", lambda run: run.started_at),
    Column("run", lambda run: run.id),
)
_NEXT = (
    Column("due_next", lambda job: job.name, can_be_cut=True),
    Column("at", lambda job: job.slots[0]),
    Column("schedule", lambda job: job.sentence, can_be_cut=True),
)


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Show it again every two seconds, until you press Ctrl-C.")
@listing(())
def status(view: View, *, watch: bool) -> None:
    """Show the state of the service, failing jobs, runs in progress and the jobs that are due next.

    Exit with 3 if Kala does not run jobs or accept changes.
    """
    with connected() as kala:
        while True:
            facts = _facts(kala)
            if watch and view.is_for_people:
                click.clear()
            _print(kala, facts, view.with_columns(()))
            if not watch:
                break
            time.sleep(_SECONDS)
    if facts["reasons"]:
        sys.exit(RESULT)


def _facts(kala: "Client") -> dict[str, Any]:
    return {
        "system": kala.system(),
        "summary": kala.summary(),
        "reasons": _reasons(kala),
        "failing": list(kala.jobs.list(state="failing", sort="-last", limit=_SHOWN)),
        "running": list(kala.runs.list(state="running", limit=_SHOWN)),
        "upcoming": due_jobs(kala, _SHOWN),
    }


def _reasons(kala: "Client") -> list[str]:
    """Return why Kala does not run jobs or accept changes; nothing if it does."""
    from kala.client import KalaError  # noqa: PLC0415

    try:
        kala.request("GET", "/health/ready")
    except KalaError as error:
        return [str(error)]
    return []


def _print(kala: "Client", facts: dict[str, Any], view: View) -> None:
    if not view.is_table:
        view.print_one(facts, kala.address.url)
        return
    system, summary = facts["system"], facts["summary"]
    queued, storage = summary["queued"]["total"], system["storage"]
    rows = [
        ("kala", f"{'not ready' if facts['reasons'] else 'ready'} at {kala.address.url}"),
        *[("", reason) for reason in facts["reasons"]],
        ("version", f"{system['versions']['kala']}, up for {length(system['uptime'])}"),
        ("jobs", f"{summary['jobs']:,}, of which {summary['failing']:,} failing and {summary['disabled']:,} disabled"),
        ("runs", f"{summary['running'] + summary['starting']:,} running, {queued:,} queued"),
        ("workers", f"{system['workers']['busy']:,} of {system['workers']['all']:,} busy"),
        ("disk", f"{size(storage['database'] + storage['outputs'])} used, {size(storage['free'])} free"),
    ]
    outage = system["last_outage"]
    if outage and not outage["until"]:
        rows.append(("outage", f"{outage['what']}, since {outage['since']}"))
    print_sheet(rows)
    for columns, items in ((_FAILING, facts["failing"]), (_RUNNING, facts["running"]), (_NEXT, facts["upcoming"])):
        if items:
            click.echo()
            view.with_columns(columns).print(items, lambda item: item.id)
