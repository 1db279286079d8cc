"""Wakes a thread that waits in a selector."""

import os
import threading
import weakref


class Bell:
    """An eventfd in a thread's selector. Any thread may ring it; after close() this has no effect."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = os.eventfd(0)
        self._close = weakref.finalize(self, os.close, self._fd)

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        with self._lock:  # against a race with close(): the number may be another file's by now
            if self._close.alive:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Make a bell that was rung unreadable again."""
        os.eventfd_read(self._fd)

    def close(self) -> None:
        with self._lock:
            self._close()
