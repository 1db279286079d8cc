"""The text of a cron expression: five fields or a macro, read into a pattern. Each refusal says what would be right."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NoReturn
from zlib import crc32

import msgspec

from kala.core.errors import Invalid
from kala.core.pattern import ALL_WEEKDAYS, LAST, Dates, Pattern, Weekdays

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""What each macro stands for, as crontab(5) has it."""

_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()
_LONGEST = 1_000


class Field(msgspec.Struct, frozen=True):
    """One of the five fields. `H` is at most `hashed_last`; `interval` is a step as an ISO 8601 duration."""

    name: str
    first: int
    last: int
    hashed_last: int
    interval: str
    example: str
    names: dict[str, int] = {}


MINUTE = Field("minute", 0, 59, 59, "PT{}M", "0, 0,30 or */15")
HOUR = Field("hour", 0, 23, 23, "PT{}H", "2, 9-17 or */2")
# Each month has 28 days, so that a job with H runs in all of them.
DATE = Field("day of month", 1, 31, 28, "P{}D", "1, 1,15, L, LW or 15W")
MONTH = Field("month", 1, 12, 12, "P{}M", "1, JAN or 6-8", {name: 1 + at for at, name in enumerate(_MONTHS)})
WEEKDAY = Field(
    "day of week", 0, 7, 6, "P{}D", "1, MON, MON-FRI, MON#1 or 5L", {name: at for at, name in enumerate(_WEEKDAYS)}
)
FIELDS = (MINUTE, HOUR, DATE, MONTH, WEEKDAY)

_HASHED = re.compile(r"H(?:\((\w+)-(\w+)\))?(?:/(\d+))?", re.ASCII)
_RANGE = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
_NEAREST = re.compile(r"(\d+|L)W", re.ASCII)
_NUMBERED = re.compile(r"(\w+)#(\w+)", re.ASCII)
_LAST_WEEKDAY = re.compile(r"(\w+)L", re.ASCII)
_GO_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_ZONE = re.compile(r"\s*(?:CRON_TZ|TZ)=(\S*)\s+(.*)", re.ASCII | re.DOTALL)


def split_zone(text: str) -> tuple[str | None, str]:
    """Take the zone of a prefix `CRON_TZ=` or `TZ=` off an expression; None where it has no prefix."""
    match = _ZONE.fullmatch(text)
    return (match[1], match[2]) if match else (None, text)


def resolve(text: str, name: str) -> str:
    """Return an expression as five fields in capitals with single spaces, with a number in place of each `H`.

    The number is made from a job's name and the field, and stays the same. A macro becomes what it stands for.
    """
    # The name matters to an H only; without it, equal expressions share an entry of the cache.
    return _resolve(text, name if "H" in text.upper() else "")


@lru_cache(maxsize=4096)
def _resolve(text: str, name: str) -> str:
    if len(text) > _LONGEST:
        raise Invalid(f"schedule: must be at most {_LONGEST:,} characters, not {len(text):,}")
    if text.strip().startswith("@"):
        text = _macro(text.strip())
    texts = text.split()
    if len(texts) != len(FIELDS):
        _refuse_count(text, texts)
    return " ".join(map(_resolve_field, FIELDS, texts, [name] * len(FIELDS)))


def read(text: str) -> tuple[Pattern, bool]:
    """Read an expression that `resolve` returned: its pattern, and whether neither minute nor hour begins with `*`."""
    minute, hour, date, month, weekday = text.split(" ")
    pattern = Pattern(
        _numbers(MINUTE, minute),
        _numbers(HOUR, hour),
        _dates(date),
        _numbers(MONTH, month),
        _weekdays(weekday),
        # By the text, as in crontab(5), so that `1-31` restricts and `*/2` does not.
        is_either=not date.startswith("*") and not weekday.startswith("*"),
    )
    if not any(pattern.days_in(first, length) for first in range(7) for length in _lengths(pattern.months)):
        falls = "comes" if pattern.weekdays.is_every else f"falls on day of week {weekday!r}"
        _refuse(f"day of month {date!r} never {falls} in month {month!r}; use a day that the month has, such as L")
    return pattern, not minute.startswith("*") and not hour.startswith("*")


