"""A wall clock that tests set for a single Kala, by means of `clock.c`."""

import shutil
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")
COMPILER = shutil.which("cc")

# Zones between which a machine may move, and by how much its clock may be set. Most lives change neither.
ZONES = ("UTC0", "UTC0", "Europe/Berlin", "<+0330>-3:30", "America/New_York", "CET-1CEST,M3.5.0,M10.5.0/3")
STEPS = (*[timedelta()] * 5, timedelta(seconds=90), timedelta(hours=30), *(-timedelta(hours=h) for h in (0.1, 2, 30)))


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path | None:
    """The library that gives a process another clock, or None without a C compiler."""
    if not COMPILER:
        return None
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", "-O1", "-o", made, SOURCE], check=True)
    return made


class Clock:
    """The wall clock of a single Kala."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.ahead = timedelta()
        self.set(timedelta())

    def set(self, by: timedelta) -> None:
        """Set the clock forward or back."""
        self.ahead += by
        nanoseconds = self.ahead // timedelta(microseconds=1) * 1000
        with self.file.open("r+b" if self.file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", nanoseconds))

    def environ(self, library: Path) -> dict[str, str]:
        """The environment of a process that uses this clock."""
        return {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(self.file)}

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def at(self, **ahead: float) -> str:
        """Return an instant relative to now, in the form that schedules use."""
        return (self.now() + timedelta(**ahead)).isoformat().replace("+00:00", "Z")
