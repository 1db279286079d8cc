"""As process 1 of a container Kala reaps the processes that commands leave behind."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace for processes")
FAR = "R/2099-01-01T00:00:00Z/PT1H"


@pytest.fixture
def kala(make):
    kala = make()
    kala.command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *kala.command]
    return kala.start()


def children(pid) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def zombies(kala) -> list[str]:
    """Below the first process of the namespace, which is Kala."""
    [first] = children(kala.process.pid)
    stats = (Path(f"/proc/{pid}/stat") for pid in children(first))
    return [stat.parent.name for stat in stats if stat.exists() and ") Z " in stat.read_text()]


@pytest.mark.parametrize(
    ("line", "state"),
    [
        pytest.param("sleep 100 | cat; true", "timed_out", id="a group that is killed"),
        pytest.param("sleep 100 & echo x", "succeeded", id="what is left of a group that has ended"),
        pytest.param("setsid sleep 1 & sleep 0.2", "succeeded", id="what left the group"),
    ],
)
def test_a_process_that_a_command_leaves_behind_does_not_stay_a_zombie(kala, eventually, line, state):
    job = kala.create(command=line, timeout="PT1S", schedule=FAR, overlap="allow")
    for _ in range(5):
        kala.go(job)
    assert [run["state"] for run in kala.runs(job, 5)] == [state] * 5
    eventually(lambda: not children(children(kala.process.pid)[0]))
    assert not zombies(kala)


def test_exit_statuses_are_those_of_the_commands_while_orphans_are_reaped(kala):
    jobs = [kala.create(command=f"sleep 0.3 & exit {code}", schedule=FAR, overlap="allow") for code in range(5)]
    for _ in range(20):
        for job in jobs:
            kala.go(job)
    for code, job in enumerate(jobs):
        assert {run["exit_code"] for run in kala.runs(job, 20)} == {code}