def _lengths(months: int) -> set[int]:
    """Return how many days months of a set can have."""
    lengths = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    found = {lengths[month - 1] for month in range(1, 13) if months >> month & 1}
    return found | {29} if 28 in found else found


# What has another number of fields than five


def _macro(text: str) -> str:
    word, _, rest = text.partition(" ")
    if word.lower() == "@every":
        _refuse(f"{text!r} is not a schedule here; use {_interval_of(rest)}")
    if text.lower() not in MACROS:
        _refuse(f"there is no macro {text!r}; use {', '.join(MACROS)} or five fields such as '30 2 * * *'")
    return MACROS[text.lower()]


def _interval_of(text: str) -> str:
    """Return the interval that stands for a duration of Go, such as `1h30m`."""
    match = _GO_DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        return "R/START/INTERVAL, such as R/START/PT5M for every 5 minutes"
    parts = zip(match.groups(), "HMS", strict=True)
    return "R/START/PT" + "".join(f"{number}{unit}" for number, unit in parts if number)


def _refuse_count(text: str, texts: list[str]) -> NoReturn:
    wanted = "five fields (minute, hour, day of month, month, day of week), such as '30 2 * * *'"
    if not texts:
        _refuse(f"must have {wanted}, not {text!r}")
    if len(texts) < len(FIELDS):
        _refuse(f"must have {wanted}, not {len(texts)}: {text!r}")
    if not all(map(_might_be_field, texts)):
        _refuse(f"must be {wanted} only, not {text!r}; give the command, user and variables in their own fields")
    if seconds := re.fullmatch(r"(?:\*|0+)/(\d+)", texts[0], re.ASCII):
        _refuse(f"{text!r} has a field for seconds; use R/START/PT{seconds[1]}S to run every {seconds[1]} seconds")
    if texts[0].isdigit() and int(texts[0]) == 0 and len(texts) <= 7:
        year = "" if len(texts) == 6 or texts[6] in ("*", "?") else ", and stop it after its year"
        _refuse(f"{text!r} has {len(texts)} fields; leave out the seconds: use {' '.join(texts[1:6])!r}{year}")
    _refuse(f"must have {wanted}, without seconds or years, not {len(texts)}: {text!r}; for seconds, use R/START/PT10S")


def _might_be_field(text: str) -> bool:
    return bool(re.fullmatch(r"[\d*?,/#()LWH-]+|([A-Za-z]{3}([-,/#\d]|$)*)+", text, re.ASCII))


# H


def _resolve_field(field: Field, text: str, name: str) -> str:
    text = text.upper()
    if field in (DATE, WEEKDAY):
        text = text.replace("?", "*")
    if "H" not in text:
        return text
    return ",".join(_resolve_hash(field, item, name) if item.startswith("H") else item for item in text.split(","))


def _resolve_hash(field: Field, item: str, name: str) -> str:
    match = _HASHED.fullmatch(item)
    if not match:
        _refuse(f"the {field.name} {item!r} is not understood; use H, H({field.first}-{field.hashed_last}) or H/5")
    start, end, step = match.groups()
    first = _number(field, start, item) if start else field.first
    last = _number(field, end, item) if end else field.hashed_last
    numbers = list(_walk(field, first, last))
    number = crc32(f"{name} {field.name}".encode(errors="surrogatepass"))
    if not step:
        return str(numbers[number % len(numbers)])
    return f"{numbers[number % min(_step(field, step, item), len(numbers))]}-{last}/{step}"


# Lists, ranges and steps


