"""Checks of single JSON values. Each returns the value as a Python object, or raises Invalid."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sized
from enum import StrEnum
from functools import cache
from typing import Any, Self

import msgspec

from kala.api.job_fields import SECRETS
from kala.core.errors import Invalid
from kala.core.foreign import is_plain_line, masked
from kala.core.job import OWN_HEADERS
from kala.core.limits import HEADERS, LINE, PATH, VARIABLE, VARIABLE_NAME, VARIABLES
from kala.core.url import Url
from kala.core.zone_names import check_zone
from kala.zone import known_zones

Check = Callable[[str, Any], Any]

_SHOWN = 80
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET = re.compile(rf"({'|'.join(map(re.escape, SECRETS))})\.", re.IGNORECASE)
_UMASK = re.compile(r"[0-7]{1,4}", re.ASCII)
# Linux takes no single argument of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
_LONGEST_COMMAND = 128 * 1024 - 1
# Nor more than this in all, however large the stack may grow (execve(2), "Limits on size of arguments").
_MOST_ARGUMENTS = 6 * 1024 * 1024
# Reserved for the variables that describe the run, and for the words that Kala puts before the command: for a job with
# a user, they contain the names of all variables.
_ADDED = 192 * 1024


class Number(float):
    """A number with a fraction or an exponent, with its text as it was written."""

    written: str

    def __new__(cls, written: str) -> Self:
        number = super().__new__(cls, written)
        number.written = written
        return number


def invalid(field: str, value: Any, wanted: str) -> Invalid:
    """Return the error for a value that is not `wanted`, with the value cut to a readable length.

    Leave out the values of variables and headers: they can be tokens and passwords, and callers log the error.
    """
    is_secret = _SECRET.match(field if isinstance(value, str) else f"{field}.")
    return Invalid(f"{field}: must be {wanted}" + ("" if is_secret else f", not {shown(value)}"))


def shown(value: Any) -> str:
    """Return a value as JSON for a sentence: on one line, cut to a readable length, without the password of a URL."""
    try:
        text = (
            value.written if isinstance(value, Number) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
    except RecursionError:
        return "a deeply nested value"
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in masked(text)[: _SHOWN + 1])
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _is_encodable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def text(field: str, value: Any) -> str:
    """A string that a program can be given: valid Unicode without NUL."""
    if not isinstance(value, str):
        raise invalid(field, value, "a string")
    if "\0" in value or not _is_encodable(value):
        raise invalid(field, value, "a string without NUL characters or lone surrogates")
    return value


def line(field: str, value: Any) -> str:
    """A string of one line without invisible characters, short enough to read."""
    if not is_plain_line(text(field, value)):
        raise invalid(field, value, "one line without control, bidirectional or zero-width characters")
    if len(value) > LINE:
        raise Invalid(f"{field}: must be at most {LINE} characters long, not {len(value)}")
    return str(value)


def prose(longest: int) -> Check:
    """A few lines without invisible characters, for people to read."""

    def check(field: str, value: Any) -> str:
        if not all(map(is_plain_line, text(field, value).split("\n"))):
            raise invalid(field, value, "lines without control, bidirectional or zero-width characters")
        if len(value) > longest:
            raise Invalid(f"{field}: must be at most {longest:,} characters long, not {len(value):,}")
        return str(value)

    return check


def tag(longest: int) -> Check:
    """A short line that is not blank; without a comma, which separates several in a query."""

    def check(field: str, value: Any) -> str:
        given = line(field, value)
        if given != given.strip() or not 0 < len(given) <= longest or "," in given:
            wanted = f"up to {longest} characters without commas, and without spaces at either end"
            raise invalid(field, value, wanted)
        return given

    return check


def command(field: str, value: Any) -> str:
    size = len(text(field, value).encode())
    if size > _LONGEST_COMMAND:
        raise Invalid(f"{field}: must be at most {_LONGEST_COMMAND} bytes long, not {size}; use a script")
    return str(value)


def flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid(field, value, "true or false")
    return value


def _not_whole(field: str, value: Any, wanted: str) -> Invalid:
    if isinstance(value, float) and value.is_integer():
        return invalid(field, value, f"{wanted}, written in digits only")
    return invalid(field, value, wanted)


def whole(low: int, high: int) -> Check:
    def check(field: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _not_whole(field, value, f"a whole number between {low} and {high}")
        return value

    return check


def whole_or_none(low: int, high: int) -> Check:
    """A whole number, or 0 for none."""

    def check(field: str, value: Any) -> int:
        if type(value) is not int or (value != 0 and not low <= value <= high):
            raise _not_whole(field, value, f"0 or a whole number between {low} and {high}")
        return value

    return check


def check_count(field: str, entries: Sized, most: int) -> None:
    """Raise Invalid for more than `most` entries."""
    if len(entries) > most:
        raise Invalid(f"{field}: must have at most {most:,} entries, not {len(entries):,}")


def listed(check: Check, most: int) -> Check:
    """A list of values that each pass `check`. Duplicates are dropped."""

    def check_all(field: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise invalid(field, value, "a list")
        check_count(field, value, most)
        return tuple(dict.fromkeys(check(f"{field}[{index}]", item) for index, item in enumerate(value)))

    return check_all


def number(low: float, high: float) -> Check:
    def check(field: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise invalid(field, value, f"a number between {low:g} and {high:g}")
        return float(value)

    return check


def choice(kind: type[StrEnum]) -> Check:
    """One of the values of an enumeration; an empty string means the first."""
    words = [word.value for word in kind]

    def check(field: str, value: Any) -> StrEnum:
        if value not in ("", *words):
            raise invalid(field, value, f"{', '.join(words[:-1])} or {words[-1]}")
        return kind(value or words[0])

    return check


def variables(field: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Environment variables, by their names (POSIX 8.1)."""
    if not isinstance(value, dict):
        raise invalid(field, value, 'an object of strings, such as {"LANG": "C.UTF-8"}')
    check_count(field, value, VARIABLES)
    for name in value:
        if not _VARIABLE.fullmatch(name) or len(name) > VARIABLE_NAME:
            wanted = f"a variable name of up to {VARIABLE_NAME} letters, digits and _ that does not start with a digit"
            raise invalid(field, name, wanted)
    found = {name: _variable(f"{field}.{name}", name, given) for name, given in value.items() if given is not None}
    check_environment(field, found)
    return tuple(found.items())


