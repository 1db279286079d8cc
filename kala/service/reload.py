"""`kala reload`: a reload that ends when the settings are in force, or with the error when they cannot be.

A signal has no answer. So the service writes how each reload went to a file, and whoever sent SIGHUP waits for it.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kala.core.errors import Invalid, KalaError

_LIMIT_SECONDS = 30.0
_PAUSE_SECONDS = 0.02

_logger = logging.getLogger("kala.service")


class _Result(msgspec.Struct, frozen=True):
    """How the last reload went: when it began, on the monotonic clock, and what was wrong, if anything."""

    began: int
    error: str


class ReloadReport:
    """Where the service tells how a reload went: in its RUNTIME_DIRECTORY. Without one nobody can wait, nor asks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._file = _file(environ)

    def write(self, began: int, error: str) -> None:
        """Tell it. A reload that nobody hears of has happened all the same."""
        if self._file is None:
            return
        new = self._file.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(_Result(began, error)))
            new.replace(self._file)
        except OSError as failure:
            _logger.warning("cannot report the result of the reload: %s", failure)


def reload_and_wait(environ: Mapping[str, str], limit: float = _LIMIT_SECONDS) -> None:
    """Let the process MAINPID reload, and return when it has; raises Invalid with its sentence where it has not."""
    file, pid = _file(environ), environ.get("MAINPID", "")
    if not pid.isdecimal() or file is None:
        missing = "RUNTIME_DIRECTORY" if pid.isdecimal() else "MAINPID"
        raise KalaError(f"{missing} is not set; use systemctl reload kala, or send SIGHUP and check the log")
    result = _answer(int(pid), file, limit)
    if result.error:
        raise Invalid(f"keeping the current settings: {result.error}")


def _answer(pid: int, file: Path, limit: float) -> _Result:
    asked = time.monotonic_ns()
    try:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGHUP)
    except ProcessLookupError:
        raise KalaError(f"there is no process {pid} to reload") from None
    except PermissionError:
        raise KalaError(f"process {pid} belongs to another user; run kala reload as that user") from None
    with os.fdopen(process):
        return _awaited(process, pid, file, asked, limit)


def _awaited(process: int, pid: int, file: Path, asked: int, limit: float) -> _Result:
    while time.monotonic_ns() - asked < limit * 1e9:
        result = _read(file)
        # One that began before was there, or under way, when we asked: it may have read the old file.
        if result and result.began > asked:
            return result
        if select.select([process], [], [], _PAUSE_SECONDS)[0]:
            raise KalaError(f"process {pid} exited before it reloaded its settings; see its log")
    raise KalaError(f"process {pid} did not reload its settings within {limit:g} s; see its log")


def _read(file: Path) -> _Result | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Result)
    except FileNotFoundError:
        return None


def _file(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder, "reload.json") if folder else None
