"""The other end of real connections, as the kernel knows it."""

import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from raw_http import GET, PATIENCE, answer

from kala.server import peer, sock_diag
from kala.server.listener import SocketFile, listen
from kala.server.peer import Peer

ME = os.geteuid()
SOMEBODY = 64321
ROOT = pytest.mark.skipif(ME != 0, reason="only root can connect as another user")
LOOPBACK = ["127.0.0.1", "127.0.0.9", "::1"]
# Become somebody, connect to an address or a path, say so, and wait for the end of the input.
CONNECT = f"""
import ast, os, socket, sys
os.setgroups([64323, 64324])
os.setgid(64322)
os.setuid({SOMEBODY})
address = ast.literal_eval(sys.argv[1])
family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
with socket.socket(family) as client:
    client.connect(address)
    print("connected", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def accept(after):
    """Accept a connection of this process, or of the given client that connects by itself, and return its peer."""

    def from_client(listener, connect=None):
        address = listener.getsockname()
        if connect:
            connect(address)
        else:
            after.enter_context(socket.socket(listener.family)).connect(address)
        client, address = listener.accept()
        after.enter_context(client)
        return Peer(client, None if listener.family == socket.AF_UNIX else address[0]), client

    return from_client


@pytest.fixture
def as_somebody(after):
    """Connect in a process of another user."""

    def connect(address):
        command = [sys.executable, "-c", CONNECT, repr(address)]
        process = after.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        after.callback(process.stdin.close)
        assert process.stdout.readline() == b"connected\n"

    return connect


@pytest.fixture(params=["netlink", "tables"])
def way(request, monkeypatch):
    """Ask the kernel, or have it refuse netlink, as RestrictAddressFamilies= does."""
    if request.param == "tables":
        made = socket.socket

        def refuse(family=-1, *args, **options):
            if family == socket.AF_NETLINK:
                raise OSError(97, "Address family not supported by protocol")
            return made(family, *args, **options)

        monkeypatch.setattr(sock_diag.socket, "socket", refuse)
    return request.param


def listening(after, host="127.0.0.1"):
    return after.enter_context(listen(host, 0))


# Loopback


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("host", LOOPBACK)
def test_the_owner_of_a_loopback_connection_is_known(accept, after, host):
    known, _ = accept(listening(after, host))
    assert (known.is_loopback, known.is_unix) == (True, False)
    assert (known.uid, known.groups) == (ME, frozenset())


@ROOT
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("host", LOOPBACK)
def test_a_loopback_connection_of_another_user_is_that_users(accept, after, as_somebody, host):
    known, _ = accept(listening(after, host), as_somebody)
    assert known.uid == SOMEBODY


@pytest.mark.usefixtures("way")
def test_an_ipv4_client_of_a_socket_for_ipv6_and_ipv4_is_known(accept, after):
    listener = after.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
    port = listener.getsockname()[1]
    known, _ = accept(
        listener, lambda _: after.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
    )
    assert (known.address, known.is_loopback, known.uid) == ("127.0.0.1", True, ME)


@pytest.mark.usefixtures("way")
def test_an_ipv6_socket_that_connects_to_an_ipv4_address_is_known(accept, after):
    listener = listening(after)

    def connect(address):
        client = after.enter_context(socket.socket(socket.AF_INET6))
        client.connect((f"::ffff:{address[0]}", address[1]))

    known, _ = accept(listener, connect)
    assert (known.address, known.uid) == ("127.0.0.1", ME)


@pytest.mark.usefixtures("way")
def test_a_client_that_has_half_closed_its_connection_is_known(accept, after):
    client = after.enter_context(socket.socket())

    def connect(address):
        client.connect(address)
        client.shutdown(socket.SHUT_WR)

    known, _ = accept(listening(after), connect)
    assert known.uid == ME


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("linger", [b"", struct.pack("ii", 1, 0)], ids=["closed", "reset"])
def test_a_client_that_has_closed_its_connection_is_not_taken_for_root(accept, after, linger):
    client = socket.socket()

    def connect(address):
        client.connect(address)
        client.sendall(GET)
        if linger:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()

    known, _ = accept(listening(after), connect)
    assert known.uid is None


@pytest.mark.usefixtures("way")
def test_a_client_whose_connection_we_have_closed_is_not_known(accept, after):
    client = after.enter_context(socket.socket())
    known, ours = accept(listening(after), client.connect)
    ours.shutdown(socket.SHUT_WR)
    assert known.uid is None


@pytest.mark.usefixtures("way")
def test_a_new_client_with_the_port_of_an_earlier_one_is_not_taken_for_it(accept, after):
    listener = listening(after)
    earlier = socket.socket()
    earlier.bind(("127.0.0.1", 0))
    port = earlier.getsockname()[1]
    known, _ = accept(listener, earlier.connect)
    earlier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    earlier.close()
    later = after.enter_context(socket.socket())
    later.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    later.bind(("127.0.0.1", port))
    again, _ = accept(listener, later.connect)
    assert (known.uid, again.uid) == (None, ME)


def test_the_kernel_is_asked_once_for_each_connection(accept, after, monkeypatch):
    asked = []
    monkeypatch.setattr(peer, "owner_of_other_end", asked.append)
    known, _ = accept(listening(after))
    assert not asked
    assert [known.uid, known.uid, known.groups] == [None, None, frozenset()]
    assert len(asked) == 1


@pytest.mark.parametrize("way_of_kernel", ["no netlink", "no tcp_diag"])
def test_a_kernel_that_answers_nothing_about_tcp_leaves_the_tables(accept, after, monkeypatch, way_of_kernel):
    def fail(*_):
        if way_of_kernel == "no netlink":
            raise OSError(97, "Address family not supported by protocol")
        return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -2) + bytes(16)

    monkeypatch.setattr(sock_diag, "_ask", fail)
    known, _ = accept(listening(after))
    assert known.uid == ME


def test_a_row_that_changes_while_it_is_read_is_not_believed(accept, after, monkeypatch):
    rows = iter([0, None])
    monkeypatch.setattr(sock_diag, "_ask_kernel", lambda *_: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(sock_diag, "_search_each_table", lambda *_: next(rows))
    known, _ = accept(listening(after))
    assert known.uid is None


@pytest.mark.usefixtures("way")
def test_a_socket_of_another_network_namespace_has_no_known_owner(accept, after, monkeypatch):
    known, ours = accept(listening(after))
    monkeypatch.setattr(sock_diag, "_have_same_network", lambda one, _: one is not ours)
    assert known.uid is None


def test_where_the_kernel_has_no_cookies_of_namespaces_there_is_one_network(after):
    one, other = (after.enter_context(made) for made in socket.socketpair())
    assert sock_diag._have_same_network(one, other)
    one.close()
    assert sock_diag._have_same_network(one, other)


@ROOT
@pytest.mark.usefixtures("way")
def test_a_listener_from_another_network_namespace_is_noticed(after):
    """As with socket activation and PrivateNetwork=yes: the same addresses are others' there."""
    program = """
import socket, sys
sys.path[:0] = sys.argv[1:]
from kala.server.listener import listen
made = listen("127.0.0.1", 0)
client = socket.create_connection(made.getsockname())
ours, _ = made.accept()
there = socket.socket(fileno=0)
socket.send_fds(there, [b"x"], [ours.fileno()])
there.recv(1)
"""
    here, there = (after.enter_context(one) for one in socket.socketpair())
    enter = ["unshare", "--net", "sh", "-c", 'ip link set lo up 2>/dev/null || exit 3; exec "$@"', "sh"]
    with subprocess.Popen([*enter, sys.executable, "-c", program, *sys.path], stdin=there) as process:
        there.close()
        _, fds, _, _ = socket.recv_fds(here, 1, 1)
        if not fds and process.wait(PATIENCE) == 3:
            pytest.skip("there is no ip(8)")
        ours = after.enter_context(socket.socket(fileno=fds[0]))
        known = Peer(ours, ours.getpeername()[0])
        assert (known.is_loopback, known.uid) == (True, None)
        here.close()


