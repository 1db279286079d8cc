"""The users of this machine, as the kernel knows them at the other end of a connection."""

import grp
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kala.core.caller import Caller, Role, highest
from kala.server.peer import Peer

_ROOT = 0


class Peers:
    """Which users of this machine have which role."""

    def __init__(self, roles: Mapping[Role, Sequence[str]]) -> None:
        """`roles` has the users and the @groups with each role on the Unix socket."""
        self._roles = roles

    def caller(self, peer: Peer) -> Caller | None:
        """Return who is at the other end, None if that is not known or has no role.

        Kala's own user is an administrator, since it can read and write the database; so is root on the Unix socket.
        On loopback only Kala's own user counts: many services of root can be made to send requests.
        """
        if peer.is_unix:
            return self._on_socket(peer)
        if peer.is_loopback and peer.uid == os.geteuid():
            return Caller("local", Role.ADMIN)
        return None

    def _on_socket(self, peer: Peer) -> Caller | None:
        uid = peer.uid
        if uid is None:
            return None
        if uid in (_ROOT, os.geteuid()):
            return Caller(f"peer:{user_name(uid)}", Role.ADMIN)
        if not self._roles:
            return None
        names = {user_name(uid), *(f"@{name}" for name in _group_names(peer.groups))}
        role = highest(role for role, given in self._roles.items() if not names.isdisjoint(given))
        return Caller(f"peer:{user_name(uid)}", role) if role else None


def unknown_names(names: Iterable[str]) -> list[str]:
    """Return those of some users and @groups that this machine does not have; a number is of one without a name."""
    return [name for name in names if not (name.removeprefix("@").isdecimal() or _exists(name))]


def _exists(name: str) -> bool:
    try:
        if name.startswith("@"):
            grp.getgrnam(name[1:])
        else:
            pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, or the number if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_names(groups: frozenset[int]) -> Iterator[str]:
    for gid in groups:
        try:
            yield grp.getgrgid(gid).gr_name
        except KeyError:
            yield str(gid)
