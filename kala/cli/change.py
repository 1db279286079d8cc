"""`kala set`: some fields of a job."""

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job, say


def _fields(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    from kala.cli.job_fields import TARGETS  # noqa: PLC0415  only for the shell

    return [f"{name}=" for target in TARGETS for name in target.names[:1] if name.startswith(typed)]


@click.command()
@click.argument("job", shell_complete=jobs)
@click.argument("changes", metavar="FIELD=VALUE...", nargs=-1, required=True, shell_complete=_fields)
def change(job: str, changes: tuple[str, ...]) -> None:
    """The fields are those of the API, also with dashes: `kala set backup retries=2 tag=db tag=nightly env.LEVEL=3`.

    An empty value resets a field to its default, and removes a variable: `kala set backup timeout= env.LEVEL=`.
    """
    from kala.cli.job_fields import change as patch_of  # noqa: PLC0415  `kala set --help` imports this module, too

    patch = patch_of(changes)
    with connected() as kala:
        changed = kala.jobs.change(find_job(kala, job).id, **patch)
        say(f"changed {changed.name}")
