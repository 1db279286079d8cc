"""Starting and stopping the HTTP server, with any application."""

import json
import threading
import time
from pathlib import Path

import pytest
from raw_http import GET, PATIENCE, echo, in_background, threads_named, until_refused

from kala.server.listener import listen
from kala.server.server import Server


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
