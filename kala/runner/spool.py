"""The output of one run on disk while it is being written.

Files are only appended to, and their names and sizes tell all that there is to know. So the output is complete and in
order at whatever point Kala is killed, and the next Kala can bring it into its final form.
"""

import errno
import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from kala.core.outputs import PER_FOLDER, cut_line, kept_at_the_beginning, output_name

logger = logging.getLogger("kala.engine")

_LIVE = "live"
# Up to this many bytes beyond the limit stay in memory until they are flushed.
_PENDING_BYTES = 1 << 20
# Smaller pieces in memory are joined, so that there are never many.
_PIECE_BYTES = 4096


def path_of(folder: Path, run_id: int) -> Path:
    """Return the path of an ended run's output."""
    return folder / output_name(run_id)


def live_path_of(folder: Path, run_id: int) -> Path:
    """Return the path of a run's output while it runs."""
    return folder / _LIVE / f"{run_id}.out"


def ended(folder: Path) -> Iterator[tuple[range, list[int]]]:
    """Yield for each folder of final outputs the range of run IDs that it is for, and those that have an output."""
    for path in folder.iterdir():
        if path.name.isdecimal():
            first = int(path.name) * PER_FOLDER
            names = (file.stem for file in path.glob("*.out"))
            yield range(first, first + PER_FOLDER), [int(name) for name in names if name.isdecimal()]


