"""`kala reload`: return once the new settings are in effect, or fail with the error.

A signal has no answer. So the service writes the result of each reload to a file, for which `kala reload` waits.
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

logger = logging.getLogger("kala.service")


class _Result(msgspec.Struct, frozen=True):
    """The result of the last reload: its start on the monotonic clock in ns, and the error or an empty string."""

    began: int
    error: str


class ReloadReport:
    """The file in RUNTIME_DIRECTORY with the result of the last reload. Without the directory, nothing is written."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._file = _result_file(environ)

    def write(self, began: int, error: str) -> None:
        """Replace the file. If that fails, the reload has happened all the same."""
        if self._file is None:
            return
        new = self._file.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(_Result(began, error)))
            new.replace(self._file)
        except OSError as failure:
            logger.warning("cannot report the result of the reload: %s", failure)


def reload_and_wait(environ: Mapping[str, str], limit: float = _LIMIT_SECONDS) -> None:
    """Make the process MAINPID reload, and wait until it has. Raises Invalid with its error if a setting is wrong."""
    file, pid = _result_file(environ), environ.get("MAINPID", "")
    if not pid.isdecimal() or file is None:
        missing = "RUNTIME_DIRECTORY" if pid.isdecimal() else "MAINPID"
        raise KalaError(f"{missing} is not set; use systemctl reload kala, or send SIGHUP and check the log")
    result = _signal_and_wait(int(pid), file, limit)
    if result.error:
        raise Invalid(f"keeping the current settings: {result.error}")


def _signal_and_wait(pid: int, file: Path, limit: float) -> _Result:
    asked = time.monotonic_ns()
    try:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGHUP)
    except ProcessLookupError:
        raise KalaError(f"there is no process {pid} to reload") from None
    except PermissionError:
        raise KalaError(f"process {pid} belongs to another user; run kala reload as that user") from None
    with os.fdopen(process):
        return _wait_for_result(process, pid, file, asked, limit)


def _wait_for_result(process: int, pid: int, file: Path, asked: int, limit: float) -> _Result:
    while time.monotonic_ns() - asked < limit * 1e9:
        result = _read_result(file)
        # One that began before was there, or under way, when we asked: it may have read the old file.
        if result and result.began > asked:
            return result
        if select.select([process], [], [], _PAUSE_SECONDS)[0]:
            raise KalaError(f"process {pid} exited before it reloaded its settings; see its log")
    raise KalaError(f"process {pid} did not reload its settings within {limit:g} s; see its log")


def _read_result(file: Path) -> _Result | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Result)
    except FileNotFoundError:
        return None


def _result_file(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder, "reload.json") if folder else None
