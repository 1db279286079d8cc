"""Which connection is closed to admit another."""

from types import SimpleNamespace

import pytest

from kala.server.room import Room, origin_of


class Box(SimpleNamespace):
    """A connection, as a room sees it."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_addresses_of_this_machine_have_no_share_as_a_proxy_there_has_many_clients(address):
    assert origin_of(address) is None


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_another_machine_counts_as_its_ipv4_address_or_its_ipv6_network(address, origin):
    assert origin_of(address) == origin


class TestARoom:
    @pytest.fixture
    def room(self):
        return Room(8, received=1000)

    def enter(self, room, origin=None):
        box = Box(origin=origin, weight=0)
        room.enter(box)
        return box

    def test_is_full_until_a_connection_leaves(self, room):
        boxes = [self.enter(room) for _ in range(8)]
        assert room.is_full
        room.leave(boxes[3])
        room.leave(boxes[3])
        assert not room.is_full

    def test_gives_one_address_a_quarter(self, room):
        first, _ = self.enter(room, "192.0.2.1"), self.enter(room, "192.0.2.1")
        assert not room.has_share("192.0.2.1")
        assert room.has_share("192.0.2.2")
        assert room.has_share(None)
        room.leave(first)
        assert room.has_share("192.0.2.1")

    def test_knows_the_connection_that_has_waited_longest_of_all_and_of_one_address(self, room):
        first, second, third = self.enter(room), self.enter(room, "192.0.2.1"), self.enter(room, "192.0.2.1")
        for box in (first, second, third, first):
            room.wait(box)
        assert room.oldest() is first
        assert room.oldest("192.0.2.1") is second
        assert room.oldest("192.0.2.2") is None
        room.resume(first)
        room.leave(second)
        assert room.oldest() is third

    def test_is_overdrawn_while_unfinished_requests_exceed_their_limit(self, room):
        light, first, second = self.enter(room), self.enter(room), self.enter(room)
        for box in (light, first, second):
            room.wait(box)
        room.weigh(first, 600)
        room.weigh(second, 300)
        room.weigh(second, 400)
        assert not room.is_overdrawn
        room.weigh(second, 401)
        assert room.is_overdrawn
        assert room.oldest_heavy() is first
        room.leave(first)
        assert not room.is_overdrawn
        assert room.oldest_heavy() is second
