"""Kala reaps processes that no other process waits for, and never takes an exit status that a thread waits for."""

import os
import subprocess
import sys

import pytest

from kala.service import orphans

# A thread starts a command that leaves a process behind; both have ended when the main thread reaps.
PROGRAM = """
import os, subprocess, threading, time
from pathlib import Path
from kala.service import orphans, prctl
prctl.adopt_orphans()

def zombies():
    parents = [line.split() for line in subprocess_states()]
    return sorted(int(pid) for pid, state, parent in parents if state == "Z" and int(parent) == os.getpid())

def subprocess_states():
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        yield f"{folder.name} {state} {parent}"

def start():
    started.append(os.posix_spawn("/bin/sh", ["sh", "-c", "sh -c 'sleep 0.05; exit 4' & exit 3"], os.environ))
    begun.set()
    over.wait()
    print("status", os.waitstatus_to_exitcode(os.waitpid(started[0], 0)[1]))

started, begun, over = [], threading.Event(), threading.Event()
thread = threading.Thread(target=start)
thread.start()
begun.wait()
while len(zombies()) < 2:
    time.sleep(0.01)
orphans.reap()
print("left", zombies() == started)
over.set()
thread.join()
orphans.reap()
print("left", zombies())
"""


def test_orphans_are_reaped_and_the_exit_statuses_of_commands_are_left_to_their_threads():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["left True", "status 3", "left []"], "")


def test_only_process_1_gets_them():
    assert not orphans.adopt()


def test_kala_gets_them_if_process_1_is_its_loader(monkeypatch):
    asked = []
    monkeypatch.setattr("kala.service.prctl.adopt_orphans", lambda: asked.append(True))
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(orphans, "_is_of_this_program", lambda pid: pid == 1)
    assert orphans.adopt()
    assert asked


@pytest.mark.parametrize(("pid", "is_ours"), [(os.getpid(), True), (2**22 + 1, False)])
def test_a_process_of_this_program_is_recognized_by_its_file(pid, is_ours):
    assert orphans._is_of_this_program(pid) is is_ours
