"""The server's time zone: what a date and time without an offset means."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kala.core.errors import Invalid

_LOCALTIME = Path("/etc/localtime")


def local_zone(environ: Mapping[str, str]) -> tzinfo:
    """The zone that TZ names, or /etc/localtime has (tzset(3), localtime(5)); UTC where there is neither.

    A zone, not today's offset: it knows when its clocks change. TZ may also be the path of a file. Raises Invalid where
    it is neither, such as a rule in the form of CET-1CEST.
    """
    name = environ.get("TZ", "").removeprefix(":")
    if name:
        return _named(name)
    try:
        return _in_file(_LOCALTIME)
    except FileNotFoundError:
        return UTC


def _in_file(path: Path) -> tzinfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key="localtime")


def _named(name: str) -> tzinfo:
    try:
        return _in_file(Path(name)) if name.startswith("/") else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"TZ: {name!r} is not the name of a time zone; give one such as Europe/Berlin, or none") from None
