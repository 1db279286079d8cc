"""Messages to systemd about the state of the service (sd_notify(3)). Without systemd every call does nothing."""

import os
import time
from collections.abc import Mapping

import sdnotify

from kala.core.foreign import presentable
from kala.heartbeat import Heartbeat


class Notifier:
    """Sends messages to systemd. A message that cannot be sent is dropped, and the service goes on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.is_active = bool(environ.get("NOTIFY_SOCKET"))
        self.watchdog_interval = _watchdog_interval(environ) if self.is_active else None
        self._systemd = sdnotify.SystemdNotifier() if self.is_active else None
        self._status = ""
        self._last_beat = 0.0

    def ready(self) -> None:
        """Report that requests are answered, or that a reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The settings are being read again; ready() ends it. systemd wants the time, to tell reloads apart."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within: float) -> None:
        """Report a stop of up to `within` seconds, so that TimeoutStopSec= does not cut a long shutdown_grace short."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within * 1e6)}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; sent only if it changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={presentable(' '.join(text.split()))}")

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat to make: twice as often as systemd asks."""
        return Heartbeat(self.watchdog, self.watchdog_interval / 2 if self.watchdog_interval else None)

    def watchdog(self) -> None:
        """Report that the engine is alive. It does so in every step; only the beats that systemd needs are sent."""
        now = time.monotonic()
        if self.watchdog_interval and now - self._last_beat >= self.watchdog_interval / 4:
            self._last_beat = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._systemd:
            # sdnotify encodes as Latin-1 and drops all other characters; decoded this way, the bytes sent are UTF-8.
            self._systemd.notify(message.encode().decode("latin-1"))


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return the seconds within which systemd expects a message, or None if the variables name another process.

    They may name the parent: the one-file binary is two processes, and systemd knows the first.
    """
    ours = (str(os.getpid()), str(os.getppid()))
    if environ.get("WATCHDOG_PID", ours[0]) not in ours:
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
