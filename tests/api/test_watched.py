"""A long response breaks off when its caller is another one by now, or no longer sees what it is about."""

from functools import partial
from itertools import repeat

import pytest
from msgspec.structs import replace

from kala.api.watched import Watch, Watched, watched
from kala.core.caller import Caller, Role
from kala.core.errors import Unauthorized
from kala.server.source import Source

ANN = Caller("user:ann", Role.VIEWER, owners=("*@db",), address="192.0.2.1", user="ann", login=b"digest")


class Endless(Source):
    is_closed = False

    def read(self):
        return b"more"

    def close(self):
        self.is_closed = True


class Gate:
    """A gate that knows one caller, or nobody."""

    def __init__(self):
        self.generation = 1
        self.caller = ANN
        self.asked = 0

    def identify(self, _environ, _headers, *, counts=True):
        assert not counts, "a request that was let in is no try"
        self.asked += 1
        if self.caller is None:
            raise Unauthorized("the token is not valid")
        return self.caller

    def change(self, caller):
        self.caller, self.generation = caller, self.generation + 1


@pytest.fixture
def gate():
    return Gate()


def seen():
    return True


def live(gate, is_seen=seen, **options):
    """Return the function that reads a live response."""
    return Watched(Endless(), Watch(gate, {}, ANN, is_seen, **options)).read


def finite(gate, is_seen=seen, **options):
    """Return the function that reads a response of many parts."""
    parts = watched(repeat(b"more"), Watch(gate, {}, ANN, is_seen, **options))
    return partial(next, parts)


KINDS = pytest.mark.parametrize("response", [live, finite])


@KINDS
def test_who_calls_is_found_out_again_only_after_a_change_and_each_minute(gate, response):
    now = [0.0]
    read = response(gate, clock=lambda: now[0])
    asked = []
    for seconds in (0, 1, 59, 60, 61, 119, 120):
        now[0] = seconds
        assert read() == b"more"
        asked.append(gate.asked)
    assert asked == [1, 1, 1, 2, 2, 2, 3]
    gate.change(ANN)
    read()
    assert gate.asked == 4


@KINDS
def test_a_change_between_the_begin_and_the_first_read_counts(gate, response):
    read = response(gate)
    gate.caller = None
    with pytest.raises(Unauthorized, match="user:ann may no longer read it"):
        read()


@KINDS
def test_who_no_longer_sees_what_it_is_about_gets_no_more(gate, response):
    """As a job that was given to another owner."""
    sight = [True]
    read = response(gate, lambda: sight[0])
    assert read() == b"more"
    sight[0] = False
    assert read() == b"more"
    gate.change(ANN)
    with pytest.raises(Unauthorized):
        read()


@KINDS
@pytest.mark.parametrize(
    "other",
    [
        None,
        replace(ANN, role=Role.ADMIN),
        replace(ANN, owners=()),
        replace(ANN, login=b"another"),
        Caller("local", Role.ADMIN),
    ],
)
def test_another_caller_or_one_with_other_permissions_gets_no_more(gate, other, response):
    read = response(gate)
    assert read() == b"more"
    gate.change(other)
    with pytest.raises(Unauthorized):
        read()


def test_it_closes_what_it_reads():
    source, closed = Endless(), []
    Watched(source, Watch(Gate(), {}, ANN, seen)).close()
    assert source.is_closed

    def parts():
        try:
            yield b"more"
        finally:
            closed.append(True)

    response = watched(parts(), Watch(Gate(), {}, ANN, seen))
    next(response)
    response.close()
    assert closed
