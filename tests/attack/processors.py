"""CPU use by Kala and the attack, and by other programs that have nothing to do with the test."""

import os
from pathlib import Path


class Processors:
    """CPU time used since this object was created."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._busy, self._all = _used()
        self._own = self._used_by_own()

    def _used_by_own(self) -> int:
        """Return the clock ticks of this process and of Kala, with those of their reaped children."""
        here = sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return round(here) + sum(map(int, fields[11:15]))

    def share(self) -> float:
        """Return the share of CPU time that other programs left, from 0 to 1."""
        busy, everything = _used()
        others = busy - self._busy - (self._used_by_own() - self._own)
        return max(0.0, min(1.0, 1 - others / max(1, everything - self._all)))


def _used() -> tuple[int, int]:
    """Return the busy and the total clock ticks of all CPUs (proc(5), /proc/stat)."""
    user, nice, system, idle, waiting, *interrupts = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    busy = user + nice + system + sum(interrupts)
    return busy, busy + idle + waiting
