"""Any number of threads use one client, and their first calls come at the same time."""

import subprocess
import sys

# In a process of its own, as only the first look at a type can go wrong, and then the process crashes.
PROGRAM = """
import sys, threading
from kala.client import Client

sys.setswitchinterval(1e-6)
with Client(sys.argv[1], retries=0) as kala:
    calls = [kala.summary, lambda: list(kala.jobs.list()), lambda: list(kala.runs.list()), lambda: kala.jobs.get("a")]
    calls *= 8
    begin = threading.Barrier(len(calls))
    failed = []

    def call(one):
        begin.wait()
        try:
            one()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(one,)) for one in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
"""


def test_first_calls_from_many_threads_all_return(kala):
    kala.create(name="a", schedule="manual")
    for _ in range(3):
        command = [sys.executable, "-c", PROGRAM, kala.address]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
