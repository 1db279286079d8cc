"""Going to the background: Kala starts itself again in a session of its own, and leaves when that one is ready.

It does not fork itself: PyInstaller's one-file program deletes its unpacked files when the process started first ends.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from kala.core.errors import KalaError

_DETACHED = "KALA_DETACHED"
_READY = b"kala: ready"
_CHUNK_BYTES = 65_536


def start_again() -> None:
    """Return when the new process answers requests; if it ends before, exit as it did, after what it had to say."""
    child, pipe = _start()
    try:
        with os.fdopen(pipe, "rb", buffering=0) as stream:
            for line in _lines(stream):
                if line == _READY:
                    return
                sys.stderr.write(line.decode(errors="replace") + "\n")
        raise _failure(child.wait())
    except KeyboardInterrupt:  # in its own session the child did not hear of it
        child.terminate()
        raise


def is_detached() -> bool:
    """Whether this is the process in the background. The variable is dropped: no command of ours shall inherit it."""
    return os.environ.pop(_DETACHED, None) is not None


def say_ready(log_file: Path | None) -> None:
    """Let the starter go. What is still written to stdout and stderr, a crash of a thread, goes where the log goes."""
    with (log_file or Path(os.devnull)).open("ab") as target:
        sys.stderr.flush()
        os.write(2, _READY + b"\n")
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)


def _start() -> tuple[subprocess.Popen[bytes], int]:
    """The new process and the reading end of its stderr. No other stream of ours goes on in it."""
    ours, theirs = os.pipe()
    child = subprocess.Popen(
        _same_command(),
        env=_environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    return child, ours


def _lines(stream: FileIO) -> Iterator[bytes]:
    """Waits by turns of a second: Python overlooks a signal that comes just before it begins to wait."""
    rest = b""
    ended = False
    while not ended:
        if select.select([stream], [], [], 1)[0]:
            chunk = stream.read(_CHUNK_BYTES)
            ended = not chunk
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    if rest:
        yield rest


def _same_command() -> list[str]:
    return [sys.executable, *(sys.argv[1:] if _is_frozen() else sys.orig_argv[1:])]


def _environment() -> dict[str, str]:
    """Ours. A frozen program is told to unpack itself anew, and not to look for libraries in our unpacked files."""
    environ = {**os.environ, _DETACHED: "1"}
    if _is_frozen():
        environ["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
        environ.pop("LD_LIBRARY_PATH", None)
        if "LD_LIBRARY_PATH_ORIG" in environ:
            environ["LD_LIBRARY_PATH"] = environ.pop("LD_LIBRARY_PATH_ORIG")
    return environ


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def _failure(code: int) -> KalaError | SystemExit:
    """An exit code comes after a sentence of the child's own."""
    if code > 0:
        return SystemExit(code)
    how = f"was killed by {signal.Signals(-code).name}" if code else "exited"
    return KalaError(f"Kala {how} before it was ready")