def _numbers(field: Field, text: str) -> int:
    """Return the set of numbers of a field."""
    found = 0
    for item in text.split(","):
        for number in _range(field, item):
            found |= 1 << number
    return found


def _range(field: Field, item: str) -> Iterator[int]:
    match = _RANGE.fullmatch(item)
    if not match:
        _refuse_item(field, item)
    start, end, step = match.groups()
    first = _number(field, start, item) if start else field.first
    # As in cron, a start with a step and no end goes on to the end of the field.
    last = _number(field, end, item) if end else first if start and not step else field.last
    numbers = _walk(field, first, last)
    return iter(numbers[:: _step(field, step, item)] if step else numbers)


def _walk(field: Field, first: int, last: int) -> list[int]:
    """Return the numbers from one to another, past the end of the field where the second is lower. 7 is Sunday."""
    highest = 6 if field is WEEKDAY else field.last
    is_wrapped = last < first
    numbers = [*range(first, highest + 1), *range(field.first, last + 1)] if is_wrapped else [*range(first, last + 1)]
    return [number % 7 for number in numbers] if field is WEEKDAY else numbers


def _number(field: Field, text: str, item: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdigit():
        _refuse_item(field, item)
    if not field.first <= int(text) <= field.last:
        hint = "; use 0 for midnight" if field is HOUR and text == "24" else ""
        _refuse(f"the {field.name} must be between {field.first} and {field.last}, not {item!r}{hint}")
    return int(text)


def _step(field: Field, text: str, item: str) -> int:
    step = int(text)
    if step == 0:
        _refuse(f"the step of the {field.name} must be at least 1, not {item!r}")
    if step > field.last:
        use = "R/START/" + field.interval.format(step)
        _refuse(f"the step of the {field.name} must be between 1 and {field.last}, not {item!r}; use {use} for longer")
    return step


# L, W and #


def _dates(text: str) -> Dates:
    plain, nearest = 0, []
    items = text.split(",")
    for item in items:
        if match := _NEAREST.fullmatch(item):
            nearest.append(LAST if match[1] == "L" else _number(DATE, match[1], item))
        elif item != "L":
            for date in _range(DATE, item):
                plain |= 1 << date - 1
    return Dates(plain, tuple(nearest), "L" in items)


def _weekdays(text: str) -> Weekdays:
    plain, numbered = 0, []
    for item in text.split(","):
        if match := _NUMBERED.fullmatch(item):
            if match[2] not in ("1", "2", "3", "4", "5"):
                _refuse(f"the number after # in the day of week must be between 1 and 5, not {item!r}; or use 5L")
            numbered.append((_number(WEEKDAY, match[1], item) % 7, int(match[2])))
        elif match := _LAST_WEEKDAY.fullmatch(item):
            numbered.append((_number(WEEKDAY, match[1], item) % 7, LAST))
        else:
            for day in _range(WEEKDAY, item):
                plain |= 1 << day
    return Weekdays(plain & ALL_WEEKDAYS, tuple(numbered))


# Refusals


def _refuse_item(field: Field, item: str) -> NoReturn:
    hint = ""
    if field is WEEKDAY and item == "L":
        hint = "; use SAT for Saturday, or 5L for the last Friday of the month"
    elif field is DATE and item.startswith("L-"):
        hint = "; use L for the last day of the month, or a date"
    elif field in (DATE, WEEKDAY) and (word := re.match(r"[A-Z]{4,}", item)) and word[0][:3] in _WEEKDAYS:
        hint = f"; use {word[0][:3]}" if field is WEEKDAY else ""
    elif field is MONTH and (word := re.match(r"[A-Z]{4,}", item)) and word[0][:3] in field.names:
        hint = f"; use {word[0][:3]}"
    _refuse(f"the {field.name} must be a number, list, range or step such as {field.example}, not {item!r}{hint}")


def _refuse(reason: str) -> NoReturn:
    raise Invalid(f"schedule: {reason}")
