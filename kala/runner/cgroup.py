"""Limit the resources of runs, with a control group for each limited run (cgroups(7), version 2).

systemd delegates a group to Kala (Delegate=, systemd.resource-control(5)). Kala moves into a child of that group, as a
group with processes of its own cannot limit its children, and makes a sibling of this child for each limited run.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from kala.core.errors import Invalid
from kala.core.job import Spec

_MOUNT = Path("/sys/fs/cgroup")
_PROC_CGROUP = Path("/proc/self/cgroup")
_CONTROLLERS = ("cpu", "memory", "pids")
_FIELDS = ("memory_max", "cpu_quota", "tasks_max")
_CHILD = "kala"
# The period of which cpu_quota is a percentage, in microseconds: the kernel's default.
_PERIOD = 100_000
# How long to wait for killed processes to go. After that their group stays, and systemd removes it.
_REMOVE_SECONDS = 5.0
_PAUSE_SECONDS = 0.01
# Enters the group before the command runs; writing 0 moves the writing process itself.
_ENTER = ("/bin/sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"')


def is_limited(spec: Spec) -> bool:
    """Return whether the job has a limit, so that its runs need a group."""
    return any(getattr(spec, name) for name in _FIELDS)


class Groups:
    """Makes the groups of runs. Immutable after Kala's start."""

    def __init__(self, path: Path, unavailable: str = "") -> None:
        """`unavailable` says why there can be no groups; otherwise it is empty."""
        self._path = path
        self.unavailable = unavailable

    def check(self, spec: Spec) -> None:
        """Raise Invalid for the first of the job's limits if limits cannot be enforced."""
        if self.unavailable and is_limited(spec):
            field = next(name for name in _FIELDS if getattr(spec, name))
            raise Invalid(f"{field}: limits are not available: {self.unavailable}")

    def open(self, run_id: int, spec: Spec) -> "Group":
        """Make a group for one run, with the job's limits. Raise OSError if the kernel refuses it."""
        group = Group(self._path / f"run-{run_id}")
        group.create(spec)
        return group


class Group:
    """The group of one run. Owned by the thread that owns the run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, spec: Spec) -> None:
        """Make the group and set its limits. There is no swap: a run at its memory limit must end, not slow down."""
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
    def enter_words(self) -> tuple[str, ...]:
        """The words that go before those of a command."""
        return (*_ENTER, str(self._path))

    def close(self) -> str:
        """Kill all processes in the group, including those that left the run's process group; return the limits hit."""
        hit = self._limits_hit()
        self._write("cgroup.kill", "1")
        deadline = time.monotonic() + _REMOVE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):  # EBUSY until the last process is gone
                self._path.rmdir()
                break
            time.sleep(_PAUSE_SECONDS)
        return hit

    def _limits_hit(self) -> str:
        hit = []
        if self._count("memory.events", "oom_kill"):
            hit.append("exceeded memory_max")
        if self._count("pids.events", "max"):
            hit.append("reached tasks_max")
        return " and ".join(hit)

    def _count(self, file: str, name: str) -> int:
        lines = (line.split() for line in (self._path / file).read_text().splitlines())
        return next((int(value) for key, value in lines if key == name), 0)

    def _write(self, file: str, text: str) -> None:
        (self._path / file).write_text(text)


def set_up() -> Groups:
    """Move Kala into a child of the group that is delegated to it, and enable the controllers for the runs' groups."""
    try:
        return Groups(_delegate(_own_cgroup()))
    except OSError as error:
        return Groups(Path(), f"{error.strerror}: {error.filename}")
    except _Unavailable as error:
        return Groups(Path(), str(error))


class _Unavailable(Exception):
    """There can be no groups, for a reason that Kala finds itself. Not raised outside this module."""


def _own_cgroup() -> Path:
    paths = [line[3:] for line in _PROC_CGROUP.read_text().splitlines() if line.startswith("0::")]
    path = _MOUNT / paths[0].strip("/") if paths else _MOUNT
    if not (path / "cgroup.controllers").exists():
        raise _Unavailable("the system does not have control groups version 2")
    # A second start in the same process finds Kala in its child already.
    return path.parent if path.name == _CHILD else path


def _delegate(path: Path) -> Path:
    missing = set(_CONTROLLERS) - set((path / "cgroup.controllers").read_text().split())
    if missing or not os.access(path / "cgroup.procs", os.W_OK):
        raise _Unavailable("Kala does not have a control group of its own; run it under systemd with Delegate=yes")
    if not (path / "cgroup.kill").exists():
        raise _Unavailable("the kernel is older than 5.14 and cannot kill a control group")
    others = set((path / "cgroup.procs").read_text().split()) - {str(os.getpid())}
    if others:
        raise _Unavailable("Kala's control group contains other processes")
    child = path / _CHILD
    child.mkdir(exist_ok=True)
    (child / "cgroup.procs").write_text(str(os.getpid()))
    (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _CONTROLLERS))
    return path
