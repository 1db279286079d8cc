"""The environment of commands: Kala's own without the variables that are meant for Kala."""

import os
from collections.abc import Mapping

from kala.core.instants import rfc3339
from kala.core.run import Run

# systemd.exec(5), "Environment variables set on spawned processes": they name Kala's unit, directories and credentials.
# A command that took them for its own would write there, or send notifications in Kala's name.
_UNIT_VARIABLES = """
    CACHE_DIRECTORY CONFIGURATION_DIRECTORY CREDENTIALS_DIRECTORY LOGS_DIRECTORY RUNTIME_DIRECTORY STATE_DIRECTORY
    FDSTORE INVOCATION_ID JOURNAL_STREAM LISTEN_FDNAMES LISTEN_FDS LISTEN_PID LISTEN_PIDFDID LOG_NAMESPACE
    MAINPID MAINPIDFDID MANAGERPID MANAGERPIDFDID PIDFILE REMOTE_ADDR REMOTE_PORT TRIGGER_PATH TRIGGER_UNIT
    TRIGGER_TIMER_MONOTONIC_USEC TRIGGER_TIMER_REALTIME_USEC WATCHDOG_PID WATCHDOG_USEC
""".split()
_PRIVATE = frozenset({*_UNIT_VARIABLES, "_MEIPASS2", "PYINSTALLER_RESET_ENVIRONMENT"})
_PRIVATE_PREFIXES = ("_PYI_", "KALA_", "MEMORY_PRESSURE_", "NOTIFY_", "SYSTEMD_")

# Variables by name, each as execve(2) takes it: `name=value`. Those that are the same for all runs are encoded once.
Environ = Mapping[str, bytes]


def encoded(variables: Mapping[str, str]) -> dict[str, bytes]:
    """Return variables as execve(2) takes them."""
    return {name: os.fsencode(f"{name}={value}") for name, value in variables.items()}


def search_path(environ: Environ) -> str:
    """Return the PATH in which a program without a slash in its name is looked up."""
    return os.fsdecode(environ["PATH"].removeprefix(b"PATH=")) if "PATH" in environ else os.defpath


def for_commands(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of systemd for Kala, of Kala's settings, and of PyInstaller.

    A program built by PyInstaller runs with a changed LD_LIBRARY_PATH; the original value is in LD_LIBRARY_PATH_ORIG.
    """
    kept = {name: value for name, value in environ.items() if not _is_private(name)}
    if "LD_LIBRARY_PATH_ORIG" in kept:
        kept["LD_LIBRARY_PATH"] = kept.pop("LD_LIBRARY_PATH_ORIG")
    elif any(name.startswith("_PYI_") for name in environ):
        kept.pop("LD_LIBRARY_PATH", None)
    return kept


def for_run(run: Run) -> dict[str, str]:
    """Return the variables that describe the run. Times are RFC 3339 in UTC; a missing value is an empty string."""
    return {
        "KALA_JOB_ID": run.job_id,
        "KALA_JOB_NAME": run.job_name,
        "KALA_RUN_ID": str(run.id),
        "KALA_ATTEMPT": str(run.attempt),
        "KALA_SLOT": rfc3339(run.slot) if run.slot else "",
        "KALA_CAUSE": run.cause,
        "KALA_PARENT_RUN_ID": "" if run.cause_run is None else str(run.cause_run),
    }


def _is_private(name: str) -> bool:
    return name in _PRIVATE or name.startswith(_PRIVATE_PREFIXES)
