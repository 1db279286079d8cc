"""The answers of the kernel about the owner of the other end of a connection, as bytes."""

import errno
import socket
import struct
import sys
from contextlib import closing
from itertools import chain

import pytest

from kala.server import sock_diag
from kala.server.sock_diag import End, end, is_not_found, owner_in_answer, owner_in_table, request

THERE, HERE = end("127.0.0.1", 40000), end("127.0.0.1", 8000)
THERE6, HERE6 = end("::1", 40000), end("::1", 8000)
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 4, 5, 6, 8, 10
OPEN = [ESTABLISHED, FIN_WAIT1, FIN_WAIT2]
MAPPED = bytes(10) + b"\xff\xff"


def answer(local=THERE, remote=HERE, *, state=ESTABLISHED, uid=1000, inode=77, mapped=False):
    """Return a message with struct inet_diag_msg."""
    addresses = [MAPPED + one.address if mapped else one.address.ljust(16, b"\0") for one in (local, remote)]
    family = socket.AF_INET6 if mapped or len(local.address) == 16 else socket.AF_INET
    body = (
        struct.pack("=BBBB", family, state, 0, 0)
        + struct.pack("!HH", local.port, remote.port)
        + b"".join(addresses)
        + struct.pack("=III", 0, 1, 2)
        + struct.pack("=IIIII", 0, 0, 0, uid, inode)
    )
    return struct.pack("=IHHII", 16 + len(body), 20, 0, 0, 0) + body


def refusal(number):
    return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -number) + bytes(16)


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("ends", [(THERE, HERE), (THERE6, HERE6)])
def test_an_open_socket_with_both_ends_has_an_owner(ends, state):
    assert owner_in_answer(answer(*ends, state=state), *ends) == 1000


def test_an_ipv6_socket_with_ipv4_addresses_has_an_owner():
    assert owner_in_answer(answer(mapped=True), THERE, HERE) == 1000


def test_root_is_an_owner():
    assert owner_in_answer(answer(uid=0), THERE, HERE) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"inode": 0, "uid": 0},
        {"inode": 0, "uid": 0, "state": FIN_WAIT2},
        {"state": TIME_WAIT, "inode": 0, "uid": 0},
        {"state": CLOSE_WAIT},
        {"state": LISTEN},
        {"local": end("127.0.0.1", 40001)},
        {"local": end("127.0.0.2", 40000)},
        {"remote": end("127.0.0.1", 8001)},
        {"local": THERE6, "remote": HERE6},
        {"local": HERE, "remote": THERE},
        {"local": End(bytes(4), 40000), "remote": End(bytes(4), 0), "state": LISTEN},
    ],
)
def test_another_or_a_closed_socket_tells_no_owner(other):
    assert owner_in_answer(answer(**other), THERE, HERE) is None


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPERM, errno.EINVAL])
def test_a_refusal_tells_no_owner(number):
    assert owner_in_answer(refusal(number), THERE, HERE) is None
    assert is_not_found(refusal(number)) is (number == errno.ENOENT)


def test_an_answer_is_not_a_refusal():
    assert not is_not_found(answer())


@pytest.mark.parametrize(("ends", "family"), [((THERE, HERE), socket.AF_INET), ((THERE6, HERE6), socket.AF_INET6)])
def test_a_request_is_for_one_socket_of_tcp(ends, family):
    asked = request(*ends)
    assert len(asked) == struct.unpack_from("=I", asked)[0] == 16 + 56
    assert struct.unpack_from("=HH", asked, 4) == (20, 1)
    assert struct.unpack_from("=BB", asked, 16) == (family, socket.IPPROTO_TCP)
    assert struct.unpack_from("!HH", asked, 24) == (40000, 8000)
    assert asked[28 : 28 + len(ends[0].address)] == ends[0].address
    assert asked[44 : 44 + len(ends[1].address)] == ends[1].address


def test_an_ipv4_mapped_address_is_an_ipv4_address():
    assert end("::ffff:127.0.0.1", 8000) == HERE
    assert end("fe80::1%lo", 1) == end("fe80::1", 1)


HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(local=THERE, remote=HERE, *, state=ESTABLISHED, uid=1000, inode=77, mapped=False):
    """Return a row of /proc/net/tcp or tcp6 on this machine."""

    def spell(one):
        address = MAPPED + one.address if mapped else one.address
        words = struct.unpack(f"={len(address) // 4}I", address)
        return "".join(f"{word:08X}" for word in words) + f":{one.port:04X}"

    text = f" 120: {spell(local)} {spell(remote)} {state:02X} 00000000:00000000 00:00000000 00000000 {uid:5d}"
    return f"{text}        0 {inode} 1 0000000000000000 20 4 30 10 -1\n".encode()


def table(*rows):
    return HEAD + b"".join(chain(rows))


@pytest.mark.skipif(sys.byteorder != "little", reason="a row as a little-endian machine shows it")
def test_the_rows_of_these_tests_are_like_those_of_the_kernel():
    known = b"0100007F:9C40 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 "
    assert known in row()
    assert b" 00000000000000000000000001000000:9C40 " in row(THERE6, HERE6)


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("ends", [(THERE, HERE), (THERE6, HERE6)])
def test_an_open_socket_in_a_table_has_an_owner(ends, state):
    others = [row(*reversed(ends), uid=1), row(end("127.0.0.1", 4000), HERE, uid=2)]
    assert owner_in_table(table(*others, row(*ends, state=state)), *ends) == 1000


def test_an_ipv6_socket_with_ipv4_addresses_in_a_table_has_an_owner():
    assert owner_in_table(table(row(mapped=True)), THERE, HERE) == 1000


@pytest.mark.parametrize(
    "other",
    [
        {"inode": 0, "uid": 0},
        {"state": TIME_WAIT, "inode": 0, "uid": 0},
        {"state": CLOSE_WAIT},
        {"state": LISTEN},
        {"local": end("127.0.0.1", 40001)},
        {"remote": end("127.0.0.2", 8000)},
        {"local": HERE, "remote": THERE},
    ],
)
def test_another_or_a_closed_socket_in_a_table_tells_no_owner(other):
    assert owner_in_table(table(row(**other)), THERE, HERE) is None


def test_a_table_without_the_socket_tells_no_owner():
    assert owner_in_table(HEAD, THERE, HERE) is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_shortage_is_told_and_not_taken_for_an_unknown_owner(number, monkeypatch):
    def fail(*_):
        raise OSError(number, "none left")

    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()), closing(listener.accept()[0]) as ours:
        monkeypatch.setattr(sock_diag.socket, "socket", fail)
        with pytest.raises(OSError, match="none left"):
            sock_diag.owner_of_other_end(ours)
