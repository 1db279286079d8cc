"""Which connection is closed to admit another."""

from types import SimpleNamespace

import pytest

from kala.server.connections import Connections, origin_of


class Box(SimpleNamespace):
    """A connection, as the limits see it."""

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


class TestConnections:
    @pytest.fixture
    def connections(self):
        return Connections(8, bytes_limit=1000)

    def add(self, connections, origin=None):
        box = Box(origin=origin, counted_bytes=0)
        connections.add(box)
        return box

    def test_are_full_until_one_is_removed(self, connections):
        boxes = [self.add(connections) for _ in range(8)]
        assert connections.is_full
        connections.remove(boxes[3])
        connections.remove(boxes[3])
        assert not connections.is_full

    def test_give_one_address_a_quarter(self, connections):
        first, _ = self.add(connections, "192.0.2.1"), self.add(connections, "192.0.2.1")
        assert not connections.has_share("192.0.2.1")
        assert connections.has_share("192.0.2.2")
        assert connections.has_share(None)
        connections.remove(first)
        assert connections.has_share("192.0.2.1")

    def test_know_the_connection_that_has_waited_longest_of_all_and_of_one_address(self, connections):
        first = self.add(connections)
        second, third = self.add(connections, "192.0.2.1"), self.add(connections, "192.0.2.1")
        for box in (first, second, third, first):
            connections.start_waiting(box)
        assert connections.oldest() is first
        assert connections.oldest("192.0.2.1") is second
        assert connections.oldest("192.0.2.2") is None
        connections.stop_waiting(first)
        connections.remove(second)
        assert connections.oldest() is third

    def test_have_too_many_bytes_while_unfinished_requests_exceed_their_limit(self, connections):
        light, first, second = self.add(connections), self.add(connections), self.add(connections)
        for box in (light, first, second):
            connections.start_waiting(box)
        connections.count_bytes(first, 600)
        connections.count_bytes(second, 300)
        connections.count_bytes(second, 400)
        assert not connections.has_too_many_bytes
        connections.count_bytes(second, 401)
        assert connections.has_too_many_bytes
        assert connections.oldest_with_bytes() is first
        connections.remove(first)
        assert not connections.has_too_many_bytes
        assert connections.oldest_with_bytes() is second
