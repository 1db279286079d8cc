"""The pool of HTTP workers ends when it shall."""

import sys
import time

import pytest

from kala.api.server import Server, listen


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
