"""What a run prints, kept in a file with a limit: the beginning and the end stay, the middle goes."""

import os
from pathlib import Path
from typing import Self

_PER_FOLDER = 1000


def path_of(folder: Path, run_id: int) -> Path:
    """Where a run's output lies. A folder holds a thousand of them, so that none grows slow."""
    return folder / str(run_id // _PER_FOLDER) / f"{run_id}.out"


class Output:
    """The output of one run, owned by the thread that runs it. A run that prints nothing makes no file.

    The file's first half takes the beginning; the second half is a ring that holds the end, and is put in order when
    the output is closed. So memory stays flat, whatever a run prints.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """`limit` is in bytes, for what is kept."""
        self._path = path
        self._limit = limit
        self._head = limit // 2
        self._tail = limit - self._head
        self._file = -1
        self.written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_cut(self) -> bool:
        return self.written > self._limit

    @property
    def size(self) -> int:
        """How many bytes are kept once the output is closed."""
        return self._limit + len(self._cut_line()) if self.is_cut else self.written

    def write(self, data: bytes) -> None:
        if self._file < 0 and data:
            self._file = self._create()
        view = memoryview(data)
        while view:
            position, room = self._place()
            count = os.pwrite(self._file, view[:room], position)
            view = view[count:]
            self.written += count

    def _place(self) -> tuple[int, int]:
        if self.written < self._head:
            return self.written, self._head - self.written
        ring = (self.written - self._head) % self._tail
        return self._head + ring, self._tail - ring

    def _create(self) -> int:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def close(self) -> None:
        """Bring the file into its final form, on disk. Idempotent."""
        if self._file < 0:
            return
        try:
            if self.is_cut:
                self._put_in_order()
            os.fsync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def _put_in_order(self) -> None:
        oldest = (self.written - self._head) % self._tail
        ring = os.pread(self._file, self._tail, self._head)
        end = self._cut_line() + ring[oldest:] + ring[:oldest]
        os.pwrite(self._file, end, self._head)

    def _cut_line(self) -> bytes:
        return f"\n[kala: {self.written - self._limit} bytes were cut out here]\n".encode()
