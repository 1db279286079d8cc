"""What a run prints, kept with a limit: the beginning and the end stay, the middle goes."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

# So much stays in memory and goes into the database when the run ends; more is a file.
INLINE_BYTES = 16 * 1024
_PER_FOLDER = 1000


def path_of(folder: Path, run_id: int) -> Path:
    """Where the output of a run lies that is not small. A folder holds a thousand of them, so that none grows slow."""
    return folder / str(run_id // _PER_FOLDER) / f"{run_id}.out"


class Output:
    """The output of one run: its worker writes, any thread reads what is kept so far. Guarded by its lock.

    The file's first half takes the beginning; the second half is a ring that holds the end, and is put in order when
    the output is closed. So memory stays flat, whatever a run prints.
    """

    def __init__(self, path: Path, limit: int, changed: Callable[[], None] = lambda: None) -> None:
        """`limit` is in bytes, for what is kept. `changed` is called when there is more to read."""
        self._changed = changed
        self.path = path
        self._limit = limit
        self._head = limit // 2
        self._tail = limit - self._head
        self._lock = Lock()
        self._buffer = bytearray()
        self._file = -1
        self.written = 0
        self.is_closed = False
        self.has_file = False
        # Whether there is a file although the output is small and comes back from close().
        self.is_spare = False

    @property
    def is_cut(self) -> bool:
        return self.written > self._limit

    @property
    def size(self) -> int:
        """How many bytes are kept once the output is closed."""
        return self._limit + len(self._cut_line()) if self.is_cut else self.written

    @property
    def is_only_in_memory(self) -> bool:
        """Whether a crash would lose what was printed."""
        return bool(self._buffer) and not self.has_file

    def write(self, data: bytes) -> None:
        with self._lock:
            if self.has_file:
                self._write_file(data)
            else:
                self._buffer += data
                self.written = len(self._buffer)
        if not self.has_file and self.written > min(INLINE_BYTES, self._limit):
            self.spill()
        self._changed()

    def spill(self) -> None:
        """Move what is in memory to the file."""
        with self._lock:
            if not self.has_file:
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
                self.has_file, self.written = True, 0
                self._write_file(bytes(self._buffer))
                self._buffer.clear()

    def _write_file(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            position = self._position(self.written)
            room = (self._head if position < self._head else self._limit) - position
            count = os.pwrite(self._file, view[:room], position)
            view = view[count:]
            self.written += count

    def _position(self, offset: int) -> int:
        """Where in the open file a byte of the whole output lies."""
        return offset if offset < self._head else self._head + (offset - self._head) % self._tail

    def read(self, offset: int, size: int) -> tuple[bytes, int]:
        """Up to `size` bytes from an offset in the whole output, and the offset that follows.

        Where that part is cut out, the line that says so, and the offset at which it goes on.
        """
        with self._lock:
            end_starts = max(self._head, self.written - self._tail)
            if self._head <= offset < end_starts:
                return self._cut_line(), end_starts
            limit = self._head if self.is_cut and offset < self._head else self.written
            data = self._read_kept(offset, min(size, limit - offset))
            return data, offset + len(data)

    def _read_kept(self, offset: int, size: int) -> bytes:
        if not self.has_file:
            return bytes(self._buffer[offset : offset + size])
        if self.is_closed:
            return self._read_closed(offset, size)
        position = self._position(offset)
        room = (self._head if position < self._head else self._limit) - position
        return os.pread(self._file, min(size, room), position)

    def _read_closed(self, offset: int, size: int) -> bytes:
        cut = self.written - self._limit
        position = offset - cut + len(self._cut_line()) if cut > 0 and offset >= self._head else offset
        try:
            with self.path.open("rb") as file:
                return os.pread(file.fileno(), size, position)
        except FileNotFoundError:  # its run was deleted meanwhile
            return b""

    def close(self) -> bytes | None:
        """Bring the output into its final form: the bytes where it is small, None where it is in the file, on disk."""
        with self._lock:
            if self._file >= 0:
                self._close_file()
            self.is_closed = True
            if self.has_file and self.written <= INLINE_BYTES and not self.is_cut:
                self._buffer += self.path.read_bytes()
                self.has_file, self.is_spare = False, True
            return None if self.has_file else bytes(self._buffer)

    def _close_file(self) -> None:
        try:
            if self.is_cut:
                self._put_in_order()
            if self.written > INLINE_BYTES:
                os.fsync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def _put_in_order(self) -> None:
        oldest = (self.written - self._head) % self._tail
        ring = os.pread(self._file, self._tail, self._head)
        os.pwrite(self._file, self._cut_line() + ring[oldest:] + ring[:oldest], self._head)

    def _cut_line(self) -> bytes:
        return f"\n[kala: {self.written - self._limit} bytes were cut out here]\n".encode()
