"""The server's time zone: what a date and time without an offset means."""

import struct
from collections.abc import Mapping
from datetime import UTC, tzinfo
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kala.core.errors import Invalid
from kala.core.foreign import presentable

_LOCALTIME = Path("/etc/localtime")
# One block of a TZif file (RFC 8536): no transitions, and the one local time type that the format demands.
_NO_TRANSITIONS = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"


def local_zone(environ: Mapping[str, str]) -> tzinfo:
    """The zone that TZ gives, or /etc/localtime has (tzset(3), localtime(5)); UTC where there is neither.

    A zone, not today's offset: it knows when its clocks change. TZ is the name of a zone, the path of a file, or a rule
    such as CET-1CEST,M3.5.0,M10.5.0/3; empty, it is UTC. Raises Invalid where it is none of these.
    """
    given = environ.get("TZ")
    if given is not None:
        return _given(given.removeprefix(":"))
    try:
        return _in_file(_LOCALTIME)
    except FileNotFoundError:
        return UTC


def _in_file(path: Path) -> tzinfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key="localtime")


def _given(text: str) -> tzinfo:
    if not text:
        return UTC
    try:
        return _in_file(Path(text)) if text.startswith("/") else _named(text)
    except (ValueError, OSError):
        raise Invalid(
            f"TZ: '{presentable(text)}' is neither the name of a time zone nor a rule; give a name such as "
            "Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3"
        ) from None


def _named(text: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _ruled(text)


def _ruled(rule: str) -> tzinfo:
    """The zone of a POSIX rule. `zoneinfo` reads one in the footer of a TZif file only, so it gets such a file."""
    if not rule.isprintable():
        raise ValueError(rule)
    return ZoneInfo.from_file(BytesIO(_NO_TRANSITIONS * 2 + f"\n{rule}\n".encode("ascii")), key=rule)
