"""Connections end with their call, whatever holds them up, and lead only where they may."""

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
    """The addresses that names have."""
    names: dict[str, list[str]] = {}

    def look_up(host: str, port: int, flags: int = 0) -> resolver.Addresses:
        if flags:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(resolver, "_look_up", look_up)
    return names


class TestConnecting:
    def test_goes_on_to_the_next_address_where_one_refuses(self, server, names):
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with connect("host.example", server.getsockname()[1], Lifeline(PATIENCE)) as link:
            assert link.reach is Reach.LOOPBACK

    def test_leaves_time_for_the_next_address_where_one_is_silent(self, names, server):
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with deaf("127.0.0.2", server.getsockname()[1]), connect("host.example", server.getsockname()[1], Lifeline(1)):
            pass

    def test_is_refused_to_what_is_further_in_than_is_permitted(self, server):
        port = server.getsockname()[1]
        with pytest.raises(NotPermittedError, match=r"^127\.0\.0\.1 is a loopback address"):
            connect("127.0.0.1", port, Lifeline(PATIENCE), Reach.LINK_LOCAL)
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()

    def test_takes_of_several_addresses_one_that_is_permitted(self, server, names, monkeypatch):
        monkeypatch.setattr(connection, "reach_of", lambda one: Reach.PUBLIC if one == "127.0.0.1" else Reach.PRIVATE)
        names["host.example"] = ["127.0.0.2", "127.0.0.1"]
        with connect("host.example", server.getsockname()[1], Lifeline(PATIENCE), Reach.PUBLIC) as link:
            assert link.reach is Reach.PUBLIC

    def test_to_a_name_without_addresses_says_so(self):
        with pytest.raises(socket.gaierror):
            connect("nowhere.invalid", 80, Lifeline(PATIENCE))


class TestALink:
    def test_gives_up_at_the_deadline_though_the_server_reads_nothing(self, server):
        with connect(*server.getsockname(), Lifeline(0.1)) as link, pytest.raises(TimeoutError):
            link.send(bytes(50_000_000))

    def test_is_cut_off_in_a_handshake_that_the_server_leaves_unanswered(self, server):
        line = Lifeline(PATIENCE)
        with connect(*server.getsockname(), line) as link:
            Timer(0.05, line.cut).start()
            with pytest.raises(OSError) as ended:
                link.secure("localhost")
        assert not isinstance(ended.value, TimeoutError)

    def test_of_a_call_that_is_cut_already_is_not_made(self, server):
        line = Lifeline(PATIENCE)
        line.cut()
        with pytest.raises(ConnectionAbortedError):
            connect(*server.getsockname(), line)


@contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """A server that takes no connection, and refuses none."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind((host, port))
        server.listen(0)  # its queue has room for the first alone
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex((host, port))
        yield
