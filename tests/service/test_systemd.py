import os
import re
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from kala.service.systemd import Notifier

# The notifier keeps its socket for the life of the process.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def systemd(monkeypatch):
    """systemd's end of the socket. Its path must be short, so it is not in tmp_path."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(Path(place, "n")))
        end.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(Path(place, "n")))
        yield end


def heard(systemd: socket.socket) -> str:
    return systemd.recv(4096).decode()


def nothing_heard(systemd: socket.socket) -> bool:
    systemd.setblocking(False)
    try:
        return not systemd.recv(4096)
    except BlockingIOError:
        return True


class TestMessages:
    def test_ready(self, systemd):
        Notifier(os.environ).ready()
        assert heard(systemd) == "READY=1"

    def test_reloading_includes_the_time(self, systemd):
        Notifier(os.environ).reloading()
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard(systemd))

    def test_stopping_includes_the_time_that_it_needs(self, systemd):
        Notifier(os.environ).stopping(1.5)
        assert heard(systemd) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000"

    def test_a_status_is_sent_only_if_it_changed_and_as_one_line(self, systemd):
        notifier = Notifier(os.environ)
        notifier.status("2 jobs,\nnext: Übung → 3 s")
        notifier.status("2 jobs,\nnext: Übung → 3 s")
        assert heard(systemd) == "STATUS=2 jobs, next: Übung → 3 s"
        assert nothing_heard(systemd)

    def test_without_systemd_nothing_is_sent_and_nothing_fails(self):
        notifier = Notifier({})
        notifier.ready()
        notifier.status("2 jobs")
        notifier.watchdog()
        assert (notifier.is_active, notifier.watchdog_interval) == (False, None)

    def test_a_closed_notify_socket_is_no_failure(self, systemd):
        notifier = Notifier(os.environ)
        systemd.close()
        notifier.ready()


class TestWatchdog:
    def test_beats_are_sent_as_often_as_systemd_needs_them_and_not_more(self, systemd, monkeypatch):
        notifier = Notifier(os.environ | {"WATCHDOG_USEC": "4000000"})
        for now in (100.0, 100.1, 100.9, 101.0, 101.5):
            monkeypatch.setattr("time.monotonic", lambda now=now: now)
            notifier.watchdog()
        assert [heard(systemd), heard(systemd)] == ["WATCHDOG=1"] * 2
        assert nothing_heard(systemd)

    @pytest.mark.parametrize(
        ("variables", "seconds"),
        [
            ({"WATCHDOG_USEC": "30000000"}, 30),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getppid())}, 30),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(2**22 + 1)}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({}, None),
        ],
    )
    def test_the_interval_is_the_one_that_systemd_gave_this_process(self, variables, seconds):
        assert Notifier({"NOTIFY_SOCKET": "/nowhere"} | variables).watchdog_interval == seconds


class TestService:
    def test_systemd_is_notified_of_start_reload_and_stop(self, systemd, start, home):
        service = start(KALA_KILL_GRACE="1")
        assert [heard(systemd), heard(systemd)] == ["STATUS=3 jobs", "READY=1"]
        service.send(signal.SIGHUP)
        assert heard(systemd).startswith("RELOADING=1\n")
        assert heard(systemd) == "READY=1"
        service.send(signal.SIGTERM)
        assert heard(systemd) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=41000000"
        assert service.ended() == 0

    def test_the_engine_beats_twice_as_often_as_systemd_asks(self, systemd, start):
        service = start(WATCHDOG_USEC="30000000")
        service.expect("beats every 15.0 s")
        assert heard(systemd) == "WATCHDOG=1"
