"""Parameters of requests: each is declared once, with its kind and meaning, and parsed before the handler sees it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal

import msgspec

from kala.api import fields
from kala.core import duration
from kala.core.duration import Duration as Length
from kala.core.errors import Invalid, no_run
from kala.core.limits import LINE, TAG, TAGS

# Durations in short form, such as 90s, 5m, 1h, 7d and 2w, and their ISO 8601 form.
_SHORT = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_ISO = {"s": "PT{}S", "m": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W"}
_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')
_LENGTHS = "[0-9]{1,9}[smhdw]|P[0-9.,YMWDTHS]+"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_KEY = re.compile("[!-~]{1,255}", re.ASCII)
_LONGEST_LIST = 200
_MOST_IDS = 100
_MOST_DIGITS = 18


class Kind(msgspec.Struct, frozen=True):
    """A type of values: how a text becomes one, the JSON Schema of that text, and what a value can lead to."""

    errors: ClassVar[tuple[int, ...]] = ()

    def parse(self, name: str, given: str) -> Any:
        """Return the value. Raise Invalid, naming the parameter, if the text is not one."""
        raise NotImplementedError

    @property
    def schema(self) -> dict[str, Any]:
        raise NotImplementedError


class Parameter(msgspec.Struct, frozen=True):
    """A parameter in the query, the path or a header. `default` is the value of one that is not given.

    A header is only described here: its handler reads it, as RFC 9110 says what to do with an invalid one.
    """

    name: str
    kind: Kind
    meaning: str
    default: Any = None
    place: Literal["query", "path", "header"] = "query"


class Whole(Kind, frozen=True):
    """A whole number, at least `low` and at most `high`."""

    low: int
    high: int | None = None

    def parse(self, name: str, given: str) -> int:
        number = int(given) if _is_digits(given) else -1
        if number < self.low or (self.high is not None and number > self.high):
            raise fields.invalid(name, given, self._wanted())
        return number

    def _wanted(self) -> str:
        if self.high is None:
            return f"a whole number of at least {self.low}"
        return f"a whole number between {self.low} and {self.high}"

    @property
    def schema(self) -> dict[str, Any]:
        high = 10**_MOST_DIGITS - 1 if self.high is None else self.high
        return {"type": "integer", "minimum": self.low, "maximum": high}


class Text(Kind, frozen=True):
    """One line, without invisible characters."""

    def parse(self, name: str, given: str) -> str:
        return fields.line(name, given)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": int(LINE)}


class Flag(Kind, frozen=True):
    """`true` or `1`, `false` or `0`."""

    def parse(self, name: str, given: str) -> bool:
        if given.lower() not in _FLAGS:
            raise fields.invalid(name, given, "true or false")
        return _FLAGS[given.lower()]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Kind, frozen=True):
    """One of some words: the members of an enumeration, or plain strings."""

    words: type[StrEnum] | tuple[str, ...]

    def parse(self, name: str, given: str) -> str:
        if given not in tuple(self.words):
            raise fields.invalid(name, given, self._wanted())
        return given if isinstance(self.words, tuple) else self.words(given)

    def _wanted(self) -> str:
        *others, last = self.words
        return f"{', '.join(others)} or {last}" if others else last

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [str(word) for word in self.words]}


class Choices(Kind, frozen=True):
    """One or more of some words, separated by commas; parsed to a frozenset."""

    words: type[StrEnum] | tuple[str, ...]

    def parse(self, name: str, given: str) -> frozenset[str]:
        if len(given) > _LONGEST_LIST or "" in given.split(","):
            raise fields.invalid(name, given, f"a comma-separated list of {', '.join(self.words)}")
        choice = Choice(self.words)
        return frozenset(choice.parse(name, word) for word in given.split(","))

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": Choice(self.words).schema, "minItems": 1}


class Tags(Kind, frozen=True):
    """One or more tags of jobs, separated by commas, which no tag has."""

    def parse(self, name: str, given: str) -> tuple[str, ...]:
        check = fields.listed(fields.tag(TAG), TAGS)
        return tuple(check(name, given.split(",")))

    @property
    def schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": 1, "maxLength": int(TAG)}
        return {"type": "array", "items": item, "minItems": 1, "maxItems": int(TAGS)}


class JobIds(Kind, frozen=True):
    """One or more ids of jobs, separated by commas. An id that no job has selects none."""

    def parse(self, name: str, given: str) -> tuple[str, ...]:
        ids = tuple(given.split(","))
        if "" in ids or len(ids) > _MOST_IDS:
            raise fields.invalid(name, given, f"up to {_MOST_IDS} ids of jobs, separated by commas")
        return ids

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": _MOST_IDS}


class Time(Kind, frozen=True):
    """An RFC 3339 time, or an age, which starts with `-`; parsed to a datetime in UTC."""

    def parse(self, name: str, given: str) -> datetime:
        instant = _ago(given[1:]) if given.startswith("-") else _rfc_3339(given)
        if instant is None:
            raise fields.invalid(name, given, "an RFC 3339 time, such as 2030-01-01T08:00:00Z, or an age, such as -1h")
        return instant

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": f"^-({_LENGTHS})$"},
            ],
            "examples": ["2030-01-01T08:00:00Z", "-1h"],
        }


class Duration(Kind, frozen=True):
    """A length of time, such as `PT1H` or `1h`."""

    def parse(self, name: str, given: str) -> Length:
        try:
            return _length(given)
        except Invalid:
            raise fields.invalid(name, given, "a duration, such as PT1H or 1h") from None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({_LENGTHS})$", "examples": ["PT1H", "1h"]}


class JobName(Kind, frozen=True):
    """The id or the unique name of a job. The store finds out whether there is one."""

    errors = (404, 409)

    def parse(self, name: str, given: str) -> str:  # noqa: ARG002  as every kind
        return given

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class RunId(Kind, frozen=True):
    """The id of a run. Anything else is a run that does not exist."""

    errors = (404,)

    def parse(self, name: str, given: str) -> int:  # noqa: ARG002  as every kind
        if not _is_digits(given):
            raise no_run(given)
        return int(given)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1}


class EntityTags(Kind, frozen=True):
    """`*`, or entity tags separated by commas (RFC 9110, 13.1.1); parsed to the set of strong ones, None for `*`."""

    def parse(self, name: str, given: str) -> frozenset[str] | None:
        if given.strip() == "*":
            return None
        tags = _ENTITY_TAG.findall(given)
        if not tags or _ENTITY_TAG.sub("", given).strip(", \t"):
            raise fields.invalid(name, given, 'entity tags as in an ETag, such as "0123456789abcdef", or *')
        # A weak tag never matches: the comparison is the strong one (RFC 9110, 8.8.3.2).
        return frozenset(tag for weak, tag in tags if not weak)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "examples": ['"0123456789abcdef01234567"', "*"]}


class Bytes(Kind, frozen=True):
    """A range of bytes. It is parsed with the output: one that makes no sense is ignored (RFC 9110, 14.2)."""

    def parse(self, name: str, given: str) -> str:  # noqa: ARG002  as every kind
        return given

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "examples": ["bytes=0-99", "bytes=-100"]}


class Key(Kind, frozen=True):
    """A text of visible ASCII characters, chosen by the client."""

    errors = (409,)

    def parse(self, name: str, given: str) -> str:
        if not _KEY.fullmatch(given):
            raise fields.invalid(name, given, "1 to 255 visible ASCII characters")
        return given

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_KEY.pattern}$"}


HOUR = Length(time=timedelta(hours=1))
JOB = Parameter("id", JobName(), "The id of a job or, if no other job has the same name, its name.", place="path")
RUN = Parameter("id", RunId(), "The id of a run.", place="path")
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key", Key(), "Repeat the response to the request with this key, if there was one.", place="header"
)
RETURN_DELETED = Parameter("return", Choice(("deleted",)), "Respond with the deleted jobs.")
IF_MATCH = Parameter(
    "If-Match",
    EntityTags(),
    "Only if the job still has this ETag: its owner's fields are as they were read.",
    place="header",
)
RETURN_RUN = Parameter("return", Choice(("run",)), "Respond with the run.")


def parse(parameters: Mapping[str, Parameter], defaults: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of each parameter. Raise Invalid for one that is unknown or has an invalid value.

    A misspelt filter that is ignored would match everything, also in a deletion.
    """
    values = dict(defaults)
    for name, text in given.items():
        parameter = parameters.get(name)
        if parameter is None:
            hint = f"use {' or '.join(parameters)}" if parameters else "this request has none"
            raise Invalid(f"query: {fields.shown(name)} is not a parameter of this request; {hint}")
        values[name] = parameter.kind.parse(name, text)
    return values


def _is_digits(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS


def _rfc_3339(given: str) -> datetime | None:
    try:
        instant = msgspec.convert(given.replace(" ", "+"), datetime)
    except msgspec.ValidationError:
        return None
    return instant if instant.tzinfo else None


def _ago(given: str) -> datetime | None:
    try:
        return _length(given).after(datetime.now(UTC), -1)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
    except Invalid:
        return None


def _length(given: str) -> Length:
    short = _SHORT.fullmatch(given)
    return duration.parse(_ISO[short[2]].format(short[1]) if short else given, "")
