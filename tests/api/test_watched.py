"""A live response breaks off when its caller is another one by now."""

import pytest
from msgspec.structs import replace

from kala.api.watched import Watched
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


def test_who_calls_is_found_out_again_only_after_a_change_and_each_minute(gate):
    now = [0.0]
    watched = Watched(Endless(), gate, {}, ANN, lambda: now[0])
    asked = []
    for seconds in (0, 1, 59, 60, 61, 119, 120):
        now[0] = seconds
        assert watched.read() == b"more"
        asked.append(gate.asked)
    assert asked == [1, 1, 1, 2, 2, 2, 3]
    gate.change(ANN)
    watched.read()
    assert gate.asked == 4


def test_a_change_between_the_begin_and_the_first_read_counts(gate):
    watched = Watched(Endless(), gate, {}, ANN)
    gate.caller = None
    with pytest.raises(Unauthorized, match="user:ann may no longer read it"):
        watched.read()


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
def test_another_caller_or_one_with_other_permissions_gets_no_more(gate, other):
    watched = Watched(Endless(), gate, {}, ANN)
    assert watched.read() == b"more"
    gate.change(other)
    with pytest.raises(Unauthorized):
        watched.read()


def test_it_closes_what_it_reads():
    source = Endless()
    Watched(source, Gate(), {}, ANN).close()
    assert source.is_closed
