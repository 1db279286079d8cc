"""The networks from which an address can be reached."""

import pytest

from kala.core.reach import Reach, reach_of


@pytest.mark.parametrize(
    ("reach", "addresses"),
    [
        (Reach.PUBLIC, "8.8.8.8 2606:4700::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1"),
        (Reach.PRIVATE, "10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 198.18.0.1 192.0.2.1 240.0.0.1 255.255.255.255"),
        (Reach.PRIVATE, "fd00::1 fec0::1 2001:db8::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::1 224.0.0.1 ff0e::1"),
        (Reach.LINK_LOCAL, "169.254.169.254 fe80::1 fe80::1%eth0 ::ffff:169.254.169.254"),
        (Reach.LOOPBACK, "127.0.0.1 127.255.0.1 0.0.0.0 0.1.2.3 ::1 :: ::ffff:127.0.0.1 ::127.0.0.1 ::ffff:0.0.0.0"),
        (Reach.LOOPBACK, "64:ff9b::7f00:1 2002:7f00:1::1 2001:0:1:2:3:4:80ff:fffe"),
    ],
)
def test_the_reach_of_an_address_follows_its_kind_also_when_embedded(reach, addresses):
    assert {address: reach_of(address) for address in addresses.split()} == dict.fromkeys(addresses.split(), reach)


def test_a_narrower_reach_is_greater():
    assert sorted(Reach) == [Reach.PUBLIC, Reach.PRIVATE, Reach.LINK_LOCAL, Reach.LOOPBACK]
