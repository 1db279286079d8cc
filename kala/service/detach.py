"""Detach: Kala starts itself again in a new session, and exits once the new process is ready.

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


def restart_detached() -> None:
    """Start Kala in the background; return once it answers requests, or exit with its messages and exit status."""
    child, pipe = _start()
    try:
        with os.fdopen(pipe, "rb", buffering=0) as stream:
            for line in _lines(stream):
                if line == _READY:
                    return
                sys.stderr.write(line.decode(errors="replace") + "\n")
        raise _failure(child.wait())
    except KeyboardInterrupt:  # the child, in its own session, got no SIGINT
        child.terminate()
        raise


def is_detached() -> bool:
    """Return whether this process is the one in the background. Unsets the variable, so that no command inherits it."""
    return os.environ.pop(_DETACHED, None) is not None


def report_ready(log_file: Path | None) -> None:
    """Let the parent process exit. Later output, such as the traceback of a crashed thread, goes to the log file."""
    with (log_file or Path(os.devnull)).open("ab") as target:
        sys.stderr.flush()
        os.write(2, _READY + b"\n")
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)


def _start() -> tuple[subprocess.Popen[bytes], int]:
    """Start the new process; return it and the read end of its stderr. It inherits no other stream."""
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
    """Yield the lines of the stream until its end.

    Wait for a second at a time: a signal that arrives just before select() blocks does not interrupt it, because Python
    has checked for signals by then. Ctrl-C would have no effect until the next line.
    """
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
    """Return our environment. A frozen program must unpack itself again, and not load our unpacked libraries."""
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
    """Return what to raise. A positive exit code needs no message, because the child has printed one."""
    if code > 0:
        return SystemExit(code)
    how = f"was killed by {signal.Signals(-code).name}" if code else "exited"
    return KalaError(f"Kala {how} before it was ready")
