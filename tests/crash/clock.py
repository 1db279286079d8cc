"""A wall clock that tests set, for one Kala and nobody else; `clock.c` is how that Kala comes to go by it."""

import shutil
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")
COMPILER = shutil.which("cc")

# Zones between which a machine may move, and by how much its clock may be set; mostly it is not.
ZONES = ("UTC0", "UTC0", "Europe/Berlin", "<+0330>-3:30", "America/New_York", "CET-1CEST,M3.5.0,M10.5.0/3")
STEPS = (*[timedelta()] * 5, timedelta(seconds=90), timedelta(hours=30), *(-timedelta(hours=h) for h in (0.1, 2, 30)))


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path | None:
    """What lets a process go by another clock; None where there is no compiler to make it with."""
    if not COMPILER:
        return None
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", "-O1", "-o", made, SOURCE], check=True)
    return made


class Clock:
    """The wall clock of a Kala, and of nobody else."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.ahead = timedelta()
        self.set(timedelta())

    def set(self, by: timedelta) -> None:
        """Set it forward, or back."""
        self.ahead += by
        nanoseconds = self.ahead // timedelta(microseconds=1) * 1000
        with self.file.open("r+b" if self.file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", nanoseconds))

    def environ(self, library: Path) -> dict[str, str]:
        """What lets a process that is started with it go by this clock."""
        return {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(self.file)}

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def at(self, **ahead: float) -> str:
        """An instant from now, as schedules have it."""
        return (self.now() + timedelta(**ahead)).isoformat().replace("+00:00", "Z")
