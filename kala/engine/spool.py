"""The output of one run on disk, while it is being written.

Its files are only ever appended to, and their names and sizes tell all that there is to know: so what was printed is
complete and in order wherever Kala was killed, and the next Kala can bring it into its final form.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

logger = logging.getLogger("kala.engine")

_LIVE = "live"
_PER_FOLDER = 1000


def path_of(folder: Path, run_id: int) -> Path:
    """Where the output of a run that has ended lies. A folder holds a thousand of them, so that none grows slow."""
    return folder / str(run_id // _PER_FOLDER) / f"{run_id}.out"


def live_path_of(folder: Path, run_id: int) -> Path:
    """Where the output of a run lies while it runs."""
    return folder / _LIVE / f"{run_id}.out"


def ended(folder: Path) -> Iterator[tuple[range, list[int]]]:
    """The runs that have an output in its place, a folder at a time, each with the ids that the folder is for."""
    for path in folder.iterdir():
        if path.name.isdecimal():
            first = int(path.name) * _PER_FOLDER
            names = (file.stem for file in path.glob("*.out"))
            yield range(first, first + _PER_FOLDER), [int(name) for name in names if name.isdecimal()]


def clear(folder: Path) -> None:
    """Remove what was being written, once every run in it has its end on disk."""
    for path in (folder / _LIVE).glob("*"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file that nobody needs, if it is there. No run and no caller fails for one that stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s is not needed any more and could not be removed: %s", path, error.strerror)


class Spool:
    """Appends, and reads what is kept. Whoever uses it sees to it that one thread does so at a time.

    The first file takes `limit` bytes. What comes after goes into segments, each as long as the end that is kept; only
    the last two of them stay, so that the end is always there whole.
    """

    def __init__(self, folder: Path, run_id: int, limit: int) -> None:
        """`limit` is in bytes, for what is kept; half of it for the beginning, the rest for the end."""
        self._folder = folder
        self._run_id = run_id
        self.limit = limit
        self.head = limit // 2
        self.tail = limit - self.head
        self.written = 0
        # By number. The second half of the first file counts as segment -1.
        self._files: dict[int, int] = {}
        self._left: list[int] = []

    @classmethod
    def found(cls, folder: Path, run_id: int) -> Self | None:
        """What a Kala that was killed left of a run's output, to be read and finished; None where there is nothing."""
        path = live_path_of(folder, run_id)
        # An empty file is that of a Kala that was killed before it wrote into it.
        size = path.stat().st_size if path.exists() else 0
        if not size:
            return None
        spool = cls(folder, run_id, size)
        spool._take_over()
        return spool

    def _take_over(self) -> None:
        segments = self._path.parent.glob(f"{self._path.name}.*")
        sizes = {int(path.suffix[1:]): path.stat().st_size for path in segments if path.suffix[1:].isdecimal()}
        last = max(sizes, default=-1)
        # A power cut, other than a kill, can take bytes or files of the middle: then only the beginning is certain.
        if self.head == 0 or (last > 0 and sizes.get(last - 1) != self.tail):
            last = -1
        self.written = self.limit if last < 0 else self.limit + last * self.tail + sizes[last]
        self._files = {number: os.open(self._segment(number), os.O_RDONLY) for number in {-1, last - 1, last} - {-2}}

    @property
    def _path(self) -> Path:
        return live_path_of(self._folder, self._run_id)

    @property
    def is_cut(self) -> bool:
        return self.written > self.limit

    @property
    def cut_line(self) -> bytes:
        """What stands in the place of what is not kept."""
        return f"\n[kala: {self.written - self.limit} bytes were cut out here]\n".encode()

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            number, position = self._place(self.written)
            count = os.write(self._file(number), view[: self._end(number) - position])
            view = view[count:]
            self.written += count

    def _place(self, offset: int) -> tuple[int, int]:
        """The segment in which a byte of the whole output lies, and where."""
        if offset < self.limit:
            return -1, offset
        number, position = divmod(offset - self.limit, self.tail)
        return number, position

    def _end(self, number: int) -> int:
        return self.limit if number < 0 else self.tail

    def _segment(self, number: int) -> Path:
        return self._path if number < 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _file(self, number: int) -> int:
        if number not in self._files:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            self._files[number] = os.open(self._segment(number), flags, 0o600)
            if number > 1:
                os.close(self._files.pop(number - 2))
                self._segment(number - 2).unlink()
        return self._files[number]

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of what is kept, from an offset in the whole output."""
        number, position = self._place(offset)
        return os.pread(self._files[number], min(size, self._end(number) - position), position)

    def finish(self, path: Path) -> None:
        """Bring what is kept to its place, safe from a power cut, without the memory that it would take."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if self.is_cut:
                self._compose(path)
            else:
                # In this order: a file's sync takes its new name along.
                self._path.rename(path)
                os.fsync(self._files[-1])
        finally:
            self.close()

    def _compose(self, path: Path) -> None:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._copy(target, 0, self.head)
            os.write(target, self.cut_line)
            self._copy(target, self.written - self.tail, self.written)
            os.fsync(target)
        finally:
            os.close(target)

    def _copy(self, target: int, start: int, end: int) -> None:
        while start < end:
            number, position = self._place(start)
            count = min(end - start, self._end(number) - position)
            start += os.sendfile(target, self._files[number], position, count)

    def close(self) -> None:
        """Let go of the files, and leave them where they are. Idempotent."""
        for file in self._files.values():
            os.close(file)
        self._left += self._files
        self._files = {}

    def discard(self) -> None:
        """Remove the files, once what is kept is elsewhere."""
        for number in self._left:
            remove(self._segment(number))
