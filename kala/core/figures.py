"""Ages, lengths of time and sizes as people read them at a glance: "5 min ago", "in 3 h", "2.4 s", "1.5 MB"."""

from datetime import datetime

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_556_952
# Up to two of each unit are shown in the smaller one: 90 min, 36 h, 400 d.
_AGES = ((2 * _YEAR, _YEAR, "y"), (2 * _DAY, _DAY, "d"), (2 * _HOUR, _HOUR, "h"), (2 * _MINUTE, _MINUTE, "min"))
_PARTS = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s"))
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def relative(instant: datetime, now: datetime) -> str:
    """Return how far an instant is from now, such as "in 5 min" or "3 d ago"."""
    seconds = round((instant - now).total_seconds())
    if not seconds:
        return "now"
    return f"in {_age(seconds)}" if seconds > 0 else f"{_age(-seconds)} ago"


def _age(seconds: int) -> str:
    for least, unit, name in _AGES:
        if seconds >= least:
            return f"{seconds // unit:,} {name}"
    return f"{seconds} s"


def length(seconds: float) -> str:
    """Return a length of time in one or two units, such as "340 ms", "2.4 s" or "3 min 20 s"."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    whole = round(seconds)
    for unit, name, part, part_name in _PARTS:
        if whole >= unit:
            number, rest = divmod(whole, unit)
            return f"{number:,} {name} {rest // part} {part_name}" if rest // part else f"{number:,} {name}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"


def size(count: int) -> str:
    """Return a number of bytes with a decimal prefix (SI), such as "512 B" or "1.5 MB"."""
    if count < 1000:
        return f"{count} B"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:,.1f} {_SIZES[unit]}" if value < 99.95 else f"{value:,.0f} {_SIZES[unit]}"
