"""The main loop of the service: in the main thread, from the start of the app to its stop by a signal."""

import logging
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kala import __version__
from kala.config import KEYS, RELOADABLE, Loaded
from kala.core.errors import KalaError
from kala.service import logs, orphans
from kala.service.reload import ReloadReport
from kala.service.systemd import Notifier

if TYPE_CHECKING:
    from kala.app import App

logger = logging.getLogger("kala.service")
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SIGNALS_AT_ONCE = 1024
_STATUS_SECONDS = 1.0
_SLICE_SECONDS = 0.1
# Time to close the database and the sockets after the two graces; part of the stop timeout that systemd gets.
_CLOSE_SECONDS = 10.0


class Signals:
    """The signals received. Python's C-level handler writes each to a socket (set_wakeup_fd), so that none is lost.

    With a queue, one could be: Python runs handlers between bytecodes, so a signal that arrives just before the main
    thread blocks on the queue's lock does not wake it up. Signals are caught, not blocked, because every command that
    Kala starts would inherit the blocked ones.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._pending: list[int] = []
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGHUP):
            signal.signal(number, _ignore)

    def wait(self, timeout: float | None) -> int | None:
        """Return the next signal, or None if none comes within `timeout` seconds."""
        ready, _, _ = select.select([self._reader], [], [], 0 if self._pending else timeout)
        if ready:
            # Sort what came together: SIGHUP (1) sorts before SIGINT (2) and SIGTERM (15), so a reload never follows a
            # stop.
            self._pending = sorted([*self._pending, *self._reader.recv(_SIGNALS_AT_ONCE)])
        return self._pending.pop(0) if self._pending else None

    def is_stop_requested(self) -> bool:
        """Take the signals that have arrived, up to one to stop; return whether there is one."""
        return any(number in _STOP_SIGNALS for number in iter(lambda: self.wait(0), None))

    def close(self) -> None:
        """Stop receiving. Later signals are still caught, and ignored."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """set_wakeup_fd() needs a Python handler to be installed; the byte is written by the time this runs."""


class Loop:
    """Starts the app, reports that it is ready, handles signals, and stops the app cleanly."""

    def __init__(
        self,
        app: "App",
        load: Callable[[], Loaded],
        notifier: Notifier,
        signals: Signals,
        *,
        report: ReloadReport,
    ) -> None:
        self._app = app
        self._load = load
        self._notifier = notifier
        self._signals = signals
        self._report = report
        self._has_orphans = orphans.adopt()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal to stop. Raises KalaError if the app does not start."""
        try:
            self._app.start()
            self._report_started()
            on_ready()
            self._serve()
            self._drain()
        finally:
            self._app.stop()

    def _report_started(self) -> None:
        config = self._app.config
        place = f"stores its data in {config.data_dir}" if config.persist else "stores nothing on disk"
        fields = {"action": "started", "version": __version__, "address": self._app.address}
        logger.info("Kala %s answers on %s and %s", __version__, self._app.address, place, extra={"fields": fields})
        self._notifier.status(self._app.status())
        self._notifier.ready()

    def _serve(self) -> None:
        tick = _STATUS_SECONDS if self._notifier.is_active or self._has_orphans else None
        while (number := self._signals.wait(tick)) not in _STOP_SIGNALS:
            if number == signal.SIGHUP:
                self._reload()
            if self._has_orphans:
                orphans.reap()
            self._notifier.status(self._app.status())

    def _reload(self) -> None:
        began, message = time.monotonic_ns(), ""
        self._notifier.reloading()
        try:
            self._apply(self._load())
        except KalaError as error:
            message = str(error)
            fields = {"action": "reload_failed"}
            logger.error("keeping the current settings: %s", error, extra={"fields": fields})  # noqa: TRY400  no traceback
        self._notifier.ready()
        self._report.write(began, message)

    def _apply(self, loaded: Loaded) -> None:
        new, current = loaded.config, self._app.config
        changed = [key for key in KEYS if getattr(new, key) != getattr(current, key)]
        applied = {key: getattr(new, key) for key in changed if key in RELOADABLE}
        origins = {key: loaded.origins[key] for key in RELOADABLE}
        self._app.reload(replace(current, **applied), origins)
        logs.set_verbose(self._app.config.verbose)
        fields = {"action": "reloaded", "changed": list(applied)}
        logger.info("settings reloaded; changed: %s", _listed(applied), extra={"fields": fields})
        others = [key for key in changed if key not in applied]
        if others:
            fields = {"action": "restart_needed", "keys": others}
            logger.warning("restart Kala to apply changes to %s", _listed(others), extra={"fields": fields})

    def _drain(self) -> None:
        config = self._app.config
        self._notifier.stopping(config.shutdown_grace + config.kill_grace + _CLOSE_SECONDS)
        self._app.drain()
        if self._app.wait_idle(0):
            logger.info("stopping; no runs in progress", extra={"fields": {"action": "stopping"}})
            return
        fields = {"action": "stopping", "grace": config.shutdown_grace}
        logger.info("stopping; runs have %g s to finish", config.shutdown_grace, extra={"fields": fields})
        self._wait_idle(time.monotonic() + config.shutdown_grace)

    def _wait_idle(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0 and not self._app.wait_idle(min(left, _SLICE_SECONDS)):
            if self._has_orphans:
                orphans.reap()
            if self._signals.is_stop_requested():
                logger.info(
                    "asked to stop again; cancelling the runs in progress",
                    extra={"fields": {"action": "grace_skipped"}},
                )
                return


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(keys) or "nothing"
