"""The HTTP server, with any application."""

import contextlib
import errno
import http.client
import json
import logging
import os
import resource
import socket
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kala.core.errors import Busy, Conflict, Invalid
from kala.core.limits import HEAD_BYTES
from kala.server import connection, watcher
from kala.server.body import BodyTooLarge, read_body
from kala.server.connections import Connections
from kala.server.listener import listen
from kala.server.server import Server

PATIENCE = 5  # How long a test waits for what must happen. A test that passes does not wait so long.
SHORT = 0.25  # An idle timeout that a test waits for.
LONG = 60  # An idle timeout that no test reaches.
GET = b"GET / HTTP/1.1\r\nHost: kala\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: kala\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MAX_BODY = 1000


def answer(start_response, status, body, *headers):
    data = json.dumps(body).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers])
    return [data]


def echo(environ, start_response):
    """An application like Kala's: it reads the whole body, and responds with 400 or 413 if that is invalid."""
    try:
        body = read_body(environ).decode("latin-1")
    except BodyTooLarge as error:
        return answer(start_response, "413 Content Too Large", {"error": str(error)})
    except Invalid as error:
        return answer(start_response, "400 Bad Request", {"error": str(error)})
    except Busy as error:
        return answer(start_response, "503 Service Unavailable", {"error": str(error)})
    what = {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "body": body}
    return answer(start_response, "200 OK", what)


def ignore_body(_environ, start_response):
    return answer(start_response, "200 OK", "read nothing")


class Gate:
    """An application that blocks a request to /wait until the gate opens; others get a response at once."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.waited = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            self.waited += 1
            self.entered.release()
            self.open.wait(LONG)
        return answer(start_response, "200 OK", "x" * 500_000)


class Client:
    """A client that sends exactly what it is told, and reads one response at a time."""

    def __init__(self, address):
        family = socket.AF_UNIX if address[1] == 0 else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.file = self.socket.makefile("rb")
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address[0] if family == socket.AF_UNIX else address)
        except OSError:
            self.close()
            raise

    def ask(self, data, method="GET"):
        self.socket.sendall(data)
        return self.answer(method)

    def answer(self, method="GET"):
        version, status, reason = self.file.readline().decode().rstrip().split(" ", 2)
        headers = http.client.parse_headers(self.file)
        return SimpleNamespace(
            version=version, status=int(status), reason=reason, headers=headers, body=self._body(method, headers)
        )

    def _body(self, method, headers):
        if method == "HEAD" or "Content-Length" not in headers:
            return b""
        return self.file.read(int(headers["Content-Length"]))

    def is_closed(self):
        """Wait until the server closes the connection; return False if it sends something instead."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def after():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(after):
    def start(app=echo, listener=None, **options):
        options = {"threads": 1, "max_body": MAX_BODY, "idle_timeout": LONG} | options
        started = Server(app, listener or listen("127.0.0.1", 0), **options)
        after.callback(started.stop, PATIENCE)
        started.start()
        return started

    return start


@pytest.fixture
def connect(after):
    def to(started):
        client = Client(started.address)
        after.callback(client.close)
        return client

    return to


@pytest.fixture
def gate():
    """A gate that opens at the end of the test, so that no worker stays blocked."""
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def log(caplog):
    """All warnings, those of the HTTP server among them."""
    caplog.set_level(logging.WARNING)
    return caplog


def in_background(after, call, *args):
    thread = threading.Thread(target=call, args=args, daemon=True)
    after.callback(thread.join, PATIENCE)
    thread.start()
    return thread


