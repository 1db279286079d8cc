"""The environment that commands start with: Kala's own, less what is between Kala and its starter."""

from collections.abc import Mapping

_PRIVATE = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "MAINPID",
        "_MEIPASS2",
        "PYINSTALLER_RESET_ENVIRONMENT",
    }
)
_PRIVATE_PREFIXES = ("_PYI_", "KALA_")


def for_commands(environ: Mapping[str, str]) -> dict[str, str]:
    """What commands see of `environ`: nothing of systemd's talk with Kala, of Kala's settings, or of the binary.

    A program built by PyInstaller runs with LD_LIBRARY_PATH changed, and the former value beside it.
    """
    kept = {name: value for name, value in environ.items() if not _is_private(name)}
    if "LD_LIBRARY_PATH_ORIG" in kept:
        kept["LD_LIBRARY_PATH"] = kept.pop("LD_LIBRARY_PATH_ORIG")
    elif any(name.startswith("_PYI_") for name in environ):
        kept.pop("LD_LIBRARY_PATH", None)
    return kept


def _is_private(name: str) -> bool:
    return name in _PRIVATE or name.startswith(_PRIVATE_PREFIXES)
