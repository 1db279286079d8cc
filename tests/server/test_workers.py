"""The pool of HTTP workers stops in time, and its threads share a processor where the system allows it."""

import errno
import os
import sys
import threading
import time

import pytest

from kala.server.listener import listen
from kala.server.server import Server
from kala.server.workers import Workers


@pytest.fixture
def _hasty_threads():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hasty_threads")
def test_idle_workers_all_end_at_once_in_any_order():
    for _ in range(5):
        server = Server(lambda *_: [], listen("127.0.0.1", 0), threads=32)
        server.start()
        server._workers._threads.reverse()
        began = time.monotonic()
        server.stop(5)
        assert time.monotonic() - began < 2.5


def test_an_unexpected_error_in_a_worker_is_logged_and_does_not_end_it(caplog):
    class Connection:
        def __init__(self):
            self.closed = threading.Event()

        def serve(self):
            raise RuntimeError("unexpected")

        def close(self):
            self.closed.set()

    workers, connections = Workers(1), [Connection() for _ in range(2)]
    workers.start()
    for connection in connections:
        workers.put(connection)
    assert all(connection.closed.wait(5) for connection in connections)
    workers.stop(5)
    assert [record.getMessage() for record in caplog.records] == [
        "error in a worker of the HTTP server; it keeps running"
    ] * 2


def processors_of_server():
    """The CPU affinity of each thread of a server."""
    before = {thread.native_id for thread in threading.enumerate()}
    server = Server(lambda *_: [], listen("127.0.0.1", 0), threads=4)
    server.start()
    new = {thread.native_id for thread in threading.enumerate()} - before
    found = [os.sched_getaffinity(thread) for thread in new]
    assert len(found) == 4 + 2  # the workers, the watching thread, and the streams' thread
    server.stop(1)
    return found


def test_the_threads_of_a_server_are_pinned_to_one_processor_and_their_starter_is_not():
    ours = os.sched_getaffinity(0)
    found = processors_of_server()
    assert len(found[0]) == 1
    assert found[0] <= ours
    assert all(processors == found[0] for processors in found)
    assert os.sched_getaffinity(0) == ours


def test_threads_are_not_pinned_where_the_system_forbids_it(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert all(processors == os.sched_getaffinity(0) for processors in processors_of_server())
