"""What the jobs of the crash test do: they leave evidence of their own, and print an amount that is known."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

# More than Kala keeps in memory becomes a file (16 KiB), more than this loses its middle.
OUTPUT_LIMIT = 40_000
_PAUSES = (0, 0, 0, 0.02, 0.3, 0.8)
# So many lines of seq: nothing, a little, a file, a file without its middle.
_LINES = (0, 20, 20, 20, 4_000, 12_000)


@dataclass(frozen=True)
class Work:
    pause: float
    lines: int
    fails: bool

    def command(self, evidence: Path) -> str:
        """Each echo is one write to a file open for appending, so that lines of several commands do not mix."""
        steps = [
            f"echo start $KALA_RUN_ID $KALA_ATTEMPT $KALA_CAUSE ${{KALA_SLOT:--}} >> {evidence}",
            "echo run $KALA_RUN_ID",
            f"seq {self.lines}" if self.lines else "",
            f"sleep {self.pause}" if self.pause else "",
            f"echo end $KALA_RUN_ID >> {evidence}",
            "exit 1" if self.fails else "",
        ]
        return "; ".join(filter(None, steps))

    def printed(self, run_id: int) -> bytes:
        return b"run %d\n" % run_id + _seq(self.lines)

    def kept(self, run_id: int) -> bytes:
        """What Kala keeps of that: all, or the beginning and the end."""
        printed, half = self.printed(run_id), OUTPUT_LIMIT // 2
        if len(printed) <= OUTPUT_LIMIT:
            return printed
        line = b"\n[kala: %d bytes omitted here]\n" % (len(printed) - OUTPUT_LIMIT)
        return printed[:half] + line + printed[-half:]


@lru_cache
def _seq(last: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


def some_work(chance: Random, *, fails: bool) -> Work:
    return Work(chance.choice(_PAUSES), chance.choice(_LINES), fails)


class Start(NamedTuple):
    attempt: int
    cause: str
    slot: str


class Evidence:
    """The file that commands write to. It lies outside Kala's data, and nothing of it is ever lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self._offset = 0
        self.starts: dict[int, Start] = {}
        self.twice: list[int] = []
        self.ends: set[int] = set()

    def read(self) -> None:
        """Take in what was written since the last time."""
        with self.path.open() as file:
            file.seek(self._offset)
            lines = file.readlines()
            self._offset = file.tell()
        for line in lines:
            word, run_id, *rest = line.split()
            if word == "end":
                self.ends.add(int(run_id))
            elif int(run_id) in self.starts:
                self.twice.append(int(run_id))
            else:
                self.starts[int(run_id)] = Start(int(rest[0]), *rest[1:])
