"""The server that a command calls, and the jobs and runs that its arguments name."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kala import __version__
from kala.cli.target import Target

if TYPE_CHECKING:
    from kala.client import Client, JobRef, Run, Summary
    from kala.client.address import Address

# `kala jobs --help` imports the modules of commands, too, so none of them imports kala.client at its top.

_PREFIX = re.compile("[0-9a-f]{4}[0-9a-f-]*")
_MOST_CANDIDATES = 20
_LOOPBACK = ("localhost", "::1")


def target_of_options() -> Target:
    """Return the server that the options name."""
    return click.get_current_context().find_root().obj or Target(None, None)


def client_of_options(timeout: float = 60.0) -> "Client":
    """Return a client of the server of the options, the environment, or this machine."""
    from kala.client import Client  # noqa: PLC0415

    target = target_of_options()
    return Client(target.url, server=target.server, timeout=timeout, agent=f"kala/{__version__}")


@contextmanager
def connected(timeout: float = 60.0) -> Iterator["Client"]:
    """Connect to the server of the options, the environment, or this machine."""
    with client_of_options(timeout) as kala, connected_to(kala):
        yield kala


@contextmanager
def connected_to(kala: "Client") -> Iterator[None]:
    """Warn before a token is sent unencrypted, and say what to do where Kala does not know who asks."""
    from kala.client import Unauthorized  # noqa: PLC0415

    if kala.address.token:
        warn_if_unencrypted(kala.address, "the token")
    try:
        yield
    except Unauthorized as error:
        raise Unauthorized(_with_help(str(error), kala.address)) from None


def warn_if_unencrypted(address: "Address", what: str) -> None:
    """Say that a secret is sent to another machine as anybody in between can read it."""
    if address.is_tls or address.socket or address.host in _LOOPBACK or address.host.startswith("127."):
        return
    click.echo(f"kala: {what} is sent unencrypted to {address.url}; use https", err=True)


def _with_help(sentence: str, address: "Address") -> str:
    from kala.client.address import is_refused_socket  # noqa: PLC0415

    if address.token_file:
        return f"{sentence}; log in again with {address.login}"
    if address.token:
        return f"{sentence}; give another one in KALA_TOKEN or KALA_TOKEN_FILE, or log in with {address.login}"
    ways = [f"log in with {address.login}", "give a token in KALA_TOKEN_FILE"]
    if not address.is_given and is_refused_socket():
        ways.insert(0, "use sudo kala")
    if address.socket:
        ways.append("ask for a role in the setting peers")
    return f"not logged in at {address.url}: {', '.join(ways[:-1])}, or {ways[-1]}"


def find_job(kala: "Client", text: str) -> "JobRef":
    """Return the job with an id, a unique prefix of an id, or a unique name. Raises NotFound with the candidates."""
    from kala.client import Conflict, NotFound  # noqa: PLC0415

    try:
        return kala.jobs.find(text)
    except Conflict:
        named = [job for job in kala.jobs.list(q=text) if job.name == text]
        raise NotFound(f"{len(named)} jobs have the name {text!r}: use the id, {_ids(named)}") from None
    except NotFound as error:
        found = [job for job in kala.jobs.list() if job.id.startswith(text)] if _PREFIX.fullmatch(text) else []
        if not found:
            no_job = NotFound(f"no job has the id or name {text!r}")
            no_job.status = error.status
            raise no_job from None
    if len(found) > 1:
        raise NotFound(f"{len(found)} jobs have an id that begins with {text}: {_ids(found)}")
    return kala.jobs.find(found[0].id)


def find_run(kala: "Client", text: str) -> "Run":
    """Return the run with this id, or the newest run of a job."""
    from kala.client import NotFound  # noqa: PLC0415

    if is_number(text):
        try:
            return kala.runs.get(int(text))
        except NotFound as error:
            return _newest(kala, text, error)
    return _newest(kala, text, None)


def run_id(kala: "Client", text: str) -> int:
    """Return the id of the run: the number itself, without asking, or that of the newest run of a job."""
    return int(text) if is_number(text) else find_run(kala, text).id


def newest_run(kala: "Client", job_id: str) -> "Run | None":
    """Return the newest run of a job, with its explanation."""
    newest = next(kala.runs.list(job=job_id, limit=1), None)
    return newest.refresh() if newest else None


def say(text: str) -> None:
    """Tell a person at the terminal what was done; programs read the exit code."""
    from kala.core.foreign import presentable  # noqa: PLC0415

    if sys.stderr.isatty():
        click.echo(presentable(text), err=True)


def _newest(kala: "Client", text: str, no_run: Exception | None) -> "Run":
    from kala.client import NotFound  # noqa: PLC0415

    try:
        job = find_job(kala, text)
    except NotFound as error:
        if not error.status:  # there are several
            raise
        raise no_run or NotFound(f"no job or run has the id or name {text!r}") from None
    run = newest_run(kala, job.id)
    if run is None:
        raise NotFound(f"job {job.name} has no runs; start it with kala start, or see when it is due with kala next")
    return run


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _ids(jobs: "list[Summary]") -> str:
    shown = [f"{job.id} ({job.name})" for job in jobs[:_MOST_CANDIDATES]]
    return ", ".join(shown) + (", …" if len(jobs) > _MOST_CANDIDATES else "")
