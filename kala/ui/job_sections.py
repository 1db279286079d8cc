"""The fields of a job as the sections of a form: what most jobs need is seen, the rest is folded away."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kala.api.job_fields import COMMAND, HTTP_CALL, JOB, REMOTE
from kala.core import fields as core
from kala.core.fields import Field, Group
from kala.ui.job_texts import TYPES, Control, flat, of_kind, texts_of

# The fields that are not folded away, in their order; a new field is folded away.
_SEEN = (
    "name",
    "type",
    "command",
    "remote_properties.url",
    "remote_properties.method",
    "remote_properties.body",
    "tags",
    "owner",
    "schedule",
    "timezone",
    "parent_jobs",
    "retries",
    "retry_delay",
    "on_failure_job",
    "overlap",
    "missed",
    "timeout",
)
_TITLES = {
    "What": [Group.WHAT, Group.TELL],
    "When": [Group.WHEN],
    "If it fails": [Group.FAILURE],
    "If it overlaps or was missed": [Group.OVERLAP],
    "Where and limits": [Group.WHERE, Group.LIMITS],
    "Keep": [Group.KEEP],
}
# Labels that are not simply the name in JSON. No label is a part of another, so that each finds its field alone.
_LABELS = {
    "timezone": "Time zone",
    "env": "Environment variables",
    "on_failure_job": "On-failure job",
    "missed": "Missed slots",
    "cpu_quota": "CPU quota",
    "remote_properties.url": "URL",
    "remote_properties.timeout": "Seconds for the call",
    "TemplateDelimiters": "Template delimiters",
}
_CODE = re.compile(r"`([^`]*)`")
_SENTENCE = re.compile(r"([A-Za-z_][\w.]*)[^:]*: ")


class Part(NamedTuple):
    """A piece of a hint: code, or words."""

    text: str
    is_code: bool


class Input(NamedTuple):
    """A field in a form. `of` is the type of job that alone has it; None for all."""

    path: str
    label: str
    control: Control
    text: str
    hint: list[Part]
    options: list[tuple[str, str]]
    list_of: str
    of: int | None
    error: str

    @property
    def id(self) -> str:
        return id_of(self.path)


class Section(NamedTuple):
    title: str
    seen: list[Input]
    folded: list[Input]
    is_open: bool


def id_of(path: str) -> str:
    """Return the id of a field's element."""
    return f"f-{path.replace('.', '-')}"


def label_of(path: str) -> str:
    name = path.removeprefix("remote_properties.")
    return _LABELS.get(path) or name.replace("_", " ").capitalize()


def sections(
    texts: Mapping[str, str], errors: Mapping[str, str] = {}, fields: Mapping[str, Field] = JOB
) -> Iterator[Section]:
    """Yield the sections, with errors by the paths of their fields."""
    inputs = {path: (field, _input(path, field, texts, errors)) for path, field in flat(fields).items()}
    usual = texts_of({})
    for title, groups in _TITLES.items():
        found = {path: one for path, (field, one) in inputs.items() if field.group in groups}
        folded = [one for path, one in found.items() if path not in _SEEN]
        is_open = any(one.error or one.text != usual.get(one.path, "") for one in folded)
        yield Section(title, [found[path] for path in _SEEN if path in found], folded, is_open)


def field_of(sentence: str, fields: Mapping[str, Field] = JOB) -> str:
    """Return the path of the field that an error of the API is about, empty if it is about none."""
    match = _SENTENCE.match(sentence)
    if not match:
        return ""
    paths = {path.lower(): path for path in flat(fields)}
    parts = match[1].lower().split(".")
    # The name of a variable can follow that of the field.
    while parts and ".".join(parts) not in paths:
        parts.pop()
    return paths.get(".".join(parts), "")


def _input(path: str, field: Field, texts: Mapping[str, str], errors: Mapping[str, str]) -> Input:
    form = of_kind(field.kind)
    return Input(
        path,
        label_of(path),
        form.control,
        texts.get(path, ""),
        _hint(path, field, form.hint),
        _options(path, field.kind),
        _list_of(field.kind),
        _type_of(path),
        errors.get(path, ""),
    )


def _hint(path: str, field: Field, of_form: str) -> list[Part]:
    # The options of the type say all, and its meaning is about the numbers in JSON.
    text = "" if path == "type" else f"{field.meaning[0].upper()}{field.meaning[1:]}. {of_form}".strip()
    return [Part(part, is_code=bool(index % 2)) for index, part in enumerate(_CODE.split(text)) if part]


def _options(path: str, kind: core.Kind) -> list[tuple[str, str]]:
    if path == "type":
        return [(str(value), word) for value, word in TYPES.items()]
    return [(str(value), str(value)) for value in kind.values] if isinstance(kind, core.Choice) else []


def _list_of(kind: core.Kind) -> str:
    """Return what a browser can suggest for a field."""
    item = kind.item if isinstance(kind, core.Listed) else kind
    if isinstance(item, core.ZoneName):
        return "zones"
    return "jobs" if isinstance(item, core.JobName) else ""


def _type_of(path: str) -> int | None:
    if path == "command":
        return COMMAND
    return HTTP_CALL if path.partition(".")[2] in REMOTE else None
