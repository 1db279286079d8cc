"""Binding the listening socket, and accepting connections from it."""

import errno
import grp
import os
import socket
import stat
import threading
import time
from types import SimpleNamespace

import pytest
from raw_http import GET, LONG, PATIENCE, SHORT

from kala.core.errors import Conflict, Invalid
from kala.server.listener import SocketFile, listen


def test_port_zero_takes_a_free_port_and_address_has_it(serve, connect):
    started = serve()
    host, port = started.address
    assert host == "127.0.0.1"
    assert port > 0
    assert connect(started).ask(GET).status == 200


def test_it_listens_on_ipv6(serve, connect):
    try:
        listener = listen("::1", 0)
    except Invalid:
        pytest.skip("this machine has no IPv6")
    assert connect(serve(listener=listener)).ask(GET).status == 200


def test_it_serves_a_unix_socket_that_is_bound_already(serve, connect, tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "kala.sock"))
    listener.listen()
    started = serve(listener=listener)
    assert started.address == (str(tmp_path / "kala.sock"), 0)
    assert connect(started).ask(GET).status == 200


def opened_for(group, path, after):
    """Return the mode of the file of a socket for this group, and the file's group."""
    after.enter_context(SocketFile(path, group).socket)
    found = path.stat()
    return stat.filemode(found.st_mode), found.st_gid


def test_the_file_of_a_socket_is_for_the_user_and_the_group(tmp_path, after):
    mine = grp.getgrgid(os.getegid())
    assert opened_for(mine.gr_name, tmp_path / "kala.sock", after) == ("srw-rw----", mine.gr_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to any group")
def test_the_group_need_not_be_one_of_a_kala_that_is_root(tmp_path, after):
    other = grp.getgrnam("daemon")
    assert opened_for(other.gr_name, tmp_path / "kala.sock", after) == ("srw-rw----", other.gr_gid)


def test_without_such_a_group_the_file_is_for_the_user_alone(tmp_path, after):
    assert opened_for("no such group", tmp_path / "kala.sock", after)[0] == "srw-------"


def test_a_group_that_this_user_is_not_in_is_not_let_in(tmp_path, after, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("kala.server.listener.os.chown", refuse)
    assert opened_for("daemon", tmp_path / "kala.sock", after)[0] == "srw-------"


def test_it_uses_its_listener_even_if_listen_fds_names_another(serve, connect, monkeypatch):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert connect(serve()).ask(GET).status == 200


def test_a_port_in_use_is_refused_with_the_address_and_the_reason(after):
    port = after.enter_context(listen("127.0.0.1", 0)).getsockname()[1]
    with pytest.raises(Conflict, match=rf"^interface: cannot listen on 127\.0\.0\.1:{port}: Address already in use; "):
        listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("interface", "port", "said"),
    [
        ("203.0.113.1", 80, "203.0.113.1:80: Cannot assign requested address; "),
        ("2001:db8::1", 80, "[2001:db8::1]:80: "),
        ("no such host", 80, "no such host:80: Name or service not known; "),
        ("a..b", 80, "a..b:80: "),
        ("127.0.0.1", 70000, "127.0.0.1:70000: "),
    ],
)
def test_an_address_that_cannot_be_bound_is_refused_in_a_sentence(interface, port, said):
    with pytest.raises(Invalid) as refused:
        listen(interface, port)
    assert str(refused.value).startswith(f"interface: cannot listen on {said}")


def test_a_port_can_be_bound_again_right_after_a_stop(serve, connect):
    first = serve()
    connect(first).ask(GET)
    first.stop(PATIENCE)
    assert connect(serve(listener=listen(*first.address))).ask(GET).status == 200


class RecordingListener(socket.socket):
    """A listener that shows the sockets that it accepts."""

    def accept(self):
        self.accepted, address = super().accept()
        return self.accepted, address


def test_an_accepted_connection_has_tcp_nodelay(serve, connect):
    listener = RecordingListener(fileno=listen("127.0.0.1", 0).detach())
    connect(serve(listener=listener)).ask(GET)
    assert listener.accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_connection_from_before_the_start_has_tcp_nodelay(serve, connect):
    listener = RecordingListener(fileno=listen("127.0.0.1", 0).detach())
    early = connect(SimpleNamespace(address=listener.getsockname()))
    serve(listener=listener)
    assert early.ask(GET).status == 200
    assert listener.accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class StarvedListener(socket.socket):
    """A listener whose accept() fails with EMFILE, five times before each connection."""

    refusals = 5

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.starved = threading.Event()

    def accept(self):
        if self.refusals:
            self.starved.set()
            self.refusals -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        accepted = super().accept()
        self.refusals = type(self).refusals
        return accepted


def test_running_out_of_file_descriptors_delays_new_connections_and_is_logged_once(serve, connect, log, monkeypatch):
    monkeypatch.setattr("kala.server.listener._PAUSE", 0.01)
    listener = StarvedListener(fileno=listen("127.0.0.1", 0).detach())
    started = serve(listener=listener)
    for _ in range(3):
        assert connect(started).ask(GET).status == 200
    assert [record.getMessage() for record in log.records] == [
        "cannot accept new connections at the moment: [Errno 24] Too many open files"
    ]


@pytest.mark.parametrize("hours", [-1, 1])
def test_idle_connections_are_closed_in_time_even_if_the_wall_clock_is_set(serve, connect, monkeypatch, hours):
    client = connect(serve(idle_timeout=SHORT))
    assert client.ask(GET).status == 200
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
    assert client.ask(GET).status == 200
    assert client.is_closed()


def test_open_connections_are_served_at_once_while_no_file_descriptor_is_left_for_new_ones(serve, connect, monkeypatch):
    monkeypatch.setattr("kala.server.listener._PAUSE", LONG)
    listener = StarvedListener(fileno=listen("127.0.0.1", 0).detach())
    listener.refusals = 0
    started = serve(listener=listener)
    client = connect(started)
    assert client.ask(GET).status == 200
    listener.refusals = 1
    connect(started)
    assert listener.starved.wait(PATIENCE)
    began = time.monotonic()
    for _ in range(20):
        assert client.ask(GET).status == 200
    assert time.monotonic() - began < LONG / 2


def test_a_server_that_pauses_accepting_can_be_stopped(serve, connect, monkeypatch):
    monkeypatch.setattr("kala.server.listener._PAUSE", LONG)
    listener = StarvedListener(fileno=listen("127.0.0.1", 0).detach())
    started = serve(listener=listener)
    connect(started)
    assert listener.starved.wait(PATIENCE)
    began = time.monotonic()
    started.stop(PATIENCE)
    assert time.monotonic() - began < LONG / 2


class BrokenListener(socket.socket):
    """A listener whose accept() raises an unexpected error once."""

    broken = True

    def accept(self):
        if self.broken:
            self.broken = False
            raise RuntimeError("unexpected")
        return super().accept()


def test_an_unexpected_error_in_the_watching_thread_is_logged_and_does_not_end_it(serve, connect, log):
    listener = BrokenListener(fileno=listen("127.0.0.1", 0).detach())
    assert connect(serve(listener=listener)).ask(GET).status == 200
    assert [record.getMessage() for record in log.records] == ["error in the HTTP server; it keeps running"]
