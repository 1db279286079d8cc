"""Time zones: the server's, which is what a date and time without an offset means, and those that jobs name."""

import logging
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

import tzdata  # type: ignore[import-untyped]

from kala.core.errors import Invalid
from kala.core.foreign import presentable

logger = logging.getLogger("kala.service")

_LOCALTIME = Path("/etc/localtime")
_CHECK_SECONDS = 30.0
# One block of a TZif file (RFC 8536): no transitions, and the one local time type that the format requires.
_NO_TRANSITIONS = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"


class ServerZone:
    """The server's zone: that of TZ, else of /etc/localtime (tzset(3), localtime(5)), else UTC.

    Call it to get the zone. It checks at most every 30 s whether the zone's file was replaced. TZ is the name of a
    zone, the path of a file, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3; an empty TZ means UTC.
    """

    def __init__(self, environ: Mapping[str, str], localtime: Path = _LOCALTIME) -> None:
        """Raise Invalid if TZ or /etc/localtime is none of these."""
        given = environ.get("TZ")
        self._tz = None if given is None else given.removeprefix(":")
        self._path = localtime if self._tz is None else _path_of(self._tz)
        self._version = self._file_version()
        self.current = self._read()
        self.tzdata = _tzdata_version()
        self._checked_at = time.monotonic()

    def __call__(self) -> tzinfo:
        """Return the zone, at most 30 s old."""
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self.refresh()
        return self.current

    def refresh(self) -> None:
        """Check the file now. If it is gone or is no longer a zone file, the zone stays as it was."""
        self._checked_at = time.monotonic()
        version = self._file_version()
        if version == self._version:
            return
        self._version = version
        if version is None:
            logger.warning("%s is gone; keeping the current time zone", self._path)
            return
        try:
            self.current = self._read()
            self.tzdata = _tzdata_version()
        except Invalid as error:
            logger.warning("%s; keeping the current time zone", error)
        time.tzset()  # for the times in the log

    def _file_version(self) -> tuple[int, ...] | None:
        """Return what identifies the version of the file, after following links; None if there is none."""
        try:
            found = self._path and self._path.stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found else None

    def _read(self) -> tzinfo:
        if self._tz == "" or (self._tz is None and self._version is None):
            return UTC
        try:
            if self._path is not None:
                return _from_file(self._path)
            return _from_name(self._tz or "")
        except (ValueError, OSError):
            raise self._error() from None

    def _error(self) -> Invalid:
        if self._tz is None:
            return Invalid(f"{self._path} is not a time zone file; make it a link to one, or set TZ")
        return Invalid(
            f"TZ: '{presentable(self._tz)}' is neither the name of a time zone nor a rule; use a name such as "
            "Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3"
        )


def _tzdata_version() -> str | None:
    """Return the version of the zones in use, such as 2025b: that of the system, or of the tzdata package."""
    for folder in TZPATH:
        with suppress(OSError), Path(folder, "tzdata.zi").open(encoding="utf-8", errors="replace") as file:
            return file.readline().removeprefix("# version ").strip()
    # A system without this file may still have zones, of a version that nothing tells.
    return None if any(Path(folder, "UTC").exists() for folder in TZPATH) else tzdata.IANA_VERSION


@cache
def known_zones() -> frozenset[str]:
    """Return the names of all zones that this machine and Kala have rules of."""
    return frozenset(available_timezones())


@cache
def named_zone(name: str) -> tzinfo:
    """Return a zone by its name; its rules are read once. UTC if there is none, as on a machine with other rules."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.error("timezone: there are no rules of '%s' here; using UTC instead", presentable(name))  # noqa: TRY400
        return UTC


def zone_of(name: str, server: tzinfo) -> tzinfo:
    """Return the zone of a job that gives this name, or the server's for ""."""
    return named_zone(name) if name else server


def _path_of(tz: str) -> Path | None:
    """Return the file that TZ names; None for a rule, or a zone from the tzdata package."""
    if tz.startswith("/"):
        return Path(tz)
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return next((path for folder in TZPATH if (path := Path(folder, tz)).is_file()), None)


def _from_file(path: Path) -> tzinfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=_name_of(path))


def _name_of(path: Path) -> str:
    """Return the name of the zone, for people: its path below a folder of TZPATH."""
    target = path.resolve()
    return next((str(target.relative_to(folder)) for folder in TZPATH if target.is_relative_to(folder)), str(path))


def _from_name(text: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _from_rule(text)


def _from_rule(rule: str) -> tzinfo:
    """Return the zone of a POSIX rule. `zoneinfo` reads rules only from the footer of a TZif file, so make one."""
    if not rule.isprintable():
        raise ValueError(rule)
    return ZoneInfo.from_file(BytesIO(_NO_TRANSITIONS * 2 + f"\n{rule}\n".encode("ascii")), key=rule)
