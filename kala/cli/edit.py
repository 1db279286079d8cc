"""`kala edit`: a job in an editor, as YAML."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kala.cli.complete import jobs
from kala.cli.connect import connected, find_job, say
from kala.core.errors import Invalid, KalaError

if TYPE_CHECKING:
    from kala.client import Client

_HEAD = "Change the job, save, and close the editor. Lines with a # are fields with their default values."


@click.command()
@click.argument("job", shell_complete=jobs)
def edit(job: str) -> None:
    """The job is changed when the editor ends, unless somebody else has changed it meanwhile.

    The editor is $VISUAL, $EDITOR or vi. If the job is not valid, you can edit it again.
    """
    from kala.client.transport import path_of  # noqa: PLC0415

    with connected() as kala:
        path = path_of("job", find_job(kala, job).id)
        response = kala.request("GET", path)
        before = _as_text(json.loads(response.body)["job"])
        with tempfile.NamedTemporaryFile("w+", prefix="kala-", suffix=".yaml", delete=False) as file:
            file.write(before)
        _edit_until_accepted(kala, path, response.headers["etag"], Path(file.name), before)


def _edit_until_accepted(kala: "Client", path: str, etag: str, file: Path, before: str) -> None:
    from kala.client import Invalid as Refused  # noqa: PLC0415

    while True:
        _open_editor(file)
        text = file.read_text(encoding="utf-8")
        if text == before:
            file.unlink()
            say("nothing was changed")
            return
        try:
            kala.request("PUT", path, json.dumps(_parsed(text), default=str).encode(), {"If-Match": etag})
        except (Refused, Invalid) as error:
            if not sys.stdin.isatty():
                raise Invalid(f"{error}; your text is in {file}") from None
            click.echo(f"kala: {error}", err=True)
            if not click.confirm("Edit again?", default=True, err=True):
                raise Invalid(f"nothing was changed; your text is in {file}") from None
        except Exception:
            click.echo(f"kala: your text is in {file}", err=True)
            raise
        else:
            file.unlink()
            say("changed")
            return


def _as_text(job: dict[str, Any]) -> str:
    """Return the fields that the owner has set as YAML, and the others with their defaults in comments."""
    from kala.api.job_fields import JOB  # noqa: PLC0415
    from kala.cli.view import yaml_of  # noqa: PLC0415

    empty: tuple[Any, ...] = (None, "", 0, False)
    defaults = {name: None if field.default == () else field.default for name, field in JOB.items()}
    has_call = job["type"] != 0
    is_set = {
        name: job[name] != defaults[name] and job[name] not in empty and (name != "remote_properties" or has_call)
        for name in JOB
    }
    given = {name: job[name] for name in JOB if is_set[name]}
    rest = [
        f"# {yaml_of({name: job[name]}).strip()}  # {field.meaning}"
        for name, field in JOB.items()
        if not is_set[name] and name != "remote_properties"
    ]
    return f"# {_HEAD}\n\n{yaml_of(given)}\n" + "\n".join(rest) + "\n"


def _parsed(text: str) -> Any:
    import yaml  # noqa: PLC0415

    try:
        job = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"invalid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(job, dict):
        raise Invalid("the text must have the fields of a job, such as name: backup")
    return job


def _open_editor(file: Path) -> None:
    from kala.runner.environment import for_commands  # noqa: PLC0415

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        status = subprocess.run([*shlex.split(editor), str(file)], env=for_commands(os.environ), check=False).returncode
    except OSError as error:
        raise KalaError(f"editor {editor}: {error.strerror}; set VISUAL to another one") from None
    if status:
        raise KalaError(f"editor {editor} exited with status {status}; nothing was changed; your text is in {file}")
