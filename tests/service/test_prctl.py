"""What Kala asks the kernel for itself holds for Kala, and not for the commands that it starts."""

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
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as it is for who was this user from the start
if len(sys.argv) > 1:
    prctl.forbid_tracing()
started = subprocess.Popen(["sleep", "60"])
print(os.getpid(), started.pid, flush=True)
sys.stdin.read()
started.kill()
"""


def what_others_of_its_user_can_read(*arguments):
    """Of an ordinary user's process, and of the one that it started."""
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


def test_processes_of_its_user_cannot_look_into_one_that_forbids_it_but_into_what_it_starts():
    assert what_others_of_its_user_can_read() == [["environ", "maps", "stat"]] * 2
    assert what_others_of_its_user_can_read("forbid") == [["stat"], ["environ", "maps", "stat"]]


def test_a_kernel_that_refuses_is_told():
    with pytest.raises(OSError, match="prctl"):
        prctl._prctl(-1, 0)
