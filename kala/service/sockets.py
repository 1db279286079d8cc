"""The listening sockets: those that systemd passes and keeps open while Kala restarts (sd_listen_fds(3)), our own."""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from kala.config import Config
from kala.core.errors import Invalid

_FIRST = 3
_NAME = "kala.sock"


def from_systemd(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd passed to this process. Raises Invalid if one cannot be used."""
    fds = range(_FIRST, _FIRST + _passed_sockets(environ))
    for fd in fds:
        os.set_inheritable(fd, False)
    return [_listener(fd) for fd in fds]


def own_path(environ: Mapping[str, str], config: Config, passed: Sequence[socket.socket]) -> Path | None:
    """Return where Kala opens a Unix socket for programs on this machine; None if systemd passed one.

    It is in the directory that systemd has made for it in /run, or else with the data.
    """
    if any(listener.family == socket.AF_UNIX for listener in passed) or not config.persist:
        return None
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return (Path(folder) if folder else config.data_dir) / _NAME


def _passed_sockets(environ: Mapping[str, str]) -> int:
    """Return the number of sockets passed; 0 if the variables are meant for another process."""
    count = environ.get("LISTEN_FDS", "")
    return int(count) if environ.get("LISTEN_PID") == str(os.getpid()) and count.isdecimal() else 0


def _listener(fd: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=fd)
        usable = listener.type == socket.SOCK_STREAM and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        usable = 0
    if not usable:
        raise Invalid(
            f"LISTEN_FDS: file descriptor {fd} must be a listening stream socket; use ListenStream= with Accept=no"
        )
    return listener
