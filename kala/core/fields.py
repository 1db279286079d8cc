"""How a field of a job is declared: its kind of value, its group, and its meaning.

The declaration stands with the attribute in `job.py`. The checks of requests, the JSON of a job, its schema and the
table in docs/api.md are made from it, so a new field is declared once.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from kala.core.limits import LINE, PROSE, TAG


class Group(StrEnum):
    """What a field is about. Forms, options and the docs show the fields in this order."""

    WHAT = "what"
    WHEN = "when"
    FAILURE = "failure"
    OVERLAP = "overlap"
    WHERE = "where"
    LIMITS = "limits"
    KEEP = "keep"
    TELL = "tell"


class Kind(msgspec.Struct, frozen=True):
    """A kind of value. `word` is its type in the docs, `words` that of several."""

    word: ClassVar[str] = "string"
    words: ClassVar[str] = "strings"


class Line(Kind, frozen=True):
    """A string of one line, without invisible characters."""

    longest: int = int(LINE)


class Tag(Line, frozen=True):
    """A short line that is not blank and has no comma, so that commas can separate several."""

    longest: int = int(TAG)


class JobName(Line, frozen=True):
    """The id or unique name of another job."""

    word = "id or unique name"
    words = "ids or unique names"


class Duration(Line, frozen=True):
    """An ISO 8601 duration."""

    can_be_zero: bool = True

    word = "duration"
    words = "durations"


class ZoneName(Line, frozen=True):
    """The name of a time zone in the IANA database, or an empty string."""

    word = "name of a time zone"
    words = "names of time zones"


class Prose(Kind, frozen=True):
    """A few lines without invisible characters."""

    longest: int = int(PROSE)


class Text(Kind, frozen=True):
    """A string of any characters but NUL."""


class CommandLine(Text, frozen=True):
    """Lines for the shell."""


class Url(Line, frozen=True):
    """An absolute http or https URL, or a template of one."""


class Method(Line, frozen=True):
    """An HTTP method."""


class AbsolutePath(Kind, frozen=True):
    """An absolute path, or an empty string."""

    word = "absolute path"
    words = "absolute paths"


class Umask(Kind, frozen=True):
    """A file mode mask."""

    word = "octal digits"


class Flag(Kind, frozen=True):
    """True or false."""

    word = "true, false"


class Whole(Kind, frozen=True):
    """A whole number between two bounds; also 0 if that means "none"."""

    low: int
    high: int
    has_none: bool = False

    word = "number"
    words = "numbers"


class Number(Kind, frozen=True):
    """A number between two bounds."""

    low: float
    high: float

    word = "number"
    words = "numbers"


class Choice(Kind, frozen=True):
    """One value of an enumeration; the first is the default."""

    values: type[StrEnum]


class Listed(Kind, frozen=True):
    """A list of different values."""

    item: Kind
    most: int

    @property
    def word(self) -> str:  # type: ignore[override]  # it depends on the items
        return f"list of {self.item.words}"


class Variables(Kind, frozen=True):
    """Environment variables, by their names."""

    word = "object of strings"


class Headers(Kind, frozen=True):
    """The values of HTTP headers, by the names of the headers."""

    word = "object of lists"


class Object(Kind, frozen=True):
    """An object with fields of its own, by their names in JSON."""

    fields: Mapping[str, "Field"]

    word = "object"


class Field(msgspec.Struct, frozen=True):
    """The declaration of a field: `meaning` is a phrase for the docs, in which `code` is marked as in Markdown.

    `unset` describes what holds without a value, where the default itself does not say it. `json` is the name in JSON.
    """

    kind: Kind
    group: Group
    meaning: str
    json: str = ""
    unset: str = ""
    can_be_secret: bool = False
    attribute: str = ""
    default: Any = None

    @property
    def key(self) -> str:
        """The name in JSON in lower case, as names in requests are not case-sensitive."""
        return self.json.lower()


def declared(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the fields that the attributes of a struct declare, by their names in JSON, in the struct's order."""
    hints = get_type_hints(struct, include_extras=True)
    defaults = {one.name: one.default for one in msgspec.structs.fields(struct)}
    found = (_declaration(hints[name], name, default) for name, default in defaults.items())
    return {field.json: field for field in found if field}


def _declaration(hint: Any, attribute: str, default: Any) -> Field | None:
    if get_origin(hint) is not Annotated:
        return None
    [field] = (one for one in get_args(hint)[1:] if isinstance(one, Field))
    return replace(field, json=field.json or attribute, attribute=attribute, default=default)
