"""Which user owns the other end of a TCP connection within this machine: sock_diag(7), or else /proc/net/tcp.

An end that no process has open any more has no owner, though the kernel reports root's uid for it. Its inode is 0.
"""

import errno
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kala.server.addresses import plain

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_SO_NETNS_COOKIE = 71
# struct nlmsghdr; the beginnings of struct inet_diag_req_v2 and inet_diag_msg, before their struct inet_diag_sockid;
# what follows it in each: interface and cookie; interface, cookie, expires, rqueue, wqueue, uid and inode.
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_MESSAGE = struct.Struct("=BBxx")
_REQUEST_END = struct.Struct("=III")
_MESSAGE_END = struct.Struct("=12x12xII")
_NO_COOKIE = 0xFFFFFFFF
_ANSWER_BYTES = 4096

# TCP states (include/net/tcp_states.h). Our own end of a connection that is still open; and the other end, if it may
# also have half-closed. Not CLOSE_WAIT: the other end of a connection that we have closed keeps it for as long as it
# likes, while by a port that a firewall redirects to ours another client gets the same addresses for a new connection.
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT = 1, 4, 5, 8
_OUR_STATES = frozenset({_ESTABLISHED, _CLOSE_WAIT})
_THEIR_STATES = frozenset({_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2})

_TABLES = Path("/proc/self/net")
_MAPPED = bytes(10) + b"\xff\xff"


# What may be there again later, so that the owner is not unknown for the rest of the connection.
_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class End(NamedTuple):
    """An address, packed, of which an IPv4-mapped one is IPv4; and a port."""

    address: bytes
    port: int


def end(address: str, port: int) -> End:
    return End(plain(address).packed, port)


def owner_of_other_end(ours: socket.socket) -> int | None:
    """Return the uid of the user whose socket is connected to `ours`, both on loopback addresses; None if unknown.

    Raises OSError if there is no file descriptor or memory left to find out.
    """
    try:
        here, there = end(*ours.getsockname()[:2]), end(*ours.getpeername()[:2])
        try:
            uid = _ask_kernel(ours, there, here)
        except OSError as error:  # RestrictAddressFamilies= without AF_NETLINK, or a kernel without tcp_diag
            if error.errno in _SHORTAGES:
                raise
            uid = _search_tables(ours, there, here)
        # Afterwards: while our end is open, no other socket can have got the addresses and ports of the other one.
        is_open = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _OUR_STATES
    except OSError as error:
        if error.errno in _SHORTAGES:
            raise
        return None  # the connection was reset
    return uid if is_open else None


def _ask_kernel(ours: socket.socket, there: End, here: End) -> int | None:
    """Raises OSError if the kernel does not answer such questions."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        if not _have_same_network(ours, netlink):
            return None
        answer = _ask(netlink, there, here)
        if is_not_found(answer) and is_not_found(_ask(netlink, here, there)):
            raise OSError(errno.ENOENT, "sock_diag knows no TCP")  # or else it would know our own end
        return owner_in_answer(answer, there, here)


def _ask(netlink: socket.socket, local: End, remote: End) -> bytes:
    netlink.send(request(local, remote))
    return netlink.recv(_ANSWER_BYTES, socket.MSG_DONTWAIT)  # the kernel answers within send()


def _search_tables(ours: socket.socket, there: End, here: End) -> int | None:
    with socket.socket(socket.AF_UNIX) as any_socket:
        if not _have_same_network(ours, any_socket):
            return None
    uid = _search_each_table(there, here)
    # Root twice: a row is not atomic. If the socket is closed meanwhile, it can have an inode and already root's uid.
    return _search_each_table(there, here) if uid == 0 else uid


def _search_each_table(there: End, here: End) -> int | None:
    """A program that uses IPv6 sockets for all, as Java does, is in the table of IPv6 though its addresses are IPv4."""
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            uid = owner_in_table((_TABLES / name).read_bytes(), there, here)
            if uid is not None:
                return uid
    return None


def _have_same_network(ours: socket.socket, other: socket.socket) -> bool:
    """Return whether both are in one network namespace. A socket from systemd can be in another one than Kala."""
    try:
        cookies = [one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8) for one in (ours, other)]
    except OSError:  # before Linux 5.14; as nobody else is in a namespace of Kala's own, its sockets are no others'
        return True
    return cookies[0] == cookies[1]


def request(local: End, remote: End) -> bytes:
    """Return the netlink message that asks for the one TCP socket with these ends."""
    family = socket.AF_INET if len(local.address) == 4 else socket.AF_INET6
    body = (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + _ports(local, remote)
        + _padded(local.address)
        + _padded(remote.address)
        + _REQUEST_END.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body


def is_not_found(answer: bytes) -> bool:
    """Return whether the answer says that there is no such socket, or no such kind of sockets."""
    _, kind, *_ = _HEADER.unpack_from(answer)
    return bool(kind == _NLMSG_ERROR and struct.unpack_from("=i", answer, _HEADER.size)[0] == -errno.ENOENT)


def owner_in_answer(answer: bytes, local: End, remote: End) -> int | None:
    """Return the uid in the answer to a request for these ends; None if that is no open socket with them.

    If no socket has both ends, the kernel answers with one that listens at the local one.
    """
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return None
    _, state = _MESSAGE.unpack_from(answer, _HEADER.size)
    place = _HEADER.size + _MESSAGE.size
    ends, place = answer[place : place + 36], place + 36
    uid, inode = _MESSAGE_END.unpack_from(answer, place)
    # An IPv6 socket with IPv4 addresses is reported with mapped ones.
    known = [
        _ports(local, remote) + b"".join(form(one.address) for one in (local, remote)) for form in (_padded, _ipv6)
    ]
    return uid if ends in known and state in _THEIR_STATES and inode else None


def owner_in_table(table: bytes, local: End, remote: End) -> int | None:
    """Return the uid in the row of /proc/net/tcp or tcp6 with these ends; None if no open socket has them."""
    for form in (bytes, _ipv6):
        words = b" ".join(_in_table(form(one.address), one.port) for one in (local, remote))
        place = table.find(b" %b " % words)
        if place >= 0:
            fields = table[place : table.find(b"\n", place)].split()
            state, uid, inode = int(fields[2], 16), int(fields[6]), int(fields[8])
            return uid if state in _THEIR_STATES and inode else None
    return None


def _ports(local: End, remote: End) -> bytes:
    return struct.pack("!HH", local.port, remote.port)


def _padded(address: bytes) -> bytes:
    return address.ljust(16, b"\0")


def _ipv6(address: bytes) -> bytes:
    return address if len(address) == 16 else _MAPPED + address


def _in_table(address: bytes, port: int) -> bytes:
    """Spell an end as the tables do: each word of four bytes as a number of this machine, and the port as a number."""
    words = (int.from_bytes(address[at : at + 4], sys.byteorder) for at in range(0, len(address), 4))
    return b"%b:%04X" % (b"".join(b"%08X" % word for word in words), port)
