"""Jobs whose text is a template with the job itself as data, in Jinja's syntax or in Go's simple field form.

Only the job's own delimiters mean something. Blocks and comments are written with them too (`{{% if … %}}`,
`{{# … #}}`), because Jinja's own `{%` and `{#` are part of many shell commands.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job

if TYPE_CHECKING:
    from jinja2 import Environment


def check(job: Job) -> None:
    """Raise Invalid if the job's template is not allowed or cannot be rendered."""
    render(job)


def render(job: Job) -> Command | HttpCall:
    """Return the job's action with its template rendered. Raise Invalid if that fails."""
    action, delimiters = job.spec.action, job.spec.template_delimiters
    if not delimiters:
        return action
    fields = _fields(job)
    if isinstance(action, Command):
        return Command(_render(action.line, delimiters, fields))
    url, body = (_render(text, delimiters, fields) for text in (action.url, action.body))
    return replace(action, url=url, body=body)


def _render(text: str, delimiters: str, fields: dict[str, object]) -> str:
    # Importing Jinja takes longer than starting a run, and most installations have no templates.
    from kala.runner import template_language  # noqa: PLC0415

    left, right = split(delimiters)
    plain = re.sub(re.escape(left) + r"(-?\s*)\$?\.(?=[A-Za-z])", lambda found: left + found[1], text)
    tree = template_language.parse(_environment(left, right), plain, list(fields))
    return template_language.evaluate(tree, fields)


def split(delimiters: str) -> tuple[str, str]:
    """Return the left and the right delimiter. Raise Invalid if there are not two."""
    parts = delimiters.split()
    if len(parts) != 2 or parts[0] == parts[1]:
        raise Invalid(
            f"TemplateDelimiters: must be a left and a right delimiter, such as '{{{{ }}}}', not {delimiters!r}"
        )
    return parts[0], parts[1]


@lru_cache(maxsize=64)
def _environment(left: str, right: str) -> "Environment":
    """Return an environment that tells Jinja's parser the delimiters. Jinja itself renders nothing."""
    from jinja2 import Environment  # noqa: PLC0415

    return Environment(  # noqa: S701  the result is a command or a request, not HTML
        variable_start_string=left,
        variable_end_string=right,
        block_start_string=f"{left}%",
        block_end_string=f"%{right}",
        comment_start_string=f"{left}#",
        comment_end_string=f"#{right}",
        keep_trailing_newline=True,
    )


def _fields(job: Job) -> dict[str, object]:
    """Return the job's data under the names of the API and of Go: `parent_jobs` and `ParentJobs`."""
    spec, action = job.spec, job.spec.action
    fields: dict[str, object] = {
        "id": job.id,
        "name": spec.name,
        "command": action.line if isinstance(action, Command) else "",
        "owner": spec.owner,
        "schedule": spec.schedule,
        "retries": spec.retries,
        "epsilon": spec.epsilon,
        "parent_jobs": list(spec.parents),
        "dependent_jobs": list(job.children),
        "on_failure_job": spec.on_failure_job,
    }
    return fields | {"".join(map(str.capitalize, name.split("_"))): value for name, value in fields.items()}
