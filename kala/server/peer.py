"""The other end of a connection, as the kernel knows it."""

import errno
import os
import pwd
import socket
import struct
from functools import cache, lru_cache
from pathlib import Path

from kala.server.addresses import plain
from kala.server.sock_diag import owner_of_other_end

# Key in the WSGI environ of the Peer.
PEER = "kala.peer"

_SO_PEERGROUPS = 59
# struct ucred: pid, uid and gid.
_UCRED = struct.Struct("=iII")
# What SO_PEERCRED has if the other end had no process.
_NO_UID = 0xFFFFFFFF
# The most that getsockopt() of Python reads: 256 groups.
_GROUPS_BYTES = 1024


class Peer:
    """The other end of a connection. The kernel is asked for a user when one is read, and once.

    For one thread at a time, as the connection is.
    """

    __slots__ = ("_facts", "_host", "_socket")

    def __init__(self, client: socket.socket, host: str | None) -> None:
        """`host` is the address of an IP socket as accept(2) gave it; None for a Unix socket."""
        self._socket = client
        self._host = host
        self._facts: tuple[int | None, frozenset[int]] | None = None

    @property
    def is_unix(self) -> bool:
        return self._host is None

    @property
    def is_loopback(self) -> bool:
        """Whether the address is a loopback one, so that the other end is on this machine."""
        return self._host is not None and _parsed(self._host)[1]

    @property
    def address(self) -> str:
        """The address as text, IPv4 in its own form also on a socket of IPv6; `unix` on a Unix socket."""
        return "unix" if self._host is None else _parsed(self._host)[0]

    @property
    def uid(self) -> int | None:
        """The user whose process connected, on this machine only; None if that is not known.

        On a Unix socket, the effective user at the time of connect(2); on loopback, the one that created the socket.
        Raises OSError if there is no file descriptor or memory left to find out.
        """
        return self._ask()[0]

    @property
    def groups(self) -> frozenset[int]:
        """The groups of a process that connected to a Unix socket; none elsewhere, or if they are not known."""
        return self._ask()[1]

    def _ask(self) -> tuple[int | None, frozenset[int]]:
        if self._facts is None:
            self._facts = self._credentials() if self.is_unix else (self._owner(), frozenset())
        return self._facts

    def _owner(self) -> int | None:
        uid = owner_of_other_end(self._socket) if self.is_loopback else None
        return None if uid == _overflow("uid") else uid

    def _credentials(self) -> tuple[int | None, frozenset[int]]:
        try:
            data = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:  # closed meanwhile
            return None, frozenset()
        _, uid, gid = _UCRED.unpack(data)
        if uid in (_overflow("uid"), _NO_UID):
            return None, frozenset()
        return uid, (_peer_groups(self._socket, uid, gid) | {gid}) - {_overflow("gid")}


def _peer_groups(client: socket.socket, uid: int, gid: int) -> frozenset[int]:
    """Return the supplementary groups of the process; if there are too many to read, those of its user."""
    try:
        data = client.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        return _groups_of_user(uid, gid) if error.errno == errno.ERANGE else frozenset()
    return frozenset(struct.unpack(f"={len(data) // 4}I", data))


def _groups_of_user(uid: int, gid: int) -> frozenset[int]:
    try:
        return frozenset(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except (KeyError, OSError):
        return frozenset()


@lru_cache
def _parsed(host: str) -> tuple[str, bool]:
    """Return the address in its plain form, and whether it is a loopback one."""
    found = plain(host)
    return str(found), found.is_loopback


@cache
def _overflow(kind: str) -> int:
    """Return the uid or gid that the kernel shows for all those that Kala's user namespace does not have."""
    return int(Path(f"/proc/sys/kernel/overflow{kind}").read_text())
