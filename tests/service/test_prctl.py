"""prctl(2) flags apply to Kala, and not to the commands that it starts."""

import os
import subprocess
import sys

import pytest

from kala.service import prctl

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
PROGRAM = f"""
import ctypes, os, subprocess, sys
from kala.service import prctl
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # setuid() cleared it; a process of this user from the start has it
if len(sys.argv) > 1:
    prctl.forbid_tracing()
started = subprocess.Popen(["sleep", "60"])
print(os.getpid(), started.pid, flush=True)
sys.stdin.read()
started.kill()
"""


def what_others_of_its_user_can_read(*arguments):
    """Return the readable files in /proc of an ordinary user's process, and of its child."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        own, started = process.stdout.readline().split()
        try:
            return [[file for file in ("environ", "maps", "stat") if reads(pid, file)] for pid in (own, started)]
        finally:
            process.stdin.close()
            assert process.wait(10) == 0


def reads(pid, file):
    reading = [*AS_NOBODY, "cat", f"/proc/{pid}/{file}"]
    return subprocess.run(reading, capture_output=True, check=False).returncode == 0


def test_processes_of_its_user_can_trace_its_children_but_not_the_process_that_forbids_it():
    assert what_others_of_its_user_can_read() == [["environ", "maps", "stat"]] * 2
    assert what_others_of_its_user_can_read("forbid") == [["stat"], ["environ", "maps", "stat"]]


def test_a_refusal_by_the_kernel_is_an_os_error():
    with pytest.raises(OSError, match="prctl"):
        prctl._prctl(-1, 0)