@ROOT
def test_users_whom_kalas_user_namespace_does_not_have_are_not_known(accept, after, as_somebody, monkeypatch):
    monkeypatch.setattr(peer, "_overflow", lambda kind: {"uid": SOMEBODY, "gid": 64324}[kind])
    assert accept(listening(after), as_somebody)[0].uid is None


def test_a_lookup_costs_at_most_100_microseconds(accept, after):
    _, ours = accept(listening(after))
    assert sock_diag.owner_of_other_end(ours) == ME
    times = []
    for _ in range(50):
        began = time.process_time()
        for _ in range(10):
            Peer(ours, "127.0.0.1").uid  # noqa: B018  the question is its cost
        times.append((time.process_time() - began) / 10)
    assert min(times) <= 100e-6


# Other machines


def test_the_owner_of_a_connection_from_another_machine_is_not_asked(after, monkeypatch):
    monkeypatch.setattr(peer, "owner_of_other_end", None)
    known = Peer(after.enter_context(socket.socket()), "192.0.2.1")
    assert (known.address, known.is_loopback, known.uid) == ("192.0.2.1", False, None)


@pytest.mark.parametrize(
    ("host", "address", "is_loopback"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.8.8", "127.8.8.8", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", False),
        ("fe80::1%eth0", "fe80::1", False),
        ("2001:db8::1", "2001:db8::1", False),
    ],
)
def test_an_address_is_in_its_shortest_form(after, host, address, is_loopback):
    known = Peer(after.enter_context(socket.socket()), host)
    assert (known.address, known.is_loopback, known.is_unix) == (address, is_loopback, False)


