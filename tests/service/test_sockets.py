import fcntl
import socket
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from kala.config import Config
from kala.service.sockets import own_path

HAND_OVER = 'exec {}; export LISTEN_PID=$$ LISTEN_FDS={}; exec "$0" "$@"'
PROGRAM = [sys.executable, str(Path(__file__).parent / "program.py")]


@pytest.fixture
def hand_over(start):
    """Start the program with these sockets as its descriptors 3 and on, as systemd does."""

    def hand_over(*sockets: socket.socket, arguments=()):
        moves = " ".join(f"{3 + place}<&{sock.fileno()}" for place, sock in enumerate(sockets))
        shell = ["bash", "-c", HAND_OVER.format(moves, len(sockets))]
        fds = tuple(sock.fileno() for sock in sockets)
        return start(*PROGRAM, *arguments, command=shell, pass_fds=fds)

    return hand_over


@pytest.fixture
def opened():
    """Open listening sockets with descriptors above 3 and 4."""
    made = []

    def opened(family, address, listening=True):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind(address)
            if listening:
                sock.listen()
            made.append(socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 50)))
        return made[-1]

    yield opened
    for sock in made:
        sock.close()


def refusal(service) -> str:
    assert service.ended() == 2
    [sentence] = service.said
    return sentence


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0))], ids=["v4", "v6"]
)
def test_the_app_gets_the_socket_that_systemd_listens_on(hand_over, opened, family, address):
    listener = opened(family, address)
    host, port = listener.getsockname()[:2]
    assert hand_over(listener).expect("listens on").endswith(f"listens on {host} {port}\n")


def test_the_app_gets_a_unix_socket_too(hand_over, opened, tmp_path):
    listener = opened(socket.AF_UNIX, str(tmp_path / "s"))
    assert hand_over(listener).expect("listens on").endswith(f"listens on {tmp_path}/s\n")


def test_no_command_inherits_the_socket(hand_over, opened):
    service = hand_over(opened(socket.AF_INET, ("127.0.0.1", 0)))
    assert service.expect("open:").endswith("open: 0 1 2\n")


def test_a_socket_for_another_process_is_ignored(start):
    service = start(LISTEN_FDS="1", LISTEN_PID="1")
    assert service.expect("listens on").endswith("listens on nothing yet\n")


def test_the_app_gets_a_tcp_socket_and_a_unix_socket(hand_over, opened, tmp_path):
    tcp, unix = opened(socket.AF_INET, ("127.0.0.1", 0)), opened(socket.AF_UNIX, str(tmp_path / "s"))
    port = tcp.getsockname()[1]
    service = hand_over(tcp, unix)
    assert service.expect("listens on").endswith(f"listens on 127.0.0.1 {port}, {tmp_path}/s\n")
    assert service.expect("open:").endswith("open: 0 1 2\n")


class TestOwnSocket:
    config = Config(data_dir=Path("/data"))

    def test_it_is_with_the_data(self):
        assert own_path({}, self.config, []) == Path("/data/kala.sock")

    def test_a_service_has_it_in_its_runtime_directory(self):
        assert own_path({"RUNTIME_DIRECTORY": "/run/kala:/run/b"}, self.config, []) == Path("/run/kala/kala.sock")

    def test_it_comes_beside_a_tcp_socket_of_systemd_but_not_beside_a_unix_socket(self):
        with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
            assert own_path({}, self.config, [tcp]) == Path("/data/kala.sock")
            assert own_path({}, self.config, [tcp, unix]) is None

    def test_a_kala_without_data_on_disk_has_none(self):
        assert own_path({}, replace(self.config, persist=False), []) is None


def test_a_socket_that_does_not_listen_is_refused(hand_over, opened):
    unused = opened(socket.AF_INET, ("127.0.0.1", 0), listening=False)
    assert refusal(hand_over(unused)) == (
        "kala: LISTEN_FDS: file descriptor 3 must be a listening stream socket; use ListenStream= with Accept=no\n"
    )
