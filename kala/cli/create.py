"""`kala create`: a new job, from options, a file, or both."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import choices, jobs, paths
from kala.cli.connect import connected, say
from kala.cli.job_fields import TARGETS, Target, new_job
from kala.cli.view import safe
from kala.core import fields as kinds
from kala.core.errors import Invalid

if TYPE_CHECKING:
    from kala.client import Client

_NAME = "name"


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command an option for each field, in the order of their groups."""
    ordered = sorted(TARGETS, key=lambda target: list(kinds.Group).index(target.field.group))
    for target in reversed(ordered):
        if target.names[0] != _NAME:
            command = _option(target)(command)
    return command


def _option(target: Target) -> Callable[..., Any]:
    kind = target.field.kind
    names = [f"--{name.replace('_', '-')}" for name in target.names]
    meaning = target.field.meaning.replace("`", "")
    shown = f"{meaning[0].upper()}{meaning[1:]}."
    if isinstance(kind, kinds.Flag):
        return click.option(*names, target.names[0], is_flag=True, default=None, help=shown)
    return click.option(
        *names,
        target.names[0],
        multiple=target.is_repeated,
        metavar=_metavar(kind),
        help=shown,
        shell_complete=_completion(kind),
    )


def _metavar(kind: kinds.Kind) -> str:
    if isinstance(kind, kinds.Choice):
        return "|".join(kind.values)
    words = {kinds.Variables: "NAME=VALUE", kinds.Headers: "NAME:VALUE", kinds.Duration: "DURATION"}
    item = kind.item if isinstance(kind, kinds.Listed) else kind
    numbers = {kinds.Whole: "NUMBER", kinds.Number: "NUMBER", kinds.JobName: "JOB", kinds.AbsolutePath: "PATH"}
    return (words | numbers).get(type(item), "TEXT")


def _completion(kind: kinds.Kind) -> Any:
    item = kind.item if isinstance(kind, kinds.Listed) else kind
    if isinstance(item, kinds.Choice):
        return choices(tuple(item.values))
    return {kinds.JobName: jobs, kinds.AbsolutePath: paths}.get(type(item))


@click.command()
@click.argument("name", required=False)
@click.option(
    "-f", "--file", metavar="FILE", shell_complete=paths, help="Read a job, or a list, from YAML or JSON; - is stdin."
)
@click.option("--dry-run", is_flag=True, help="Only check the job, and print its next slots.")
@_options
def create(name: str | None, *, file: str | None, dry_run: bool, **given: Any) -> None:
    """Print the id of the new job: `kala create hello --command 'echo hello' --schedule '0 * * * *'`.

    The options are the fields of a job in the API; repeat an option that has several values. Without a schedule and
    parents, the job runs once, immediately. With --file and options, the options count.
    """
    values = [
        (target, _texts(given[target.names[0]])) for target in TARGETS if given.get(target.names[0]) not in (None, ())
    ]
    options = new_job(values) | ({_NAME: name} if name else {})
    with connected() as kala:
        for job in _jobs(file):
            _create(kala, job | options, dry_run=dry_run)


def _texts(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return list(value) if isinstance(value, tuple) else [value]


def _jobs(file: str | None) -> Iterator[dict[str, Any]]:
    """Yield the jobs of a file, or an empty one for the options."""
    if file is None:
        yield {}
        return
    import yaml  # noqa: PLC0415  JSON is YAML, too

    try:
        found = yaml.safe_load(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Invalid(f"{file}: invalid YAML: {' '.join(str(error).split())}") from None
    for job in found if isinstance(found, list) else [found]:
        if not isinstance(job, dict):
            raise Invalid(f"{file}: must have a job as an object with its fields, or a list of jobs")
        yield job


def _create(kala: "Client", job: dict[str, Any], *, dry_run: bool) -> None:
    if dry_run:
        checked = kala.jobs.check(**job)
        for slot in checked.slots:
            click.echo(slot.isoformat().replace("+00:00", "Z"))
        return
    created = kala.jobs.create(**job)
    click.echo(created.id)
    if sys.stderr.isatty():
        _say_when(kala, created.id)


def _say_when(kala: "Client", job_id: str) -> None:
    job = kala.jobs.get(job_id)
    due = f"; next run {job.next_run_local}" if job.next_run_at else ""
    say(safe(f"created {job.name}{due}"))
