"""The kinds of values that settings have: how each is read from a file, a variable or an option."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from kala.core import duration

_T = TypeVar("_T")

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# Small enough that sums of settings fit into SQLite's integers, and times into the timeouts of the system.
_MAX_NUMBER = 2**53
_MAX_SECONDS = 366 * 24 * 60 * 60
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


class Kind(msgspec.Struct, frozen=True):
    """A kind of value. `read` raises ValueError for what is not `expected`; `choices` lists all values, if few."""

    read: Callable[[object], object]
    expected: str
    is_list: bool = False
    is_path: bool = False
    choices: tuple[str, ...] = ()
    unit: str = ""


def number(low: int, high: int = _MAX_NUMBER, unit: str = "") -> Kind:
    """Return the kind of whole numbers in this range, of this unit."""

    def read(value: object) -> int:
        given = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
        if not isinstance(given, int) or isinstance(given, bool) or not low <= given <= high:
            raise ValueError(value)
        return given

    bounds = f"of at least {low}" if high == _MAX_NUMBER else f"between {low} and {high}"
    return Kind(read, f"a whole number {bounds}", unit=unit)


def choice(*names: str) -> Kind:
    """Return the kind that has only these values."""

    def read(value: object) -> object:
        if value not in names:
            raise ValueError(value)
        return value

    return Kind(read, f"{', '.join(names[:-1])} or {names[-1]}", choices=names)


def text_of(value: object) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004  load makes one sentence of ValueError for every wrong value
    return value


def list_of_texts(value: object) -> list[str]:
    """Return a list of texts; one text can be several, with commas between them."""
    given = value if isinstance(value, (list, tuple)) else [value]
    return [part.strip() for text in given for part in text_of(text).split(",")]


def pairs(value: object) -> list[tuple[object, object]]:
    """Return the pairs of a table, or of a list such as a=1,b=2."""
    if isinstance(value, dict):
        return list(value.items())
    found = [text.partition("=") for text in list_of_texts(value) if text]
    if not all(equals for _, equals, _ in found):
        raise ValueError(value)
    return [(name, one) for name, _, one in found]


def table(value: object, read_name: Callable[[object], str], read_value: Callable[[object], _T]) -> dict[str, _T]:
    """Return the pairs as a table, in which each name is once."""
    given = pairs(value)
    found = {read_name(name): read_value(one) for name, one in given}
    if len(found) < len(given):
        raise ValueError(value)
    return found


def _line(value: object) -> str:
    text = text_of(value)
    if not text.isprintable():  # nor is a lone surrogate, which a variable that is not UTF-8 has
        raise ValueError(value)
    return text


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if text_of(value).lower() not in _SWITCH:
        raise ValueError(value)
    return _SWITCH[text_of(value).lower()]


def _seconds(value: object) -> float:
    seconds = _number_or_none(value)
    if seconds is None:
        length = duration.parse(text_of(value), "")
        seconds = length.shortest.total_seconds() if not length.months else math.nan
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(value)
    return seconds


def _length(value: object) -> str:
    if text_of(value) and not duration.parse(text_of(value), "").longest:
        raise ValueError(value)
    return text_of(value)


def _number_or_none(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d*)?", value, re.ASCII) else None


def _path(value: object) -> Path:
    if not value:
        raise ValueError(value)
    return Path(text_of(value)).expanduser()


def _path_or_none(value: object) -> Path | None:
    return None if value == "" else _path(value)


def _names(value: object) -> tuple[str, ...]:
    names = tuple(name.lower() for name in list_of_texts(value))
    if not all(re.fullmatch(r"[^\s/,]+", name) for name in names):
        raise ValueError(value)
    return names


def _base_path(value: object) -> str:
    text = text_of(value).removesuffix("/")
    if not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*", text) or {".", ".."} & {*text.split("/")}:
        raise ValueError(value)
    return text


def _pools(value: object) -> dict[str, object]:
    return table(value, _pool_name, _POOL_SIZE.read)


def _pool_name(value: object) -> str:
    name = text_of(value).strip()
    if not name:
        raise ValueError(value)
    return name


_POOL_SIZE = number(0, 10000)
# load splits address:port before it reads the number.
PORT = Kind(number(0, 65535).read, "a whole number between 0 and 65535, or address:port")
TEXT = Kind(text_of, "a string")
LINE = Kind(_line, "one line of text")
ON_OFF = Kind(_switch, "true or false")
SECONDS = Kind(_seconds, "a number of seconds or an ISO 8601 duration such as PT30S, at most a year", unit="seconds")
PATH = Kind(_path, "a path", is_path=True)
PATH_OR_NONE = Kind(_path_or_none, 'a path, or "" for none', is_path=True)
POOLS = Kind(_pools, "a list such as db=2,mail=1, with each pool once and sizes between 0 and 10000", is_list=True)
LENGTH = Kind(_length, "an ISO 8601 duration longer than zero, such as P90D, or empty")
BASE_PATH = Kind(_base_path, "a path such as /kala, of letters, digits and -._~, or empty")
NAMES = Kind(_names, "a list of host names, or a string with commas between them", is_list=True)
