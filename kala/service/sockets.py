"""The listening socket that systemd passes (kala.socket), and keeps open while Kala restarts: see sd_listen_fds(3)."""

import os
import socket
from collections.abc import Mapping

from kala.config import Config, check_reach
from kala.core.errors import Invalid

_FIRST = 3


def from_systemd(environ: Mapping[str, str], config: Config) -> socket.socket | None:
    """Return the listening socket that systemd passed to this process, or None. Raises Invalid if it cannot be used."""
    count = _passed_sockets(environ)
    if not count:
        return None
    if count > 1:
        raise Invalid(f"LISTEN_FDS: {count} sockets were passed, and Kala uses only one; keep one ListenStream= line")
    os.set_inheritable(_FIRST, False)
    listener = _listener(_FIRST)
    if listener.family != socket.AF_UNIX:  # the mode of its file controls access
        check_reach(listener.getsockname()[0], config)
    return listener


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
            "LISTEN_FDS: file descriptor 3 must be a listening stream socket; use ListenStream= with Accept=no"
        )
    return listener