def until_refused(started):
    """Wait until the server listens no longer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(started.address):
            continue
        return
    pytest.fail("it still listens")


def threads_named(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


# Listening


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


# Clients that are slow, and workers that never wait for them


def test_fifty_silent_connections_do_not_delay_a_request(serve, connect):
    started = serve(threads=1)
    silent = [connect(started) for _ in range(50)]
    assert connect(started).ask(GET).status == 200
    assert silent[0].ask(GET).status == 200


@pytest.mark.parametrize("half", [b"G", b"GET / HT", GET[:-2], GET[:-1], b"\r\n"])
def test_fifty_connections_that_stop_within_a_head_do_not_delay_a_request(serve, connect, half):
    started = serve(threads=1)
    for _ in range(50):
        connect(started).socket.sendall(half)
    assert connect(started).ask(GET).status == 200


def test_a_head_may_arrive_in_pieces_while_other_requests_are_served(serve, connect):
    started = serve(threads=1)
    slow = connect(started)
    for piece in (GET[:5], GET[5:20], GET[20:-1]):
        slow.socket.sendall(piece)
        assert connect(started).ask(GET).status == 200
    assert slow.ask(GET[-1:]).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET[:-2], GET + b"GET /"])
def test_a_connection_without_a_complete_request_is_closed_after_the_idle_timeout(serve, connect, sent):
    client = connect(serve(idle_timeout=SHORT))
    client.socket.sendall(sent)
    if sent.startswith(GET):
        client.answer()
    assert client.is_closed()


def test_five_hundred_idle_keep_alive_connections_do_not_hinder_a_request(serve, connect):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    started = serve(threads=1)
    idle = [connect(started) for _ in range(500)]
    for client in idle:
        assert "Connection" not in client.ask(GET).headers
    assert connect(started).ask(GET).status == 200
    assert idle[0].ask(GET).status == 200


def test_when_nearly_all_connections_wait_one_closes_after_its_answer(serve, connect):
    started = serve(connections=Connections(6))
    clients = [connect(started) for _ in range(6)]
    assert clients[-1].ask(GET).headers["Connection"] == "close"
    assert clients[-1].is_closed()


# Limits of connections and bytes


def test_at_the_limit_a_new_connection_replaces_the_one_that_was_silent_longest(serve, connect, log):
    started = serve(connections=Connections(4))
    silent = [connect(started) for _ in range(4)]
    new = [connect(started) for _ in range(2)]
    assert [client.is_closed() for client in silent[:2]] == [True, True]
    assert [client.ask(GET).status for client in new + silent[2:]] == [200] * 4
    assert [record.getMessage() for record in log.records] == [
        "4 connections are open, which is the limit; closing the oldest idle one"
    ]


def test_a_connection_that_sends_a_head_bytewise_still_counts_as_the_oldest(serve, connect):
    started = serve(connections=Connections(8))
    slow = connect(started)
    for place in range(7):
        slow.socket.sendall(GET[place : place + 1])
        connect(started)
    connect(started)
    assert slow.is_closed()


def test_at_the_limit_without_a_silent_connection_new_ones_wait(serve, connect, gate, monkeypatch):
    monkeypatch.setattr("kala.server.listener._PAUSE", 0.01)
    started = serve(gate, threads=2, connections=Connections(2))
    busy = [connect(started) for _ in range(2)]
    for client in busy:
        client.socket.sendall(GET.replace(b"/", b"/wait", 1))
        assert gate.entered.acquire(timeout=PATIENCE)
    waiting = connect(started)
    waiting.socket.sendall(GET)
    gate.open.set()
    assert [client.answer().status for client in (*busy, waiting)] == [200] * 3


def test_one_address_of_another_machine_cannot_take_all_connections(serve, connect, monkeypatch):
    far = iter(["192.0.2.1"] * 5 + [None] * 2)
    monkeypatch.setattr(watcher, "origin_of", lambda _: next(far))
    started = serve(connections=Connections(8))
    flood = [connect(started) for _ in range(5)]
    local = [connect(started) for _ in range(2)]
    assert [client.ask(GET).status for client in local] == [200, 200]
    assert [client.is_closed() for client in flood[:3]] == [True] * 3
    assert [client.ask(GET).status for client in flood[3:]] == [200, 200]


def test_the_bytes_of_unfinished_heads_are_limited(serve, connect):
    connections = Connections(100, bytes_limit=300_000)
    started = serve(connections=connections)
    head = GET[:-2] + b"A: " + b"x" * 60_000
    slow = [connect(started) for _ in range(20)]
    for client in slow:
        client.socket.sendall(head)
    assert all(client.is_closed() for client in slow[:15])
    assert slow[-1].ask(b"\r\n\r\n").status == 200
    assert not connections.has_too_many_bytes


def test_above_the_limit_of_bytes_the_oldest_body_gets_503(serve, connect):
    started = serve(max_body=100_000, connections=Connections(100, bytes_limit=250_000))
    bodies = [connect(started) for _ in range(4)]
    for client in bodies:
        client.socket.sendall(POST + b"Content-Length: 90000\r\n\r\n" + b"x" * 80_000)
    answered = bodies[0].answer()
    assert answered.status == 503
    assert json.loads(answered.body)["error"] == "too many unfinished requests; try again later"
    assert [client.ask(b"x" * 10_000).status for client in bodies[1:]] == [200] * 3


def test_clients_that_send_or_read_slowly_occupy_no_worker(serve, connect):
    started = serve(threads=1, max_body=10_000_000)
    for _ in range(16):
        connect(started).socket.sendall(POST + b"Content-Length: 9\r\n\r\na")
    large = POST + b"Content-Length: 9000000\r\n\r\n" + b"x" * 9_000_000
    for _ in range(4):
        connect(started).socket.sendall(large)
    assert connect(started).ask(GET).status == 200


def test_a_body_has_a_deadline_even_if_parts_of_it_arrive_all_the_time(serve, connect, monkeypatch):
    monkeypatch.setattr(connection, "BODY_SECONDS", SHORT)
    client = connect(serve(idle_timeout=1))
    client.socket.sendall(POST + b"Content-Length: 1000\r\n\r\n")
    began = time.monotonic()
    client.socket.settimeout(0.02)
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < PATIENCE:
            client.socket.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                assert client.socket.recv(12) == b"HTTP/1.1 400"
                break
    assert time.monotonic() - began < 1


def test_a_response_that_is_read_slowly_keeps_the_connection(serve, connect, gate):
    client = connect(serve(gate, threads=1))
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(3):
        answered = client.ask(GET)
        assert "Connection" not in answered.headers
        assert len(json.loads(answered.body)) == 500_000


def test_pipelined_requests_with_large_responses_are_answered_in_order(serve, connect, gate):
    client = connect(serve(gate, threads=2))
    client.socket.sendall(GET * 5)
    client.socket.shutdown(socket.SHUT_WR)
    assert [len(json.loads(client.answer().body)) for _ in range(5)] == [500_000] * 5
    assert client.is_closed()


def test_a_blocked_handler_does_not_delay_others(serve, connect, gate):
    started = serve(gate, threads=2)
    connect(started).socket.sendall(GET.replace(b"/", b"/wait", 1))
    assert gate.entered.acquire(timeout=PATIENCE)
    for _ in range(5):
        assert connect(started).ask(GET).status == 200


def test_when_every_worker_is_blocked_requests_wait(serve, connect, gate):
    started = serve(gate, threads=2)
    blocked = [connect(started) for _ in range(2)]
    for client in blocked:
        client.socket.sendall(GET.replace(b"/", b"/wait", 1))
        assert gate.entered.acquire(timeout=PATIENCE)
    waiting = [connect(started) for _ in range(10)]
    for client in waiting:
        client.socket.sendall(GET)
    gate.open.set()
    assert [client.answer().status for client in blocked + waiting] == [200] * 12


# Starting and stopping


def test_stop_waits_for_a_request_in_flight_and_its_whole_response(serve, connect, gate, after):
    started = serve(gate)
    idle, busy = connect(started), connect(started)
    idle.ask(GET)
    busy.socket.sendall(GET.replace(b"/", b"/wait", 1))
    assert gate.entered.acquire(timeout=PATIENCE)
    stopping = in_background(after, started.stop, PATIENCE)
    assert idle.is_closed()  # the stop has begun
    gate.open.set()
    answered = busy.answer()
    assert answered.headers["Connection"] == "close"
    assert len(json.loads(answered.body)) == 500_000
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_a_client_that_connected_before_a_stop_may_still_send_its_first_request(serve, connect, after):
    started = serve()
    new, idle = connect(started), connect(started)
    idle.ask(GET)
    stopping = in_background(after, started.stop, PATIENCE)
    until_refused(started)  # the stop has begun
    answered = new.ask(GET)
    assert (answered.status, answered.headers["Connection"]) == (200, "close")
    stopping.join(PATIENCE)
    assert idle.is_closed()


def test_stop_waits_a_second_at_most_for_clients_that_send_no_request(serve, connect):
    started = serve()
    silent = connect(started)
    connect(started).ask(GET)  # the connection before was accepted, too
    began = time.monotonic()
    started.stop(PATIENCE)
    assert time.monotonic() - began < 1.5
    assert silent.is_closed()


def test_clients_that_connect_after_a_stop_wait_in_a_listener_that_another_process_holds(serve, connect):
    listener = listen("127.0.0.1", 0)
    with listener.dup() as held:
        first = serve(listener=listener)
        connect(first).ask(GET)
        first.stop(PATIENCE)
        waiting = connect(first)
        waiting.socket.sendall(GET)
        serve(listener=held.dup())
        assert waiting.answer().status == 200


def test_stop_does_not_wait_for_a_handler_that_hangs_and_closes_its_connection(serve, connect, gate):
    started = serve(gate, threads=2)
    hung = connect(started)
    hung.socket.sendall(GET.replace(b"/", b"/wait", 1))
    assert gate.entered.acquire(timeout=PATIENCE)
    began = time.monotonic()
    started.stop(0.2)
    assert 0.2 <= time.monotonic() - began < 1.2
    assert hung.is_closed()
    assert not threads_named("kala-http")
    assert all(worker.daemon for worker in started._workers._threads)


def test_a_request_that_was_queued_for_a_worker_is_not_served_after_stop(serve, connect, gate):
    started = serve(gate)
    hung, waiting = connect(started), connect(started)
    for client in (hung, waiting):
        client.socket.sendall(GET.replace(b"/", b"/wait", 1))
    assert gate.entered.acquire(timeout=PATIENCE)
    workers = started._workers._threads
    started.stop(0)
    gate.open.set()
    assert hung.is_closed()
    assert waiting.is_closed()
    for worker in workers:
        worker.join(PATIENCE)
    assert gate.waited == 1


def test_stop_ends_every_thread_and_closes_the_listener(serve, connect):
    before = threading.active_count()
    listener = listen("127.0.0.1", 0)
    started = serve(listener=listener, threads=4)
    assert threads_named("kala-http")
    started.stop(PATIENCE)
    assert threading.active_count() == before
    assert listener.fileno() == -1
    with pytest.raises(ConnectionRefusedError):
        connect(started)


def test_stop_leaves_no_descriptor_open(serve, connect):
    before = set(Path("/proc/self/fd").iterdir())
    started = serve()
    client = connect(started)
    client.ask(GET)
    started.stop(PATIENCE)
    client.close()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_start_and_stop_may_be_called_again(serve, connect):
    started = serve()
    started.start()
    assert connect(started).ask(GET).status == 200
    started.stop(PATIENCE)
    started.stop(PATIENCE)


def test_a_server_that_was_stopped_stays_stopped(serve, connect):
    started = serve()
    started.stop(PATIENCE)
    started.start()
    assert not threads_named("kala-http")
    with pytest.raises(ConnectionRefusedError):
        connect(started)


def test_a_server_that_never_started_closes_its_listener_when_stopped():
    listener = listen("127.0.0.1", 0)
    Server(echo, listener).stop(PATIENCE)
    assert listener.fileno() == -1


def test_ten_threads_may_start_and_stop_it_at_once(after):
    started = Server(echo, listen("127.0.0.1", 0), threads=1)
    barrier = threading.Barrier(10)

    def start_and_stop():
        barrier.wait(PATIENCE)
        started.start()
        started.stop(PATIENCE)

    threads = [in_background(after, start_and_stop) for _ in range(10)]
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert not threads_named("kala-http")


# Headers, errors and logs of the server itself


def test_the_server_header_is_kala_without_a_version_even_if_the_application_sets_it(serve, connect):
    def talkative(_environ, start_response):
        return answer(start_response, "200 OK", "", ("Server", "CherryPy/18.10.0"))

    started = serve(talkative)
    assert connect(started).ask(GET).headers.get_all("Server") == ["Kala"]
    assert connect(started).ask(b"nonsense\r\n\r\n").headers.get_all("Server") == ["Kala"]


SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize("sent", [GET, b"nonsense\r\n\r\n", POST + b"Content-Length: 1001\r\n\r\n", CHUNKED + b"x\r\n"])
def test_each_response_tells_browsers_that_it_is_private_data(serve, connect, sent):
    headers = connect(serve()).ask(sent).headers
    assert {name: headers.get_all(name) for name in SAFE} == {name: [value] for name, value in SAFE.items()}


def test_an_application_may_override_these_headers(serve, connect):
    def page(_environ, start_response):
        return answer(start_response, "200 OK", "", ("content-security-policy", "default-src 'self'"))

    headers = connect(serve(page)).ask(GET).headers
    assert headers.get_all("Content-Security-Policy") == ["default-src 'self'"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_is_not_logged(serve, connect, log, capfd):
    connect(serve()).ask(GET)
    assert not log.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("secret"), FileNotFoundError(2, "secret"), SystemExit("secret")])
def test_a_handler_that_raises_is_logged_and_the_client_gets_only_500(serve, connect, log, error, capfd):
    def broken(_environ, _start_response):
        raise error

    started = serve(broken)
    for _ in range(2):
        answered = connect(started).ask(GET)
        assert answered.status == 500
        assert json.loads(answered.body) == {"error": "Internal Server Error"}
    started.stop(PATIENCE)
    assert {(record.name, record.levelname) for record in log.records} == {("kala.http", "WARNING")}
    assert "secret" in log.text
    assert capfd.readouterr().err == ""


def test_a_client_that_disconnects_within_a_response_is_not_logged(serve, connect, log):
    closed = threading.Event()

    def endless(_environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    started = serve(endless)
    client = connect(started)
    client.socket.sendall(GET)
    client.file.read(200_000)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert closed.wait(PATIENCE)
    started.stop(PATIENCE)
    assert not log.records


def test_a_client_that_disconnects_within_a_head_is_not_logged(serve, connect, log):
    started = serve()
    for linger in (0, 1):
        client = connect(started)
        client.socket.sendall(GET[:10])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
        client.close()
    assert connect(started).ask(GET).status == 200
    started.stop(PATIENCE)
    assert not log.records


# Malformed requests

MALFORMED = {
    "a line that is not a request": (b"nonsense\r\n\r\n", 400),
    "two empty lines": (b"\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "a version that is none": (b"GET / HTTP/x.y\r\nHost: a\r\n\r\n", 400),
    "a version that a lenient parser takes for 1.1": (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 400),
    "a method in small letters": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method with a control character": (b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method that needs a proxy": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "a path that does not begin with a slash": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path with a control character": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path that is not ASCII": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path that the URL parser chokes on": (b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target of another host": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a request line without end": (b"GET /" + b"a" * 70_000, 414),
    "lines that end in LF alone": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a header line without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "a blank before a header's colon": (POST + b"Content-Length : 1\r\n\r\na", 400),
    "a header that goes on in the next line": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
    "a first header that begins with a blank": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a header with a control character": (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 12_000, 431),
    "more headers than a request needs": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70_000, 431),
    "a head that ends too early": (None, 400),
    "no Host in HTTP/1.1": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a Content-Length that is not a number": (POST + b"Content-Length: one\r\n\r\na", 400),
    "a Content-Length that is negative": (POST + b"Content-Length: -1\r\n\r\na", 400),
    "a Content-Length that a lenient parser takes for 10": (POST + b"Content-Length: 1_0\r\n\r\na", 400),
    "a Content-Length that is empty": (POST + b"Content-Length:\r\n\r\n", 400),
    "two Content-Lengths that differ": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "two Content-Lengths that agree": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "a Content-Length above any limit": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a Content-Length above ours": (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
    "a Transfer-Encoding that is not chunked": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "a Transfer-Encoding that is more than chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "two Transfer-Encodings": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "a Transfer-Encoding in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both Transfer-Encoding and Content-Length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        400,
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_gets_an_error_in_json_and_affects_no_other(serve, connect, log, what):
    sent, status = MALFORMED[what]
    started = serve(threads=1)
    client = connect(started)
    client.socket.sendall(sent or GET[:-2])
    if sent is None:
        client.socket.shutdown(socket.SHUT_WR)
    answered = client.answer()
    assert answered.status == status
    assert answered.headers["Content-Type"] == "application/json"
    assert answered.headers["Connection"] == "close"
    assert json.loads(answered.body)["error"]
    assert client.is_closed()
    assert connect(started).ask(GET).status == 200
    assert not log.records


def test_a_header_with_an_underscore_cannot_pass_for_another(serve, connect):
    seen = {}

    def look(environ, start_response):
        seen.update(environ)
        return answer(start_response, "200 OK", "")

    connect(serve(look)).ask(b"GET / HTTP/1.1\r\nHost: kala\r\nX-User: me\r\nX_User: you\r\n\r\n")
    assert seen["HTTP_X_USER"] == "me"


def test_repeated_headers_are_joined_to_one_list(serve, connect):
    def look(environ, start_response):
        return answer(start_response, "200 OK", environ["HTTP_ORIGIN"])

    answered = connect(serve(look)).ask(b"GET / HTTP/1.1\r\nHost: kala\r\nOrigin: a\r\nOrigin: b\r\n\r\n")
    assert json.loads(answered.body) == "a, b"


# Bodies


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 11\r\n\r\nhello world",
        CHUNKED + b"5\r\nhello\r\n6;note=x\r\n world\r\n0\r\n\r\n",
        CHUNKED + b"B\r\nhello world\r\n00\r\nTrailer: x\r\nAnother: y\r\n\r\n",
    ],
)
def test_a_body_is_read_completely_and_the_connection_serves_the_next_request(serve, connect, sent):
    client = connect(serve())
    for _ in range(3):
        assert json.loads(client.ask(sent).body)["body"] == "hello world"
    assert json.loads(client.ask(GET).body)["body"] == ""


def test_a_body_may_be_as_large_as_the_limit(serve, connect):
    client = connect(serve())
    sized = POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY
    chunked = CHUNKED + b"1\r\nx\r\n" * MAX_BODY + b"0\r\n\r\n"
    assert [client.ask(sent).status for sent in (sized, chunked)] == [200, 200]


def test_a_large_body_arrives_unchanged(serve):
    started = serve(max_body=3_000_000)
    data = os.urandom(1_000_000).hex().encode()
    for body in (data, iter([data[:700_000], data[700_000:]])):
        client = http.client.HTTPConnection(*started.address, timeout=PATIENCE)
        client.request("POST", "/", body)
        assert json.loads(client.getresponse().read())["body"].encode() == data
        client.close()


def test_a_body_above_the_limit_gets_413_before_any_of_it_is_sent(serve, connect):
    def forbidden(_environ, _start_response):
        pytest.fail("the application was called")

    answered = connect(serve(forbidden)).ask(POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
    assert answered.status == 413
    assert json.loads(answered.body) == {
        "error": "body: larger than 1000 bytes, which is the limit; send a smaller body"
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_is_still_sending_too_much_gets_the_whole_413_and_no_reset(serve, chunked):
    client = http.client.HTTPConnection(*serve().address, timeout=PATIENCE)
    client.request("POST", "/", iter([b"x" * 100_000] * 50) if chunked else b"x" * 5_000_000)
    answered = client.getresponse()
    assert answered.status == 413
    assert json.loads(answered.read())["error"].startswith("body: larger than 1000 bytes")
    client.close()


def test_a_client_that_is_still_sending_an_endless_head_gets_the_whole_414_and_no_reset(serve, connect):
    assert connect(serve()).ask(b"GET /" + b"x" * 5_000_000).status == 414


def test_a_client_that_keeps_sending_after_the_last_response_is_disconnected(serve, connect):
    client = connect(serve(idle_timeout=SHORT))
    assert client.ask(POST + b"Content-Length: 1001\r\n\r\n").status == 413

    def send_for_ever():
        while True:
            client.socket.sendall(b"x" * 10_000)

    with pytest.raises(ConnectionError):
        send_for_ever()


def test_a_body_of_many_thousand_tiny_chunks_is_refused(serve, connect):
    client = connect(serve(max_body=100_000))
    answered = client.ask(CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: more than 10000 chunks; send larger chunks")


@pytest.mark.parametrize(
    ("chunks", "status", "said"),
    [
        (b"x\r\n", 400, "body: 'x\\r\\n' is not a chunk size"),
        (b"-1\r\na\r\n", 400, "body: '-1\\r\\n' is not a chunk size"),
        (b"0x1\r\na\r\n", 400, "body: '0x1\\r\\n' is not a chunk size"),
        (b"1\na\r\n", 400, "body: '1\\n' is not a chunk size"),
        (b"1" * 100_000, 400, "body: '1111"),
        (b"1\r\nab\r\n0\r\n\r\n", 400, "body: a chunk is longer than its declared size"),
        (b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n", 400, "body: more than 32 trailer lines after the last chunk"),
        (b"3e9\r\n", 413, "body: larger than 1000 bytes"),
        (b"ffffffffffffffff\r\n", 413, "body: larger than 1000 bytes"),
        (b"1\r\nx\r\n" * 1001 + b"0\r\n\r\n", 413, "body: larger than 1000 bytes"),
    ],
)
def test_a_malformed_chunked_body_is_an_error_in_the_application_and_ends_the_connection(
    serve, connect, chunks, status, said
):
    client = connect(serve())
    answered = client.ask(CHUNKED + chunks)
    assert answered.status == status
    assert json.loads(answered.body)["error"].startswith(said)
    assert client.is_closed()


@pytest.mark.parametrize(
    "sent", [POST + b"Content-Length: 9\r\n\r\nabc", CHUNKED, CHUNKED + b"9\r\nabc", CHUNKED + b"3\r\nabc\r\n0\r\n"]
)
def test_a_truncated_body_is_invalid(serve, connect, sent):
    client = connect(serve())
    client.socket.sendall(sent)
    client.socket.shutdown(socket.SHUT_WR)
    answered = client.answer()
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: the connection was closed before the end of the body")


def test_a_body_that_stalls_is_invalid_after_the_idle_timeout(serve, connect, log):
    started = serve(idle_timeout=SHORT)
    client = connect(started)
    answered = client.ask(POST + b"Content-Length: 9\r\n\r\nabc")
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: not received in time")
    assert client.is_closed()
    client.close()
    assert connect(started).ask(GET).status == 200
    assert not log.records


def test_a_body_that_the_application_does_not_read_is_not_taken_for_the_next_request(serve, connect):
    client = connect(serve(ignore_body))
    assert client.ask(POST + b"Content-Length: %d\r\n\r\n" % len(GET) + GET).status == 200
    assert client.ask(b"nonsense\r\n\r\n").status == 400  # and not the answer to another GET


def test_a_malformed_body_that_the_application_does_not_read_ends_the_connection(serve, connect):
    client = connect(serve(ignore_body))
    answered = client.ask(CHUNKED + GET)
    assert answered.status == 200
    assert answered.headers["Connection"] == "close"
    assert client.is_closed()


def test_a_connection_after_a_chunked_body_occupies_no_worker(serve, connect):
    started = serve(threads=1)
    assert connect(started).ask(CHUNKED + b"1\r\na\r\n0\r\n\r\n").status == 200
    assert connect(started).ask(GET).status == 200


def test_a_client_that_expects_100_continue_gets_it_before_it_sends(serve, connect):
    client = connect(serve())
    client.socket.sendall(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    assert json.loads(client.ask(b"abc").body)["body"] == "abc"


# Several requests on a connection


def test_pipelined_requests_are_answered_in_order(serve, connect):
    client = connect(serve())
    client.socket.sendall(
        GET.replace(b"/", b"/1", 1)
        + POST.replace(b"/", b"/2", 1)
        + b"Content-Length: 3\r\n\r\nabc"
        + CHUNKED.replace(b"/", b"/3", 1)
        + b"3\r\nabc\r\n0\r\n\r\n"
        + GET.replace(b"/", b"/4", 1)
    )
    assert [json.loads(client.answer().body)["path"] for _ in range(4)] == ["/1", "/2", "/3", "/4"]


def test_pipelined_requests_are_all_answered_after_a_half_close(serve, connect):
    client = connect(serve())
    client.socket.sendall(GET * 3)
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.answer().status for _ in range(3)] == [200] * 3
    assert client.is_closed()


def test_a_response_to_head_has_no_body_and_keeps_the_connection(serve, connect):
    client = connect(serve())
    answered = client.ask(b"HEAD / HTTP/1.1\r\nHost: kala\r\n\r\n", "HEAD")
    assert int(answered.headers["Content-Length"]) > 0
    assert client.ask(GET).status == 200


def test_http_10_needs_no_host_and_the_connection_closes_after_the_response(serve, connect):
    client = connect(serve())
    assert client.ask(b"GET / HTTP/1.0\r\n\r\n").status == 200
    assert client.is_closed()


@pytest.mark.parametrize("words", [b"Keep-Alive", b"keep-alive", b"TE, keep-alive"])
def test_http_10_may_keep_its_connection(serve, connect, words):
    client = connect(serve())
    for _ in range(2):
        answered = client.ask(b"GET / HTTP/1.0\r\nConnection: %b\r\n\r\n" % words)
        assert answered.headers["Connection"] == "Keep-Alive"


@pytest.mark.parametrize("words", [b"close", b"Close", b"TE, close", b"keep-alive,CLOSE"])
def test_connection_close_closes_the_connection_after_the_response(serve, connect, words):
    client = connect(serve())
    assert client.ask(b"GET / HTTP/1.1\r\nHost: kala\r\nConnection: %b\r\n\r\n" % words).status == 200
    assert client.is_closed()


def test_a_head_may_be_as_large_as_64_kib(serve, connect):
    filler = b"a" * (HEAD_BYTES - len(GET) - len("A: \r\n"))
    sent = GET[:-2] + b"A: " + filler + b"\r\n\r\n"
    assert len(sent) == 64 * 1024
    assert connect(serve()).ask(sent).status == 200
