"""Host names are looked up within the timeout of their call, whatever the name server does."""

import socket
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event, Thread

import pytest

from kala.runner import resolver
from kala.runner.lifeline import Lifeline
from kala.runner.resolver import Addresses, Resolver, addresses
from kala.runner.scarcity import Scarce

PATIENCE = 10
HERE: Addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))]


class NameServer:
    """A name server that responds only once `answers` is set."""

    def __init__(self) -> None:
        self.answers, self.is_asked = Event(), Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, flags: int = 0) -> Addresses:
        if flags:
            raise socket.gaierror
        self.asked.append(host)
        self.is_asked.set()
        assert self.answers.wait(PATIENCE)
        return HERE


@pytest.fixture
def name_server(monkeypatch) -> Iterator[NameServer]:
    """A name server that hangs, for a resolver with two threads."""
    hanging = NameServer()
    monkeypatch.setattr(resolver, "_look_up", hanging)
    monkeypatch.setattr(resolver, "_resolver", Resolver(2))
    yield hanging
    hanging.answers.set()


class TestANameServerThatHangs:
    def test_holds_no_call_past_its_deadline(self, name_server):
        with pytest.raises(TimeoutError):
            addresses("host.example", 80, Lifeline(0.1))

    def test_holds_no_call_that_is_cut_off(self, name_server):
        line = Lifeline(PATIENCE)
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(addresses, "host.example", 80, line)
            assert name_server.is_asked.wait(PATIENCE)
            line.cut()
            with pytest.raises(CancelledError):
                asking.result(PATIENCE / 2)

    def test_blocks_few_threads_and_is_not_asked_for_abandoned_calls(self, name_server):
        # On a busy machine a call can be abandoned before its thread has asked.
        while len(name_server.asked) < 2:
            with pytest.raises(TimeoutError):
                addresses("blocked.example", 80, Lifeline(0.02))
        for _ in range(10):
            with pytest.raises(TimeoutError):
                addresses("abandoned.example", 80, Lifeline(0.02))
        name_server.answers.set()
        assert addresses("last.example", 80, Lifeline(PATIENCE)) == HERE
        assert name_server.asked == ["blocked.example", "blocked.example", "last.example"]


def exhausted(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestWithoutThreads:
    @pytest.fixture(autouse=True)
    def no_threads(self, monkeypatch):
        monkeypatch.setattr(Thread, "start", exhausted)

    def test_an_address_needs_none(self):
        assert [found[4][:2] for found in addresses("127.0.0.1", 80, Lifeline(PATIENCE))] == [("127.0.0.1", 80)]
        assert [found[4][:2] for found in addresses("::1", 80, Lifeline(PATIENCE))] == [("::1", 80)]

    def test_a_name_waits_for_one(self):
        with pytest.raises(Scarce):
            Resolver(1).ask("host.example", 80)


def test_a_name_is_looked_up_by_an_existing_thread_if_no_other_can_start(name_server, monkeypatch):
    first = resolver._resolver.ask("a.example", 80)
    assert name_server.is_asked.wait(PATIENCE)
    monkeypatch.setattr(Thread, "start", exhausted)
    second = resolver._resolver.ask("b.example", 80)
    name_server.answers.set()
    assert first.result(PATIENCE) == second.result(PATIENCE) == HERE


def test_a_name_without_an_address_fails_with_the_error_of_getaddrinfo():
    with pytest.raises(socket.gaierror):
        addresses("nowhere.invalid", 80, Lifeline(PATIENCE))
