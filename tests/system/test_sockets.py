"""Kala on a socket that another process keeps open, like kala.socket: a restart loses no request."""

import http.client
import os
import socket
import sys
import tempfile
import threading
from typing import Self

import pytest

CLIENTS = 8
PATIENCE = 30
HAND_OVER = 'exec 3<&{}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'


class Hammer:
    """Clients that send requests without a pause, each on a new connection; counts successes and collects failures."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self.went_well = 0
        self.failed: list[object] = []
        self._threads = [threading.Thread(target=self._go_on, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _go_on(self) -> None:
        while not self._over.is_set():
            try:
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(error)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        connection.request("GET", "/api/v1/stats/", headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status == 200:
            self.went_well += 1
        else:
            self.failed.append(response.status)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield listener


@pytest.fixture
def on(make):
    """A Kala that will be passed a listener as by systemd; not started yet."""

    def on(listener):
        kala = make("--port", "1", pass_fds=(listener.fileno(),))
        kala.command = ["bash", "-c", HAND_OVER.format(listener.fileno()), sys.executable, "-m", "kala"]
        return kala

    return on


@pytest.fixture
def activated(on, listener):
    return on(listener)


def test_it_answers_on_the_socket_and_not_on_the_port_of_its_settings(activated, listener):
    activated.start()
    assert activated.address == f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert activated.get("/stats/").status == 200


def test_a_command_gets_neither_the_socket_nor_its_variables(activated, listener):
    activated.start()
    job = activated.create(command="env | grep ^LISTEN_ || echo none; readlink /proc/self/fd/3 || echo none")
    [run] = activated.runs(job, 1)
    assert activated.output(run["id"])[1].split(b"\n")[0] == b"none"
    inode = os.fstat(listener.fileno()).st_ino
    assert f"socket:[{inode}]".encode() not in activated.output(run["id"])[1]


def test_restarts_fail_no_request(activated, listener, eventually):
    activated.start()
    with Hammer(listener.getsockname()[1]) as hammer:
        for _ in range(4):
            seen = hammer.went_well
            eventually(lambda seen=seen: hammer.went_well > seen + 50)
            activated.restart()
        eventually(lambda: hammer.went_well > seen + 100)
    assert hammer.failed == []


def test_a_request_sent_while_kala_is_down_is_answered_when_it_is_up(activated, listener):
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET /api/v1/stats/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        activated.start()
        client.settimeout(PATIENCE)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_it_answers_on_a_unix_socket_too(on):
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        listener.listen()
        kala = on(listener)
        kala.launch()
        kala.says(f"answers on unix:{place}/s")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(f"{place}/s")
            client.sendall(b"GET /api/v1/stats/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert kala.stop() == 0
