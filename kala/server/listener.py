"""The listening socket: binding it, and accepting connections from it."""

import errno
import grp
import math
import os
import selectors
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kala.core.errors import Conflict, Invalid
from kala.server.shortage_log import ShortageLog

# Connections that the kernel completes before we accept them: a burst waits instead of being refused.
BACKLOG = 1024
# Seconds to pause accepting when the limit of connections is reached, or no file descriptor is left.
_PAUSE = 0.1


def listen(interface: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free port. Raises Conflict if the address is in use, else Invalid."""
    try:
        family, *_, found = socket.getaddrinfo(interface, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The port as it was given: getaddrinfo makes 4464 of 70000.
        return _bound(family, (found[0], port, *found[2:]))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        address = f"[{interface}]:{port}" if ":" in interface else f"{interface}:{port}"
        text = f"interface: cannot listen on {address}: {reason}; use an address of this machine and a free port"
        raise (Conflict if getattr(error, "errno", 0) == errno.EADDRINUSE else Invalid)(text) from error


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    with ExitStack() as on_error:
        listener = on_error.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        on_error.pop_all()
    return listener


class SocketFile:
    """A Unix socket that listens at a path, on which this user and a group can connect.

    It replaces a socket left there. The group is left out if there is none of this name, or if this user may not give
    it the file. Raises OSError if the path is too long, or the file system has no sockets.
    """

    def __init__(self, path: Path, group: str) -> None:
        self._path = path
        with ExitStack() as on_error:
            self.socket = on_error.enter_context(socket.socket(socket.AF_UNIX))
            # Linux gives the file the mode of the socket. The group is let in when the file is the group's.
            os.fchmod(self.socket.fileno(), 0o600)
            if path.is_socket():
                path.unlink()
            self.socket.bind(str(path))
            self._identity = _identity(path)
            _let_in(group, path)
            self.socket.listen(BACKLOG)
            on_error.pop_all()

    def remove(self) -> None:
        """Remove the file, unless another one has replaced it. Idempotent."""
        with suppress(FileNotFoundError):
            if _identity(self._path) == self._identity:
                self._path.unlink()


def _let_in(group: str, path: Path) -> None:
    with suppress(KeyError, PermissionError):  # no such group, or not one of this user's
        os.chown(path, -1, grp.getgrnam(group).gr_gid, follow_symlinks=False)
        path.chmod(0o660)


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


class Listener:
    """A listening socket in the selector of the watching thread. It pauses while no connection can be accepted."""

    def __init__(self, listener: socket.socket, selector: selectors.BaseSelector, shortages: ShortageLog) -> None:
        listener.setblocking(False)
        self._socket = listener
        self._selector = selector
        self._shortages = shortages
        self._resumes_at = math.inf
        self._watch()

    @property
    def pause_left(self) -> float:
        """Seconds until the end of a pause, or infinity."""
        return max(0.0, self._resumes_at - time.monotonic())

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Return a client's socket and address. None if no client waits; or if that failed, which begins a pause."""
        try:
            client, address = self._socket.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            self.pause("%s", error)
            return None
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            # Nagle's algorithm and delayed ACKs can hold a response back for 40 ms. Set per connection: one that came
            # before the listener was ours inherits nothing.
            with suppress(OSError):  # the client has closed it already
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, address

    def pause(self, reason: str, *values: object) -> None:
        """Stop watching the socket for a moment: as epoll is level-triggered, the loop would spin.

        Connections that are accepted already are served meanwhile.
        """
        self._shortages.warn(f"cannot accept new connections at the moment: {reason}", *values)
        self._selector.unregister(self._socket)
        self._resumes_at = time.monotonic() + _PAUSE

    def resume_if_due(self) -> None:
        if not self.pause_left:
            self._resumes_at = math.inf
            self._watch()

    def close(self) -> None:
        """Close the socket, and do not shut it down: another process may have it open. Idempotent."""
        if self._socket.fileno() >= 0 and self._resumes_at == math.inf:
            self._selector.unregister(self._socket)
        self._socket.close()

    def _watch(self) -> None:
        self._selector.register(self._socket, selectors.EVENT_READ, data=self)
