"""The fields of a job on the command line: their names, and what a text means. All follows from the table of fields."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from kala.api.job_fields import JOB
from kala.core import fields as kinds
from kala.core.errors import Invalid
from kala.core.fields import Field, Kind, Object

_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_REMOTE_TYPE = 1


class Target(NamedTuple):
    """A field, where it is in the JSON of a job, and its names on the command line, the usual one first."""

    field: Field
    path: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def is_repeated(self) -> bool:
        """Whether it has several values, each given by itself."""
        return isinstance(self.field.kind, kinds.Listed | kinds.Variables | kinds.Headers)


def _targets() -> Iterator[Target]:
    taken: set[str] = set()
    for field in JOB.values():
        if isinstance(field.kind, Object):
            for inner in field.kind.fields.values():
                yield _target(inner, (field.json, inner.json), taken, prefix="call_")
        else:
            yield _target(field, (field.json,), taken)


def _target(field: Field, path: tuple[str, ...], taken: set[str], prefix: str = "") -> Target:
    """Return the target under names that are free: those of a call have a prefix if a field of the job has them."""
    found = [field.json if field.json.islower() else field.attribute]
    if isinstance(field.kind, kinds.Listed | kinds.Headers):
        # One at a time: --tag, --parent, --header.
        found.insert(0, field.attribute.removesuffix("s"))
    names = tuple(dict.fromkeys(prefix + name if name in taken else name for name in found))
    taken.update(names)
    return Target(field, path, names)


TARGETS = tuple(_targets())
_BY_NAME = {name: target for target in TARGETS for name in target.names}


def find(name: str) -> tuple[Target, str]:
    """Return the field that a name means, and the key in it: `env.HOME` is the variable HOME of `env`."""
    plain, _, key = name.replace("-", "_").partition(".")
    if plain.lower() == "remote_properties":
        plain, _, key = key.partition(".")
    elif key:
        key = name.partition(".")[2]  # variables and headers keep their dashes
    target = _BY_NAME.get(plain.lower()) or next(
        (one for one in TARGETS if one.path[-1].lower() == plain.lower()), None
    )
    if target is None:
        near = get_close_matches(plain.lower(), _BY_NAME, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(one.names[-1] for one in TARGETS)}"
        raise Invalid(f"{name}: unknown field; {hint}")
    return target, key


def new_job(values: Iterable[tuple[Target, Iterable[str]]]) -> dict[str, Any]:
    """Return the JSON of the values that options give."""
    job: dict[str, Any] = {}
    for target, texts in values:
        _put(job, target.path, _joined(target, list(texts)))
    if "remote_properties" in job and "type" not in job:
        job["type"] = _REMOTE_TYPE
    return job


def change(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the merge patch of FIELD=VALUE texts. An empty VALUE resets the field, or removes the variable."""
    texts: dict[tuple[Target, str], list[str]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise Invalid(f"{assignment!r} is not a change; use FIELD=VALUE, such as retries=2")
        texts.setdefault(find(name), []).append(text)
    patch: dict[str, Any] = {}
    for (target, key), given in texts.items():
        if key:
            value = given[-1] or None
            _put(patch, (*target.path, key), [value] if isinstance(target.field.kind, kinds.Headers) else value)
        else:
            _put(patch, target.path, _joined(target, given) if any(given) else None)
    return patch


def _put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *outer, last = path
    for name in outer:
        into = into.setdefault(name, {})
    into[last] = value


def _joined(target: Target, texts: list[str]) -> Any:
    kind, name = target.field.kind, target.names[0]
    if isinstance(kind, kinds.Listed):
        # A name of a job can contain a comma.
        can_split = not isinstance(kind.item, kinds.JobName)
        items = [item for text in texts for item in (text.split(",") if can_split else [text])]
        return [_value(name, kind.item, item) for item in items]
    if isinstance(kind, kinds.Variables):
        return dict(_pair(name, text, "=", "NAME=VALUE") for text in texts)
    if isinstance(kind, kinds.Headers):
        return _headers(_pair(name, text, ":", "NAME: VALUE") for text in texts)
    return _value(name, kind, texts[-1])


def _headers(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name, []).append(value.strip())
    return headers


def _pair(name: str, text: str, separator: str, form: str) -> tuple[str, str]:
    key, found, value = text.partition(separator)
    if not found or not key:
        raise Invalid(f"{name}: must be {form}, not {text!r}")
    return key, value


def _value(name: str, kind: Kind, text: str) -> Any:
    """Return a text as the API wants it, which checks the rest."""
    try:
        if isinstance(kind, kinds.Whole):
            return int(text)
        if isinstance(kind, kinds.Number):
            return float(text)
    except ValueError:
        raise Invalid(f"{name}: must be a number, not {text!r}") from None
    if isinstance(kind, kinds.Flag):
        if text.lower() not in _FLAGS:
            raise Invalid(f"{name}: must be true or false, not {text!r}")
        return _FLAGS[text.lower()]
    return text
