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
from threading import Lock
from typing import NamedTuple
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
        # Whether the zones that jobs name are to be checked, too.
        self._names_are_due = False

    def __call__(self) -> tzinfo:
        """Return the zone, at most 30 s old. Only for the engine's thread, as it also replaces zones that jobs name.

        A step of the engine that began with the old rules of a zone must not go on with the new ones.
        """
        if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self.refresh()
        if self._names_are_due:
            self._names_are_due = False
            named_zones.refresh()
        return self.current

    def refresh(self) -> None:
        """Check the file now. If it is gone or is no longer a zone file, the zone stays as it was."""
        self._checked_at = time.monotonic()
        self._names_are_due = True
        if (tzdata_version := _tzdata_version()) != self.tzdata:
            self.tzdata = tzdata_version
            known_zones.cache_clear()
        version = self._file_version()
        if version == self._version:
            return
        self._version = version
        if version is None:
            logger.warning("%s is gone; keeping the current time zone", self._path)
            return
        try:
            self.current = self._read()
        except Invalid as error:
            logger.warning("%s; keeping the current time zone", error)
        time.tzset()  # for the times in the log

    def _file_version(self) -> tuple[int, ...] | None:
        """Return what identifies the version of the file, after following links; None if there is none."""
        return _version_of(self._path)

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


class _Named(NamedTuple):
    """A zone with the bytes of its file and what identifies their version; both are empty if it has no file."""

    zone: tzinfo
    rules: bytes
    version: tuple[int, ...] | None


class NamedZones:
    """The zones that jobs name, for any thread. The rules of each are read once, and again when its file changes."""

    def __init__(self) -> None:
        self._zones: dict[str, _Named] = {}
        # Guards the reading of files, not the look-up of a zone.
        self._lock = Lock()
        self.changes = 0
        """How often refresh() has found other rules."""

    def get(self, name: str) -> tzinfo:
        """Return a zone by its name. UTC if there is none, as on a machine with other rules."""
        found = self._zones.get(name)
        if found is None:
            with self._lock:
                found = self._zones[name] = self._zones.get(name) or _read_named(name)
        return found.zone

    def refresh(self) -> None:
        """Replace the zones whose files have other rules now. A zone whose file is gone stays as it was."""
        with self._lock:
            for name, old in self._zones.items():
                version = _version_of(_file_of(name))
                if version in (None, old.version):
                    continue
                new = _read_named(name, old)
                if new.rules == old.rules:
                    new = new._replace(zone=old.zone)
                else:
                    self.changes += 1
                self._zones[name] = new


def _read_named(name: str, old: _Named | None = None) -> _Named:
    """Read the rules of a zone. If there are none, return the old ones or UTC."""
    try:
        zone: tzinfo = ZoneInfo(name)  # refuses names that are paths
        path = _file_of(name)
        if path is None:
            return _Named(zone, b"", None)
        version, rules = _version_of(path), path.read_bytes()
        return _Named(ZoneInfo.from_file(BytesIO(rules), key=name), rules, version)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if old:
            logger.warning("the rules of the time zone %s cannot be read; keeping the current ones", presentable(name))
            return old._replace(version=_version_of(_file_of(name)))
        logger.error("timezone: there are no rules of '%s' here; using UTC instead", presentable(name))  # noqa: TRY400
        return _Named(UTC, b"", None)


named_zones = NamedZones()


def named_zone(name: str) -> tzinfo:
    """Return a zone by its name, as named_zones has it."""
    return named_zones.get(name)


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
    return _file_of(tz)


def _file_of(name: str) -> Path | None:
    """Return the file of a zone; None for one from the tzdata package."""
    return next((path for folder in TZPATH if (path := Path(folder, name)).is_file()), None)


def _version_of(path: Path | None) -> tuple[int, ...] | None:
    """Return what identifies the version of a file, after following links; None if there is none."""
    try:
        found = path and path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found else None


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