# Unix sockets


@pytest.fixture
def file(after, tmp_path):
    opened = SocketFile(tmp_path / "kala.sock", "no such group")
    return after.enter_context(opened.socket)


def test_a_client_of_a_unix_socket_is_known_with_its_groups(accept, file):
    known, _ = accept(file)
    assert (known.address, known.is_unix, known.is_loopback) == ("unix", True, False)
    assert known.uid == ME
    assert known.groups == frozenset({os.getegid(), *os.getgroups()})


def test_a_client_of_a_unix_socket_that_has_gone_is_known(accept, file):
    def connect(path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    assert accept(file, connect)[0].uid == ME


@ROOT
def test_a_client_of_a_unix_socket_has_its_users_supplementary_groups(accept, file, as_somebody, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "kala.sock").chmod(0o666)
    known, _ = accept(file, as_somebody)
    assert known.uid == SOMEBODY
    assert known.groups == {64322, 64323, 64324}


@ROOT
def test_with_more_groups_than_python_reads_those_of_the_user_are_taken(accept, file, monkeypatch):
    before = os.getgroups()
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 4711] if name == "root" else [])
    try:
        os.setgroups(range(70000, 70300))
        known, _ = accept(file)
    finally:
        os.setgroups(before)
    assert known.groups == {os.getegid(), 4711}


def test_a_user_without_a_name_has_no_more_groups(monkeypatch):
    monkeypatch.setattr(peer.pwd, "getpwuid", {}.__getitem__)
    assert peer._groups_of_user(SOMEBODY, SOMEBODY) == frozenset()


def test_users_and_groups_that_the_namespace_does_not_have_are_left_out(accept, file, monkeypatch):
    monkeypatch.setattr(peer, "_overflow", lambda kind: ME if kind == "uid" else -1)
    known, _ = accept(file)
    assert (known.uid, known.groups) == (None, frozenset())
    monkeypatch.setattr(peer, "_overflow", lambda kind: os.getegid() if kind == "gid" else -1)
    known, _ = accept(file)
    assert known.uid == ME
    assert os.getegid() not in known.groups


def test_a_closed_unix_socket_tells_nobody(accept, file):
    known, ours = accept(file)
    ours.close()
    assert (known.uid, known.groups) == (None, frozenset())


# In the server


def who(environ, start_response):
    known = environ["kala.peer"]
    return answer(start_response, "200 OK", [known.address, known.uid, id(known)])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_application_gets_the_peer_of_its_connection(serve, connect, kind, tmp_path):
    listener = SocketFile(tmp_path / "kala.sock", "no such group").socket if kind == "unix" else None
    client = connect(serve(who, listener=listener))
    first, second = (client.ask(GET).body for _ in range(2))
    assert first == second
    assert first.startswith(f'["{"unix" if kind == "unix" else "127.0.0.1"}", {ME}, '.encode())
