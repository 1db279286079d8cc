"""What the shell completes: jobs, runs, states and other values."""

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kala.client import Client, Token, User

# Modules of commands import this one, which therefore imports little at its top.

_Complete = Callable[[click.Context, click.Parameter, str], "list[str]"]

JOB_STATES = ("running", "queued", "failing", "ok", "cancelled", "lost", "new", "disabled", "done")
RUN_STATES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")
_MOST = 50
# A person waits for the shell.
_SECONDS = 0.3


def choices(values: Sequence[str]) -> _Complete:
    """Complete one of some values, or the last of several that are separated by commas."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        return [f"{before}{comma}{value}" for value in values if value.startswith(last)]

    return complete


def jobs(_context: click.Context, _parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Complete the name of a job, or nothing if Kala does not respond at once."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from kala.client import Client, KalaError  # noqa: PLC0415

    try:
        with Client(timeout=_SECONDS, retries=0) as kala:
            found = list(kala.jobs.list(q=typed or None, limit=_MOST))
    except KalaError:
        return []
    return [CompletionItem(_quoted(job.name), help=job.sentence) for job in found if job.name.startswith(typed)]


def runs(context: click.Context, parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Complete the id of one of the latest runs, or the name of a job."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from kala.client import Client, KalaError  # noqa: PLC0415

    try:
        with Client(timeout=_SECONDS, retries=0) as kala:
            found = list(kala.runs.list(limit=_MOST))
    except KalaError:
        return []
    ids = [CompletionItem(str(run.id), help=f"{run.job_name}, {run.state}") for run in found]
    return [item for item in ids if item.value.startswith(typed)] + jobs(context, parameter, typed)


def users(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a user."""
    return [name for name in _names(lambda kala: kala.users.list()) if name.startswith(typed)]


def tokens(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a token."""
    return [name for name in _names(lambda kala: kala.tokens.list()) if name.startswith(typed)]


def _names(listed: "Callable[[Client], Sequence[User | Token]]") -> list[str]:
    from kala.client import Client, KalaError  # noqa: PLC0415

    try:
        with Client(timeout=_SECONDS, retries=0) as kala:
            return [one.name for one in listed(kala)]
    except KalaError:
        return []


def paths(_context: click.Context, _parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Let the shell complete file names."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    return [CompletionItem(typed, type="file")]


def _quoted(name: str) -> str:
    """Return a name as bash inserts it; zsh and fish quote it themselves."""
    is_bash = os.environ.get("_KALA_COMPLETE", "").startswith("bash")
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", name) if is_bash else name
