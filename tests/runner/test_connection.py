"""Connections end with their call, whatever blocks them, and lead only to permitted addresses."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import pytest

from kala.core.reach import Reach
from kala.runner import connection, resolver
from kala.runner.connection import NotPermittedError, connect
from kala.runner.lifeline import Lifeline

PATIENCE = 10


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def names(monkeypatch) -> dict[str, list[str]]:
    """The addresses of host names."""
    names: dict[str, list[str]] = {}

    def look_up(host: str, port: int, flags: int = 0) -> resolver.Addresses:
        if flags:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(resolver, "_look_up", look_up)
    return names


class TestConnecting:
    def test_tries_the_next_address_if_one_refuses(self, server, names):
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with connect("host.example", server.getsockname()[1], Lifeline(PATIENCE)) as link:
            assert link.reach is Reach.LOOPBACK

    def test_leaves_time_for_the_next_address_if_one_is_silent(self, names, server):
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with deaf("127.0.0.2", server.getsockname()[1]), connect("host.example", server.getsockname()[1], Lifeline(1)):
            pass

    def test_is_refused_to_an_address_further_in_than_permitted(self, server):
        port = server.getsockname()[1]
        with pytest.raises(NotPermittedError, match=r"^127\.0\.0\.1 is a loopback address"):
            connect("127.0.0.1", port, Lifeline(PATIENCE), Reach.LINK_LOCAL)
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()

    def test_chooses_a_permitted_one_of_several_addresses(self, server, names, monkeypatch):
        monkeypatch.setattr(connection, "reach_of", lambda one: Reach.PUBLIC if one == "127.0.0.1" else Reach.PRIVATE)
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with connect("host.example", server.getsockname()[1], Lifeline(PATIENCE), Reach.PUBLIC) as link:
            assert link.reach is Reach.PUBLIC

    def test_to_a_name_without_addresses_fails(self):
        with pytest.raises(socket.gaierror):
            connect("nowhere.invalid", 80, Lifeline(PATIENCE))


class TestALink:
    def test_gives_up_at_the_deadline_if_the_server_reads_nothing(self, server):
        with connect(*server.getsockname(), Lifeline(0.1)) as link, pytest.raises(TimeoutError):
            link.send(bytes(50_000_000))

    def test_is_cut_off_in_a_handshake_without_response(self, server):
        line = Lifeline(PATIENCE)
        with connect(*server.getsockname(), line) as link:
            Timer(0.05, line.cut).start()
            with pytest.raises(OSError) as ended:
                link.secure("localhost")
        assert not isinstance(ended.value, TimeoutError)

    def test_of_a_call_that_was_cut_is_not_made(self, server):
        line = Lifeline(PATIENCE)
        line.cut()
        with pytest.raises(ConnectionAbortedError):
            connect(*server.getsockname(), line)


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """Run a server that neither accepts nor refuses connections."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind((host, port))
        server.listen(0)  # the backlog has room for one connection
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex((host, port))
        yield