def check_environment(field: str, found: Mapping[str, str]) -> None:
    """Raise Invalid for more variables, or more bytes in total, than a command can be given."""
    check_count(field, found, VARIABLES)
    # As execve(2) counts: each as NAME=value with a NUL, plus a pointer.
    size, room = sum(len(f"{name}{value}".encode()) + 10 for name, value in found.items()), _room_for_variables()
    if size > room:
        raise Invalid(f"{field}: {size} bytes in total, and the system allows {room}; put long values in files")


def _variable(field: str, name: str, value: Any) -> str:
    size = len(f"{name}={text(field, value)}".encode())
    if size > VARIABLE:
        raise Invalid(f"{field}: must be at most {VARIABLE} bytes long with its name, not {size}; use a file")
    return str(value)


@cache
def _room_for_variables() -> int:
    """Return the bytes left for variables beside the longest command and all that Kala adds (execve(2), ARG_MAX)."""
    own = sum(len(name) + len(value) + 10 for name, value in os.environb.items())
    return min(os.sysconf("SC_ARG_MAX"), _MOST_ARGUMENTS) - own - _LONGEST_COMMAND - _ADDED


def zone_name(field: str, value: Any) -> str:
    """The name of a time zone, such as Europe/Berlin; empty for the server's."""
    if line(field, value):
        check_zone(value, known_zones(), field)
    return str(value)


def absolute_path(field: str, value: Any) -> str:
    """An absolute path, as Kala can be started in any directory."""
    if text(field, value) and not value.startswith("/"):
        raise invalid(field, value, "an absolute path")
    size = len(value.encode())
    if size > PATH:
        raise Invalid(f"{field}: must be at most {PATH:,} bytes long, not {size:,}")
    return str(value)


def umask(field: str, value: Any) -> str:
    if text(field, value) and not _UMASK.fullmatch(value):
        raise invalid(field, value, 'a file mode mask in octal digits, such as "027"')
    return str(value)


def url(field: str, value: Any) -> str:
    """An absolute http or https URL. Not for a URL with a template, which is complete only when it is rendered."""
    address = line(field, value)
    try:
        Url.parse(address)
    except ValueError:
        raise invalid(field, value, "a complete http or https URL, such as https://example.org/hook") from None
    return address


def method(field: str, value: Any) -> str:
    """An HTTP method; an empty one is GET, as in Go."""
    if not _TOKEN.fullmatch(text(field, value) or "GET"):
        raise invalid(field, value, "an HTTP method, such as GET or POST")
    if value.upper() == "CONNECT":
        raise Invalid(f"{field}: {shown(value)} is not supported; use a method such as GET or POST")
    return line(field, value).upper() or "GET"


def headers(field: str, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """HTTP headers as Go writes them: `{"Accept": ["text/plain", "text/html"]}`."""
    if not isinstance(value, dict):
        raise invalid(field, value, 'an object of lists, such as {"Accept": ["text/plain"]}')
    check_count(field, value, HEADERS)
    given = {name: values for name, values in value.items() if values is not None}
    for name, times in Counter(map(str.lower, given)).items():
        if times > 1:
            raise Invalid(f"{field}: {shown(name)} appears {times} times with different case; use it once")
    return tuple((_token(field, name), _values(f"{field}.{name}", values)) for name, values in given.items())


def _token(field: str, name: str) -> str:
    if not _TOKEN.fullmatch(name) or len(name) > LINE:
        raise invalid(field, name, "an HTTP header name")
    if name.lower() in OWN_HEADERS:
        raise Invalid(f"{field}.{name}: set by Kala; remove it")
    return name


def _values(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise invalid(field, value, 'a list of one or more values, such as ["text/plain"]')
    check_count(field, value, HEADERS)
    return tuple(_value(f"{field}[{index}]", item) for index, item in enumerate(value))


def _value(field: str, value: Any) -> str:
    if not line(field, value).isascii() or value.startswith(" "):
        raise invalid(field, value, "ASCII text that does not start with a space")
    return str(value)
