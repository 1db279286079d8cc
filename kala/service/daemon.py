"""`kala serve`: set up the process (standard streams, file descriptors, pid file, log), then run the main loop."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import daemon

from kala.config import Config, Loaded
from kala.heartbeat import Heartbeat
from kala.service import admin_token, logs, prctl, sockets
from kala.service import detach as background
from kala.service.loop import Loop, Signals
from kala.service.pidfile import PidFile
from kala.service.reload import ReloadReport
from kala.service.systemd import Notifier

if TYPE_CHECKING:
    from kala.app import App


def build_app(loaded: Loaded, heartbeat: Heartbeat, listeners: Sequence[socket.socket]) -> "App":
    """Build the app. It listens on `listeners` if there are any, or else where the settings say."""
    # Import late, as this takes most of the start-up time: wrong settings and a locked pid file are reported before it.
    from kala.app import App  # noqa: PLC0415

    own = sockets.own_path(os.environ, loaded.config, listeners)
    token = admin_token.read(os.environ)
    return App(loaded.config, heartbeat, listeners, socket_path=own, origins=loaded.origins, admin_token=token)


def run(
    load: Callable[[], Loaded],
    *,
    detach: bool,
    app_factory: Callable[[Loaded, Heartbeat, Sequence[socket.socket]], "App"] = build_app,
) -> None:
    """Serve until a signal to stop; with `detach` return once a process in the background answers requests."""
    detached = background.is_detached()
    loaded = load()
    config = loaded.config
    if detach and not detached:
        background.restart_detached()
        return
    prctl.forbid_tracing()
    _open_standard_streams()
    listeners = sockets.from_systemd(os.environ)
    with _context(config, listeners, detached=detached):
        log_file = config.log_file if detached else None
        logs.configure(config.log_format, verbose=config.verbose, log_file=log_file)
        try:
            # Before the app: a signal to stop during its start waits, and then stops it cleanly.
            with closing(Signals()) as signals:
                notifier = Notifier(os.environ)
                app = app_factory(loaded, notifier.heartbeat(), listeners)
                loop = Loop(app, load, notifier, signals, report=ReloadReport(os.environ))
                loop.run(lambda: background.report_ready(log_file) if detached else None)
        finally:
            _replace_broken_stderr()


def _context(config: Config, listeners: Sequence[socket.socket], *, detached: bool) -> daemon.DaemonContext:
    """Return python-daemon's context, without what the commands that Kala starts would inherit.

    Their umask and core limit are the operator's (UMask=, LimitCORE=), and no signal is ignored. detach.py has detached
    the process. In the background, commands start in the home directory, like those of cron: a command that clears its
    working directory must not clear Kala's data.
    """
    if detached:
        # Before the pid file and the log, which may be in it.
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return daemon.DaemonContext(
        detach_process=False,
        working_directory=str(_home() if detached else Path.cwd()),
        umask=_current_umask(),
        prevent_core=False,
        signal_map={},
        files_preserve=list(listeners),
        pidfile=PidFile(config.pid_file) if config.pid_file else None,
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
    )


def _home() -> Path:
    """Return the home directory, or / if it does not exist or cannot be entered."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path raises if there is none
    return home if home.is_absolute() and os.access(home, os.X_OK) and home.is_dir() else Path("/")


def _current_umask() -> int:
    umask = os.umask(0o077)  # it can only be read by setting it
    os.umask(umask)
    return umask


def _replace_broken_stderr() -> None:
    """Replace a stderr whose reader has closed it: that is no failure, but Python would exit with status 120."""
    try:
        sys.stderr.flush()
    except OSError:
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), sys.stderr.fileno())


def _open_standard_streams() -> None:
    """Open standard streams that are closed (`2>&-`): else the database gets descriptor 2, and error messages too."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null == fd:
                os.set_inheritable(fd, True)
            else:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r"))
