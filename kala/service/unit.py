"""The environment of kala.service, so that an administrator's commands find the service's settings and data."""

import os
import shlex
import subprocess
from pathlib import Path

from kala.core.errors import KalaError
from kala.runner.environment import for_commands

_SHOW = ("systemctl", "show", "--property=MainPID,LoadState,StateDirectory,Environment", "kala.service")
_LIMIT_SECONDS = 10
# Exists if systemd is process 1 (sd_booted(3)).
_BOOTED = Path("/run/systemd/system")


def environment() -> dict[str, str]:
    """Return the environment of kala.service: that of the running process, or else what the unit sets.

    Empty if systemd does not run or has no such unit. Raises KalaError if systemctl fails.
    """
    if not _BOOTED.is_dir():
        return {}
    # systemctl must not load the libraries of Kala's binary.
    environ = for_commands(os.environ)
    try:
        done = subprocess.run(_SHOW, env=environ, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KalaError(f"systemctl cannot tell of kala.service: {error}; give --config and --data-dir") from error
    shown = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if shown.get("LoadState") != "loaded":
        return {}
    return _of_process(shown["MainPID"]) or _of_unit(shown)


def _of_process(pid: str) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="surrogateescape")
    except OSError:  # not running: the PID is 0
        return {}
    return dict(pair.partition("=")[::2] for pair in text.split("\0") if pair)


def _of_unit(shown: dict[str, str]) -> dict[str, str]:
    environ = dict(pair.partition("=")[::2] for pair in shlex.split(shown["Environment"]))
    folders = [f"/var/lib/{name.partition(':')[0]}" for name in shown["StateDirectory"].split()]
    return {**environ, "STATE_DIRECTORY": ":".join(folders)} if folders else environ
