"""Slow clients occupy no worker, and connections and their bytes are limited."""

import contextlib
import json
import resource
import socket
import time

import pytest
from raw_http import GET, PATIENCE, POST, SHORT

from kala.server import connection, watcher
from kala.server.connections import Connections

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
