"""The output of a run, kept up to a limit: the head and the tail stay, the middle goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from kala.runner.spool import Spool, path_of

# An output of up to this size stays in memory and goes into the database when the run ends; a larger one is a file.
INLINE_BYTES = 16 * 1024
# Output is written to disk after this time, so that it survives a crash of Kala.
_SPILL_SECONDS = 1.0


class Output:
    """The output of one run. The thread that owns the run writes; any thread reads what is kept. Guarded by its lock.

    A small and young output is in memory, any other in a spool. So memory use stays flat, whatever a run prints.
    """

    def __init__(self, folder: Path, run_id: int, limit: int, on_change: Callable[[], None] = lambda: None) -> None:
        """`limit` is the number of bytes to keep. `on_change` is called when there is more to read."""
        self._on_change = on_change
        self._folder = folder
        self._run_id = run_id
        self._lock = Lock()
        self._buffer = bytearray()
        self._spool = Spool(folder, run_id, limit)
        self._inline = min(INLINE_BYTES, limit)
        self.is_spooled = False
        self._spill_at = 0.0
        self._has_file = False
        self._file_size = 0
        self.is_closed = False
        # Why nothing more is kept, such as a full disk. The command goes on: its work counts more.
        self.fault = ""

    @property
    def path(self) -> Path:
        """The final path, if the output is not small."""
        return path_of(self._folder, self._run_id)

    @property
    def written(self) -> int:
        """The number of bytes printed, kept or not."""
        return self._spool.written if self.is_spooled else len(self._buffer)

    @property
    def is_cut(self) -> bool:
        return self.is_spooled and self._spool.is_cut

    @property
    def size(self) -> int:
        """The number of bytes kept, once the output is closed."""
        return self._file_size if self._has_file else len(self._buffer)

    @property
    def room(self) -> int:
        """The number of further bytes that fit into memory."""
        return 0 if self.is_spooled or self.fault else self._inline - len(self._buffer)

    @property
    def is_only_in_memory(self) -> bool:
        """Whether a crash would lose kept bytes."""
        return not self.fault and (self._spool.has_pending if self.is_spooled else bool(self._buffer))

    @property
    def spill_at(self) -> float:
        """The monotonic time at which to call spill(); infinite while nothing is only in memory."""
        return self._spill_at if self.is_only_in_memory else float("inf")

    def write(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.is_only_in_memory:
            self._spill_at = now + _SPILL_SECONDS
        with self._lock:
            if self.is_spooled:
                self._append(data)
            elif not self.fault:
                self._buffer += data
        if now >= self.spill_at or (not self.is_spooled and self.is_only_in_memory and self.written > self._inline):
            self.spill()
        self._on_change()

    def spill(self) -> None:
        """Write to disk what is only in memory."""
        with self._lock:
            if self.is_spooled:
                self._append(b"", flush=True)
            elif self.is_only_in_memory:
                self._append(bytes(self._buffer), flush=True)
                if not self.fault:
                    self.is_spooled = True
                    self._buffer.clear()

    def _append(self, data: bytes, *, flush: bool = False) -> None:
        if not self.fault:
            with self._recording_fault():
                self._spool.append(data)
                if flush:
                    self._spool.flush()

    @contextmanager
    def _recording_fault(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.fault = error.strerror or str(error)

    def read(self, offset: int, size: int) -> tuple[bytes, int]:
        """Return up to `size` bytes from an offset in the whole output, and the next offset to read.

        In the part that was cut out, return the line that says so, and the offset after that part.
        """
        with self._lock:
            end_starts = max(self._spool.head, self.written - self._spool.tail)
            if self.is_cut and self._spool.head <= offset < end_starts:
                return self._spool.cut_line, end_starts
            limit = self._spool.head if self.is_cut and offset < self._spool.head else self.written
            data = self._read_kept(offset, min(size, limit - offset))
            return data, offset + len(data)

    def kept_from(self, offset: int) -> int:
        """Return the offset of the first byte that is kept, from an offset on."""
        with self._lock:
            end_starts = max(self._spool.head, self.written - self._spool.tail)
            return end_starts if self.is_cut and self._spool.head <= offset < end_starts else offset

    def _read_kept(self, offset: int, size: int) -> bytes:
        if size <= 0:
            return b""
        if self._has_file:
            return self._read_file(offset, size)
        return self._spool.read(offset, size) if self.is_spooled else bytes(self._buffer[offset : offset + size])

    def _read_file(self, offset: int, size: int) -> bytes:
        if self.is_cut and offset >= self._spool.head:
            offset -= self.written - self._spool.limit - len(self._spool.cut_line)
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:  # the run was deleted meanwhile
            return b""

    def close(self) -> bytes | None:
        """Bring the output into its final form: return the bytes if it is small, None if it is in its file, on disk.

        If that fails, `fault` says why, and the bytes or the file are all that there is. Idempotent.
        """
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                with self._recording_fault():
                    self._finalize()
            return None if self._has_file else bytes(self._buffer)

    def _finalize(self) -> None:
        try:
            if self.is_cut or self.written > self._inline:
                self._finish_spool()
            elif self.is_spooled:
                self._buffer += self._spool.read(0, self.written)
        finally:
            self.is_spooled = self._has_file
            self._spool.close()

    def _finish_spool(self) -> None:
        if self.is_spooled:
            try:
                self._spool.finish(self.path)
            finally:
                # Keep the file even if it could not be synced.
                if self.path.exists():
                    self._file_size = self.path.stat().st_size
                    self._has_file = True

    def discard_spool(self) -> None:
        """Remove the spool, once the end of the run is on disk."""
        self._spool.discard()
