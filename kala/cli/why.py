"""`kala why`: one answer to why a run failed, or did not run."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from kala.cli.complete import runs
from kala.cli.connect import connected, find_job, find_run, is_number, newest_run
from kala.cli.exits import RESULT
from kala.cli.sheet import print_sheet
from kala.cli.view import View, lines_of, listing, safe
from kala.core.figures import length

if TYPE_CHECKING:
    from kala.client import Chain, Client, Job, Run

_LINES = 10
_MOST_RUNS = 20


@click.command()
@click.argument("run", metavar="RUN|JOB", shell_complete=runs)
@listing(())
def why(view: View, run: str) -> None:
    """For a JOB, explain its newest run, and when the job runs next.

    Show the state of the run, the reason for it, what caused the run, what it caused, and the last lines of its output.
    Exit with 3 if the run did not succeed.
    """
    with connected() as kala:
        job = None if is_number(run) else kala.jobs.get(find_job(kala, run).id)
        found = newest_run(kala, job.id) if job else find_run(kala, run)
        if view.is_table:
            _print(kala, job, found, view)
        else:
            view.print_one(_data(kala, found), found.id if found else "")
    if found and found.has_ended and not found.ok:
        sys.exit(RESULT)


def _data(kala: "Client", run: "Run | None") -> object:
    if run is None:
        return {"run": None, "causes": [], "caused": [], "output": []}
    chain = kala.runs.chain(run.id, limit=_MOST_RUNS)
    output = list(run.output(tail=_LINES).lines())
    return {"run": run, "causes": chain.causes, "caused": chain.caused, "output": output}


def _print(kala: "Client", job: "Job | None", run: "Run | None", view: View) -> None:
    if run:
        chain = kala.runs.chain(run.id, limit=_MOST_RUNS)
        print_sheet([*_about(run, view), *_related("caused by", chain.causes), *_led_to(chain)])
        _print_output(run)
    if job:
        click.echo(safe(f"{job.name}: {_prospects(job, view, has_runs=run is not None)}"))


def _about(run: "Run", view: View) -> Iterator[tuple[str, str]]:
    yield "run", f"{run.id} of {run.job_name}"
    yield "state", run.state
    yield "reason", run.explain
    yield "cause", run.cause + (f", attempt {run.attempt + 1}" if run.attempt else "")
    if run.requested_by:
        yield "requested by", run.requested_by
    for name, time in (("due", run.slot), ("started", run.started_at), ("ended", run.ended_at)):
        if time:
            yield name, view.text(time)
    if run.duration is not None and run.started_at:
        yield "took", length(run.duration)
    for name in ("exit_code", "signal", "http_status"):
        value = getattr(run, name)
        if value is not None:
            yield name.replace("_", " "), str(value)


def _led_to(chain: "Chain") -> Iterator[tuple[str, str]]:
    yield from _related("led to", chain.caused)
    if chain.has_more:
        yield "", "and others"


def _related(title: str, runs: "tuple[Run, ...]") -> Iterator[tuple[str, str]]:
    for place, run in enumerate(runs):
        message = f": {run.message}" if run.message else ""
        yield "" if place else title, f"run {run.id} of {run.job_name} ({run.cause}) {run.state}{message}"


def _print_output(run: "Run") -> None:
    lines = list(run.output(tail=_LINES).lines())
    if lines:
        click.echo(f"output{' (last lines)' if len(lines) == _LINES else ''}")
    for line in lines:
        click.echo(f"  {' '.join(lines_of(line))}")


def _prospects(job: "Job", view: View, *, has_runs: bool) -> str:
    """Return when the job runs next, or why it does not."""
    before = "" if has_runs else "no runs yet; "
    if job.disabled:
        return f"{before}disabled, so nothing starts it; kala enable changes that"
    if job.next_run_at:
        return f"{before}next run {view.text(job.next_run_at)}"
    if job.parent_jobs:
        return f"{before}it runs after its parents; kala show names them"
    if job.is_done:
        return f"{before}its schedule has ended"
    return f"{before}nothing is due; kala start runs it"