def clear(folder: Path) -> None:
    """Remove all spools. Each of their runs must have its end on disk."""
    for path in (folder / _LIVE).glob("*"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file that is no longer needed, if it exists. An error is only logged: a file that stays does no harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("cannot remove %s, which is no longer needed: %s", path, error.strerror)


class Spool:
    """The files of one output. Not thread-safe: Output calls it under its lock.

    The first file takes `limit` bytes. Later bytes stay in memory until flush(), and those that are outside of the kept
    tail by then are never written: a command that prints endlessly costs the disk one tail per flush. A tail of more
    than a MiB is written as it comes, because it is too much for the memory.

    On disk the tail is in segments, each named by its offset in the whole output and no longer than the tail. A segment
    that begins where the previous one stops continues it. Any other starts a new stretch, which holds a whole tail
    before the older segments are removed.
    """

    def __init__(self, folder: Path, run_id: int, limit: int) -> None:
        """`limit` is the number of bytes to keep: half of them for the head, the rest for the tail."""
        self._folder = folder
        self._run_id = run_id
        self.limit = limit
        self.head = kept_at_the_beginning(limit)
        self.tail = limit - self.head
        self.written = 0
        # File descriptors by the offset of the file's first byte; 0 is the first file.
        self._files: dict[int, int] = {}
        # The offset at which the file that was written last stops.
        self._stored = 0
        # The newest bytes beyond the limit that are not on disk; those that have left the tail are dropped.
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self._closed: list[int] = []

    @classmethod
    def found(cls, folder: Path, run_id: int) -> Self | None:
        """Open what a killed Kala left of a run's output, to read and finish it. Return None if there is nothing."""
        path = live_path_of(folder, run_id)
        # An empty file: Kala was killed between creating and writing it.
        size = path.stat().st_size if path.exists() else 0
        if not size:
            return None
        spool = cls(folder, run_id, size)
        spool._adopt()
        return spool

    def _adopt(self) -> None:
        """Use the newest stretch of segments that continues the first file, or is a whole tail by itself.

        There can be a newer one that is neither: a kill interrupts its writing, and a power cut can lose any part.
        """
        self.written, whole = self.limit, [0]
        start, end, stretch = 0, self.limit, [0]
        for segment, size in sorted(self._segments().items()):
            if segment != end:
                start, stretch = segment, []
            end = segment + size
            stretch.append(segment)
            if start == 0 or end - start >= self.tail:
                self.written, whole = end, stretch[:]
        self._stored = self.written
        self._files = {segment: os.open(self._segment_path(segment), os.O_RDONLY) for segment in {0, *whole}}

    def _segments(self) -> dict[int, int]:
        """Return the sizes of the existing segments by offset. An output with a limit of 1 byte has no head or tail."""
        paths = self._path.parent.glob(f"{self._path.name}.*") if self.head else ()
        sizes = {int(path.suffix[1:]): path.stat().st_size for path in paths if path.suffix[1:].isdecimal()}
        return {segment: size for segment, size in sizes.items() if segment >= self.limit}

    @property
    def _path(self) -> Path:
        return live_path_of(self._folder, self._run_id)

    def _segment_path(self, segment: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{segment}") if segment else self._path

    @property
    def is_cut(self) -> bool:
        return self.written > self.limit

    @property
    def has_pending(self) -> bool:
        """Whether flush() would write something."""
        return self._pending_size > 0

    @property
    def cut_line(self) -> bytes:
        """The line that replaces the bytes that are not kept."""
        return cut_line(self.written - self.limit)

    def append(self, data: bytes) -> None:
        first = data[: max(0, self.limit - self.written)]
        if first:
            try:
                self._store(first)
            finally:
                self.written = self._stored
        if len(first) < len(data):
            self._append_pending(data[len(first) :])

    def _append_pending(self, data: bytes) -> None:
        if self._pending and len(self._pending[-1]) < _PIECE_BYTES:
            self._pending[-1] += data
        else:
            self._pending.append(data)
        self._pending_size += len(data)
        self.written += len(data)
        while self._pending_size - len(self._pending[0]) >= self.tail:
            self._pending_size -= len(self._pending.popleft())
        if self.tail > _PENDING_BYTES <= self._pending_size:
            self.flush()

    def flush(self) -> None:
        """Write the kept bytes that are only in memory."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        if self._stored < self.written - len(data):
            data = data[-self.tail :]
            self._stored = self.written - len(data)
            self._open(self._stored)
        self._store(data)
        self._pending.clear()
        self._pending_size = 0
        self._drop(self.written - self.tail)

    def _store(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            last = max(self._files, default=None)
            if last is None or self._stored == self._segment_end(last):
                last = self._stored
                self._open(last)
            count = os.write(self._files[last], view[: self._segment_end(last) - self._stored])
            view = view[count:]
            self._stored += count

    def _segment_end(self, segment: int) -> int:
        """Return the offset at which the next segment begins."""
        return segment + self.tail if segment else self.limit

    def _open(self, segment: int) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._files[segment] = os.open(self._segment_path(segment), flags, 0o600)

    def _drop(self, start: int) -> None:
        """Remove the segments that end at or before `start`, where the kept tail begins."""
        for segment in [segment for segment in self._files if segment and self._segment_end(segment) <= start]:
            os.close(self._files.pop(segment))
            self._segment_path(segment).unlink()

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` kept bytes, from an offset in the whole output."""
        pending = self.written - self._pending_size
        if offset >= pending:
            return self._read_pending(offset - pending, size)
        segment = max(start for start in self._files if start <= offset)
        size = min(size, self._segment_end(segment) - offset, pending - offset)
        return os.pread(self._files[segment], size, offset - segment)

    def _read_pending(self, position: int, size: int) -> bytes:
        for piece in self._pending:
            if position < len(piece):
                return piece[position : position + size]
            position -= len(piece)
        return b""

    def finish(self, path: Path) -> None:
        """Move what is kept to `path`, synced to disk, without reading it into memory."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if self.is_cut:
                self._compose(path)
            else:
                # Rename first: fsync() of a file that was renamed also stores its new name.
                self._path.rename(path)
                os.fsync(self._files[0])
        finally:
            self.close()

    def _compose(self, path: Path) -> None:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._copy(target, 0, self.head)
            _write(target, self.cut_line)
            self._copy(target, self.written - self.tail, self.written)
            os.fsync(target)
        finally:
            os.close(target)

    def _copy(self, target: int, start: int, end: int) -> None:
        pending = self.written - self._pending_size
        while start < min(end, pending):
            segment = max(segment for segment in self._files if segment <= start)
            count = min(end, pending, self._segment_end(segment)) - start
            sent = os.sendfile(target, self._files[segment], start - segment, count)
            if not sent:
                raise OSError(errno.EIO, f"{self._segment_path(segment)} is shorter than the output written to it")
            start += sent
        while start < end:
            piece = self._read_pending(start - pending, end - start)
            _write(target, piece)
            start += len(piece)

    def close(self) -> None:
        """Close the files without removing them. Idempotent."""
        for file in self._files.values():
            os.close(file)
        self._closed += self._files
        self._files = {}

    def discard(self) -> None:
        """Remove the files, after close(). What is kept must be stored elsewhere."""
        for segment in self._closed:
            remove(self._segment_path(segment))


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
