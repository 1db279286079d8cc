"""Limits on what a run takes, by a control group for each run that has one (cgroups(7), version 2).

systemd gives Kala a group of its own (Delegate=, systemd.resource-control(5)). Kala moves into a child of that, because
a group that has processes itself cannot limit its children, and makes a child beside its own for each limited run.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from kala.core.errors import Invalid
from kala.core.job import Spec

_MOUNT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_CONTROLLERS = ("cpu", "memory", "pids")
_FIELDS = ("memory_max", "cpu_quota", "tasks_max")
_OURS = "kala"
# What cpu_quota is a part of, in microseconds: the kernel's own default.
_PERIOD = 100_000
# How long killed processes may take to be gone, until their group is left to systemd.
_GONE_SECONDS = 5.0
_PAUSE_SECONDS = 0.01
# Enters the group before anything of the command runs; the 0 stands for the writer itself.
_ENTER = ("/bin/sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"')


def is_limited(spec: Spec) -> bool:
    """Whether the job wants a group for its runs."""
    return any(getattr(spec, name) for name in _FIELDS)


class Groups:
    """Where runs get their groups from. Made once, at Kala's start; then it does not change."""

    def __init__(self, place: Path, why_not: str = "") -> None:
        """`why_not` says why there are none, else it is empty."""
        self._place = place
        self._why_not = why_not

    def check(self, spec: Spec) -> None:
        """Raise Invalid, for the first of them, where the job's limits cannot be had."""
        if self._why_not and is_limited(spec):
            field = next(name for name in _FIELDS if getattr(spec, name))
            raise Invalid(f"{field}: limits are not available: {self._why_not}")

    def open(self, run_id: int, spec: Spec) -> "Group":
        """A group for one run, with the job's limits. Raises OSError where the kernel does not want it."""
        group = Group(self._place / f"run-{run_id}")
        group.limit(spec)
        return group


class Group:
    """One run's group. It belongs to the thread that has the run in hand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def limit(self, spec: Spec) -> None:
        """Make it. There is no swap beside the memory: a run that meets its limit shall end, not crawl."""
        self._path.mkdir(exist_ok=True)
        if spec.memory_max:
            self._write("memory.max", str(spec.memory_max))
            self._write("memory.oom.group", "1")
            with suppress(FileNotFoundError):  # a kernel without swap
                self._write("memory.swap.max", "0")
        if spec.cpu_quota:
            self._write("cpu.max", f"{spec.cpu_quota * _PERIOD // 100} {_PERIOD}")
        if spec.tasks_max:
            self._write("pids.max", str(spec.tasks_max))

    @property
    def entering(self) -> tuple[str, ...]:
        """What to put before a command's words."""
        return (*_ENTER, str(self._path))

    def close(self) -> str:
        """Kill what is left in it, also what left the run's process group, and say which limit was met."""
        met = self._met()
        self._write("cgroup.kill", "1")
        deadline = time.monotonic() + _GONE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):  # busy until the last process is gone
                self._path.rmdir()
                break
            time.sleep(_PAUSE_SECONDS)
        return met

    def _met(self) -> str:
        met = []
        if self._count("memory.events", "oom_kill"):
            met.append("exceeded memory_max")
        if self._count("pids.events", "max"):
            met.append("reached tasks_max")
        return " and ".join(met)

    def _count(self, file: str, name: str) -> int:
        lines = (line.split() for line in (self._path / file).read_text().splitlines())
        return next((int(value) for key, value in lines if key == name), 0)

    def _write(self, file: str, text: str) -> None:
        (self._path / file).write_text(text)


def take() -> Groups:
    """Make Kala's group ready to have limited ones beside it, where that is Kala's to do."""
    try:
        return Groups(_prepared(_own_place()))
    except OSError as error:
        return Groups(Path(), f"{error.strerror}: {error.filename}")
    except _Unavailable as error:
        return Groups(Path(), str(error))


class _Unavailable(Exception):
    """Why there can be no groups; it goes no further than this module."""


def _own_place() -> Path:
    paths = [line[3:] for line in _OWN.read_text().splitlines() if line.startswith("0::")]
    place = _MOUNT / paths[0].strip("/") if paths else _MOUNT
    if not (place / "cgroup.controllers").exists():
        raise _Unavailable("the system does not have control groups version 2")
    # After a SIGHUP or a second start in the same process Kala is in its child already.
    return place.parent if place.name == _OURS else place


def _prepared(place: Path) -> Path:
    missing = set(_CONTROLLERS) - set((place / "cgroup.controllers").read_text().split())
    if missing or not os.access(place / "cgroup.procs", os.W_OK):
        raise _Unavailable("Kala does not have a control group of its own; run it under systemd with Delegate=yes")
    if not (place / "cgroup.kill").exists():
        raise _Unavailable("the kernel is older than 5.14 and cannot kill a control group")
    others = set((place / "cgroup.procs").read_text().split()) - {str(os.getpid())}
    if others:
        raise _Unavailable("Kala's control group contains other processes")
    ours = place / _OURS
    ours.mkdir(exist_ok=True)
    (ours / "cgroup.procs").write_text(str(os.getpid()))
    (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
    return place
