import os
import threading

import pytest

from kala.server.processors import on_any_processor, on_one_processor

ALL = os.sched_getaffinity(0)


@pytest.mark.skipif(len(ALL) < 2, reason="needs two processors")
def test_a_pinned_thread_leaves_its_processor_for_a_while():
    found = []

    def work():
        is_started.wait(10)
        found.append(os.sched_getaffinity(0))
        with on_any_processor():
            found.append(os.sched_getaffinity(0))
        found.append(os.sched_getaffinity(0))

    is_started = threading.Event()
    with on_one_processor():
        thread = threading.Thread(target=work)
        thread.start()
    is_started.set()
    thread.join(10)
    before, meanwhile, after = found
    assert len(before) == 1
    assert (meanwhile, after) == (ALL, before)
