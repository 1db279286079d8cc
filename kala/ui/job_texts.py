"""A job as the texts in a form, by the kinds of its fields: what people type becomes the API's JSON, and back.

The API checks the values. Here is only what a text must be to have a value: `NAME=value` on each line, for example.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from kala.api import fields as api_fields
from kala.api import kinds
from kala.api.job_fields import COMMAND, HTTP_CALL, JOB, RESUME
from kala.core import fields as core
from kala.core.errors import Invalid

Texts = dict[str, str]
"""Texts of a form, by the paths of their fields, such as `remote_properties.url`."""

_DIGITS = re.compile(r"-?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)


class Control(StrEnum):
    """The element of a form in which a field stands."""

    LINE = "line"
    DIGITS = "digits"
    WORD = "word"
    LINES = "lines"
    CODE = "code"
    CHOICE = "choice"
    FLAG = "flag"


class _Text(NamedTuple):
    """How a kind of value is written in a form. `read` gets the path of the field, for errors."""

    control: Control
    show: Callable[[Any], str] = str
    read: Callable[[str, str], Any] = lambda _, text: text
    hint: str = ""


def _stripped(_: str, text: str) -> str:
    return text.strip()


def _whole(_: str, text: str) -> Any:
    """Return a number, or the text itself, which the API refuses."""
    return int(text) if _DIGITS.fullmatch(text.strip()) else text.strip()


def _number(_: str, text: str) -> Any:
    return float(text) if _NUMBER.fullmatch(text.strip()) else text.strip()


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _each(text: str, separators: str) -> list[str]:
    return [part.strip() for part in re.split(separators, text) if part.strip()]


def _variables(path: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _lines(text):
        name, sign, value = line.partition("=")
        name = name.strip()
        # The line itself can be the rest of a secret of several lines, so the error does not quote it.
        if not sign:
            raise Invalid(f'{path}: must have NAME=value on each line; write a value of several lines as NAME="a\\nb"')
        if name in found:
            raise Invalid(f"{path}: {api_fields.shown(name)} is there twice; use it once")
        found[name] = _unquoted(path, name, value)
    return found


def _unquoted(path: str, name: str, value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        text = json.loads(value)
    except ValueError:
        text = None
    if not isinstance(text, str):
        raise Invalid(f'{path}.{name}: begins with a quotation mark; write it as a JSON string, such as "a\\nb"')
    return text


def _show_variables(found: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={_quoted(value)}" for name, value in found.items())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if value.startswith('"') or re.search(r"[\r\n]", value) else value


def _headers(path: str, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in _lines(text):
        name, sign, value = line.partition(":")
        if not sign:
            raise Invalid(f"{path}: must have Name: value on each line, such as Accept: text/plain")
        found.setdefault(name.strip(), []).append(value.removeprefix(" "))
    return found


def _show_headers(found: Mapping[str, list[str]]) -> str:
    return "\n".join(f"{name}: {value}" for name, values in found.items() for value in values)


_LINE = _Text(Control.LINE, read=_stripped)
_WORD = _Text(Control.WORD, read=_stripped)
_ONE_PER_LINE = _Text(Control.LINES, "\n".join, lambda _, text: _each(text, "\n"), "One per line.")
_TEXTS: dict[type[core.Kind], _Text] = {
    core.Line: _LINE,
    core.Tag: _LINE,
    core.JobName: _LINE,
    core.Duration: _WORD._replace(hint="Such as PT90S, PT10M or P1D."),
    core.ZoneName: _LINE,
    core.Url: _LINE,
    core.Method: _WORD,
    core.AbsolutePath: _LINE,
    core.Umask: _WORD,
    core.Prose: _Text(Control.LINES),
    core.Text: _Text(Control.CODE),
    core.CommandLine: _Text(Control.CODE),
    core.Flag: _Text(Control.FLAG, lambda value: "true" if value else "", lambda _, text: text == "true"),
    core.Whole: _Text(Control.DIGITS, read=_whole),
    core.Number: _Text(Control.DIGITS, lambda value: str(value).removesuffix(".0"), _number),
    core.Choice: _Text(Control.CHOICE),
    core.Variables: _Text(Control.CODE, _show_variables, _variables, "One per line, as NAME=value."),
    core.Headers: _Text(Control.CODE, _show_headers, _headers, "One per line, as Name: value."),
}
# Lists, by the kinds of their items.
_LISTS: dict[type[core.Kind], _Text] = {
    core.Tag: _Text(Control.LINE, ", ".join, lambda _, text: _each(text, "[,\n]"), "With commas between them."),
    core.Whole: _Text(
        Control.LINE,
        lambda values: ", ".join(map(str, values)),
        lambda path, text: [_whole(path, part) for part in _each(text, r"[,\s]")],
        "With commas between them.",
    ),
}


def of_kind(kind: core.Kind) -> _Text:
    """Return how a kind of value is written."""
    if isinstance(kind, core.Listed):
        return _LISTS.get(type(kind.item), _ONE_PER_LINE)
    return _TEXTS[type(kind)]


def flat(fields: Mapping[str, core.Field] = JOB, path: str = "") -> dict[str, core.Field]:
    """Return the fields of a form by their paths. One that says the same as `missed` is not needed there."""
    found: dict[str, core.Field] = {}
    for name, field in fields.items():
        if isinstance(field.kind, core.Object):
            found |= flat(field.kind.fields, f"{path}{name}.")
        elif name != RESUME.json:
            found[path + name] = field
    return found


def texts_of(job: Mapping[str, Any], names: Mapping[str, str] = {}) -> Texts:
    """Return the texts for a job in the API's JSON, with defaults for what it lacks. `names` has those of other jobs.

    Raise Invalid for a value that its field cannot have.
    """
    return {path: _text_of(path, field, _value(job, path), names) for path, field in flat().items()}


def _text_of(path: str, field: core.Field, value: Any, names: Mapping[str, str]) -> str:
    if value is None:
        value = _default(field)
    if not value and not isinstance(value, int | float):
        return ""
    kinds.check(field.kind)(path, value)
    if isinstance(value, dict):  # in requests, null means "not given" there, too
        value = {name: given for name, given in value.items() if given is not None}
    if field.kind == core.JobName():
        value = names.get(value, value)
    elif isinstance(field.kind, core.Listed) and field.kind.item == core.JobName():
        value = [names.get(one, one) for one in value]
    return of_kind(field.kind).show(value)


def job_of(texts: Mapping[str, str], before: Mapping[str, Any] = {}, names: Mapping[str, str] = {}) -> dict[str, Any]:
    """Return the job of these texts in the API's JSON. Raise Invalid for a text that has no value.

    A text that is as `texts_of` wrote it keeps the value that it has in `before`, also where forms cannot send it.
    """
    shown = texts_of(before, names) if before else {}
    job: dict[str, Any] = {}
    for path, field in flat().items():
        form = of_kind(field.kind)
        if path in shown and as_sent(path, shown[path]) == as_sent(path, texts[path]):
            value = _value(before, path)
        else:
            value = form.read(path, texts[path]) if texts[path].strip() or form.control is Control.FLAG else None
        _put(job, path, _default(field) if value is None else value)
    return tidied(job)


def as_sent(path: str, text: str) -> str:
    """Return a text as a browser sends it: inputs have no line breaks, and text areas one kind of them."""
    if of_kind(flat()[path].kind).control in (Control.LINES, Control.CODE):
        return re.sub(r"\r\n?", "\n", text)
    return re.sub(r"[\r\n]", "", text)


def tidied(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job with the fields of its owner alone, without those of the action that it does not have."""
    other = "command" if job.get("type") == HTTP_CALL else "remote_properties"
    return {name: job[name] for name in JOB if name in job and name not in (RESUME.json, other)}


def without_defaults(job: Mapping[str, Any], *, is_new: bool) -> dict[str, Any]:
    """Return what a person needs to write of a job. Of one that exists, all that has no fixed default."""
    found: dict[str, Any] = {}
    for path, field in flat().items():
        value = _value(job, path)
        # Without an owner in a change, for example, the job would get the default one.
        if value is not None and (value != _default(field) or (field.unset and not is_new)):
            _put(found, path, value)
    return found


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch that makes one object of another (RFC 7396)."""
    found: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if changes := change(old, value):
                found[name] = changes
        elif value != old:
            found[name] = value
    return found


def _default(field: core.Field) -> Any:
    """Return the default of a field in JSON, an empty string for one that has none."""
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return kinds.as_json(field.kind, default) if isinstance(default, str | int | float | list) else ""


def _value(job: Mapping[str, Any], path: str) -> Any:
    value: Any = job
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _put(job: dict[str, Any], path: str, value: Any) -> None:
    *objects, last = path.split(".")
    for name in objects:
        job = job.setdefault(name, {})
    job[last] = value


TYPES = {COMMAND: "Command", HTTP_CALL: "HTTP request"}
"""The words for the types of a job."""
