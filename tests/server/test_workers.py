"""The pool of HTTP workers ends when it shall, and shares a processor where it may."""

import errno
import os
import sys
import threading
import time

import pytest

from kala.server.server import Server, listen


@pytest.fixture
def _hasty_threads():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hasty_threads")
def test_idle_workers_all_end_at_once_in_whatever_order_they_hear_of_it():
    for _ in range(5):
        server = Server(lambda *_: [], listen("127.0.0.1", 0), threads=32)
        server.start()
        server._http.requests._threads.reverse()
        began = time.monotonic()
        server.stop(5)
        assert time.monotonic() - began < 2.5


def processors_of_server():
    """What the threads of a server may run on, and whoever started it while they run."""
    before = {thread.native_id for thread in threading.enumerate()}
    server = Server(lambda *_: [], listen("127.0.0.1", 0), threads=4)
    server.start()
    new = {thread.native_id for thread in threading.enumerate()} - before
    found = [os.sched_getaffinity(thread) for thread in new]
    assert len(found) == 4 + 2  # the workers, the thread that watches connections, and the streams'
    server.stop(1)
    return found


def test_all_threads_of_a_server_share_one_processor_and_who_starts_it_keeps_its_own():
    ours = os.sched_getaffinity(0)
    found = processors_of_server()
    assert len(found[0]) == 1
    assert found[0] <= ours
    assert all(processors == found[0] for processors in found)
    assert os.sched_getaffinity(0) == ours


def test_where_the_system_does_not_allow_it_they_run_where_they_can(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert all(processors == os.sched_getaffinity(0) for processors in processors_of_server())
