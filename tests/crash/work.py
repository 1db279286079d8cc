"""The commands of the crash test: they leave evidence outside of Kala, and print a known amount."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

# The output limit: beyond it, the middle is cut. An output of more than 16 KiB becomes a file.
OUTPUT_LIMIT = 40_000
_PAUSES = (0, 0, 0, 0.02, 0.3, 0.8)
# Lines of seq: no output, a little, a file, a file without its middle.
_LINES = (0, 20, 20, 20, 4_000, 12_000)


@dataclass(frozen=True)
class Work:
    pause: float
    lines: int
    fails: bool

    def command(self, evidence: Path) -> str:
        """Return the command. Each echo is one write(2) with O_APPEND, so lines of several commands do not mix."""
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
        """The stored part of the output: all, or the beginning and the end."""
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
    """The file that commands write to. It is outside of Kala's data, and nothing in it is ever lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self._offset = 0
        self.starts: dict[int, Start] = {}
        self.twice: list[int] = []
        self.ends: set[int] = set()

    def read(self) -> None:
        """Read what was written since the last call."""
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
