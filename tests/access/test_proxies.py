"""What reverse proxies say about their clients."""

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.access.proxies import Proxies, is_forwarded
from kala.api.http import Headers
from kala.core.caller import Caller, Role
from kala.core.errors import Forbidden

PROXY, OTHER_PROXY, STRANGER, CLIENT = "192.0.2.1", "10.1.2.3", "203.0.113.66", "198.51.100.7"
ROLES = {"ops": Role.OPERATOR, "Domain Admins": Role.ADMIN, "guests": Role.VIEWER}


def headers(**values):
    return Headers({f"HTTP_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
def proxies():
    return Proxies([PROXY, "10.0.0.0/8", "2001:db8:1::/48"], "Remote-User", "Remote-Groups", ROLES)


@pytest.fixture
def by_user():
    name = pwd.getpwuid(os.getuid()).pw_name
    trusted = [f"{name}@127.0.0.1", "33@::1", "no-such-user@127.0.0.2"]
    return Proxies(trusted, "Remote-User", "", {"*": Role.VIEWER})


class Peer:
    """The other end of a connection; its user is not known unless it is given."""

    def __init__(self, address, uid=None):
        self.address, self.uid = address, uid


class Private:
    """The other end of a connection, whose user must not be asked for."""

    uid = property(lambda _: pytest.fail("asked for the user"))

    def __init__(self, address):
        self.address = address


class TestTheAddressOfTheClient:
    @pytest.mark.parametrize(
        ("peer", "forwarded_for", "expected"),
        [
            (PROXY, CLIENT, CLIENT),
            (PROXY, f"{CLIENT}, {OTHER_PROXY}", CLIENT),
            (PROXY, f" {CLIENT} ,{OTHER_PROXY},{OTHER_PROXY} ", CLIENT),
            (PROXY, f"{STRANGER}, {CLIENT}", CLIENT),
            (PROXY, f"{PROXY}, {STRANGER}, {CLIENT}, {OTHER_PROXY}", CLIENT),
            (PROXY, f"{CLIENT}:53124", CLIENT),
            (PROXY, f"::ffff:{CLIENT}", CLIENT),
            (PROXY, "2001:db8::7", "2001:db8::7"),
            (PROXY, "[2001:DB8::7]", "2001:db8::7"),
            (PROXY, "[2001:db8::7]:443", "2001:db8::7"),
            ("2001:db8:1::1", CLIENT, CLIENT),
            (f"::ffff:{PROXY}", CLIENT, CLIENT),
        ],
    )
    def test_is_the_last_one_that_is_not_a_trusted_proxy(self, proxies, peer, forwarded_for, expected):
        assert proxies.client_address(Peer(peer), headers(x_forwarded_for=forwarded_for)) == expected

    @pytest.mark.parametrize("forwarded_for", [CLIENT, f"{CLIENT}, {PROXY}", "127.0.0.1"])
    @pytest.mark.parametrize("peer", [STRANGER, "127.0.0.1", "unix", "2001:db8:2::1"])
    def test_is_the_other_end_of_the_connection_where_that_is_not_trusted(self, proxies, peer, forwarded_for):
        assert proxies.client_address(Peer(peer), headers(x_forwarded_for=forwarded_for)) == peer

    @pytest.mark.parametrize(
        ("forwarded_for", "expected"),
        [
            ("", PROXY),
            ("unknown", PROXY),
            (f"{CLIENT}, unknown", PROXY),
            (f"{CLIENT}, _hidden, {OTHER_PROXY}", OTHER_PROXY),
            (f"{CLIENT}, {OTHER_PROXY},", PROXY),
            (f"{CLIENT} {OTHER_PROXY}", PROXY),
            ("256.1.1.1", PROXY),
            ("[2001:db8::7", "2001:db8::7"),
        ],
    )
    def test_is_where_the_walk_ends_at_garbage(self, proxies, forwarded_for, expected):
        assert proxies.client_address(Peer(PROXY), headers(x_forwarded_for=forwarded_for)) == expected

    def test_is_the_first_one_where_all_are_trusted(self, proxies):
        assert proxies.client_address(Peer(PROXY), headers(x_forwarded_for=f"10.9.9.9, {OTHER_PROXY}")) == "10.9.9.9"

    def test_is_that_of_the_proxy_without_the_header(self, proxies):
        assert proxies.client_address(Peer(PROXY), headers()) == PROXY

    def test_is_never_read_from_headers_without_trusted_proxies(self):
        given = headers(x_forwarded_for=CLIENT)
        assert Proxies([], "", "", {}).client_address(Peer("127.0.0.1"), given) == "127.0.0.1"

    def test_is_believed_of_a_certain_user_of_this_machine_only(self, by_user):
        given = headers(x_forwarded_for=CLIENT)
        assert by_user.client_address(Peer("127.0.0.1", os.getuid()), given) == CLIENT
        assert by_user.client_address(Peer("127.0.0.1", 4_000_000), given) == "127.0.0.1"
        assert by_user.client_address(Peer("127.0.0.1"), given) == "127.0.0.1"
        assert by_user.client_address(Peer("::1", 33), given) == CLIENT

    def test_is_not_beyond_an_address_whose_user_cannot_be_known(self, by_user):
        given = headers(x_forwarded_for=f"{CLIENT}, 127.0.0.1")
        assert by_user.client_address(Peer("127.0.0.1", os.getuid()), given) == "127.0.0.1"

    def test_is_known_without_asking_for_the_user_where_that_does_not_matter(self, proxies, by_user):
        assert proxies.client_address(Private(PROXY), headers(x_forwarded_for=CLIENT)) == CLIENT
        assert by_user.client_address(Private("127.0.0.1"), headers()) == "127.0.0.1"
        assert by_user.client_address(Private(STRANGER), headers(x_forwarded_for=CLIENT)) == STRANGER

    @given(st.text(), st.text(alphabet="0123456789.:,[]abf% "))
    def test_no_header_is_an_error_or_makes_a_stranger_someone_else(self, one, other):
        proxies = Proxies([PROXY], "", "", {})
        for text in (one, other, f"{one},{other}"):
            assert proxies.client_address(Peer(STRANGER), headers(x_forwarded_for=text)) == STRANGER
            assert proxies.client_address(Peer(PROXY), headers(x_forwarded_for=f"{text},{STRANGER}")) == STRANGER
            assert proxies.client_address(Peer(PROXY), headers(x_forwarded_for=text))


class TestWhoHasLoggedIn:
    def test_is_believed_of_a_certain_user_of_this_machine_only(self, by_user):
        ann = headers(remote_user="ann")
        assert by_user.caller(Peer("127.0.0.1", os.getuid()), ann) == Caller("proxy:ann", Role.VIEWER)
        assert by_user.caller(Peer("127.0.0.1", 4_000_000), ann) is None
        assert by_user.caller(Peer("127.0.0.1"), ann) is None
        assert by_user.caller(Peer("127.0.0.2", os.getuid()), ann) is None
        assert by_user.caller(Peer("127.0.0.2"), ann) is None
        assert by_user.caller(Private("127.0.0.1"), headers()) is None

    @pytest.mark.parametrize(
        ("groups", "role"),
        [
            ("ops", Role.OPERATOR),
            ("guests,ops", Role.OPERATOR),
            ("Domain Admins , guests", Role.ADMIN),
            ("staff,guests", Role.VIEWER),
        ],
    )
    def test_has_the_highest_role_of_the_groups(self, proxies, groups, role):
        found = proxies.caller(Peer(PROXY), headers(remote_user="ann", remote_groups=groups))
        assert found == Caller("proxy:ann", role)

    @pytest.mark.parametrize("groups", ["", "staff", "OPS", "ops guests", "o,p,s", "*"])
    def test_is_refused_without_a_group_that_has_a_role(self, proxies, groups):
        with pytest.raises(Forbidden) as error:
            proxies.caller(Peer(PROXY), headers(remote_user="ann", remote_groups=groups))
        assert str(error.value) == (
            "'ann', who has logged in at the proxy, has no role; add one of their groups to group_roles"
        )

    @pytest.mark.parametrize("peer", [STRANGER, "127.0.0.1", "::1", "unix"])
    def test_is_not_asked_of_anyone_but_a_trusted_proxy(self, proxies, peer):
        assert proxies.caller(Peer(peer), headers(remote_user="ann", remote_groups="ops")) is None

    @pytest.mark.parametrize("given", [{}, {"remote_user": ""}, {"remote_user": "  "}, {"remote_groups": "ops"}])
    def test_is_nobody_where_the_proxy_names_nobody(self, proxies, given):
        assert proxies.caller(Peer(PROXY), headers(**given)) is None

    def test_is_nobody_where_no_header_is_set(self):
        proxies = Proxies([PROXY], "", "", {})
        assert proxies.caller(Peer(PROXY), headers(remote_user="ann")) is None

    def test_has_the_role_of_everyone_where_that_is_the_highest(self):
        everyone = Proxies([PROXY], "Remote-User", "", {"*": Role.VIEWER, "ops": Role.OPERATOR})
        given = headers(remote_user="ann", remote_groups="ops")
        assert everyone.caller(Peer(PROXY), given) == Caller("proxy:ann", Role.VIEWER)
        grouped = Proxies([PROXY], "Remote-User", "Remote-Groups", {"*": Role.VIEWER, "ops": Role.OPERATOR})
        assert grouped.caller(Peer(PROXY), given) == Caller("proxy:ann", Role.OPERATOR)
        assert grouped.caller(Peer(PROXY), headers(remote_user="ann")) == Caller("proxy:ann", Role.VIEWER)

    @pytest.mark.parametrize("user", ["evil, ann", "ann,", "a\x00b", "ann\x1b[2J", "a" * 201])
    def test_is_refused_where_the_header_does_not_have_one_name(self, proxies, user):
        with pytest.raises(Forbidden, match="Remote-User: must be the name of one user"):
            proxies.caller(Peer(PROXY), headers(remote_user=user, remote_groups="ops"))

    def test_has_a_name_and_groups_in_utf_8(self):
        proxies = Proxies([PROXY], "Remote-User", "Remote-Groups", {"Führung": Role.VIEWER})
        wire = {name: text.encode().decode("latin-1") for name, text in (("user", "jürgen"), ("groups", "Führung"))}
        given = headers(remote_user=wire["user"], remote_groups=wire["groups"])
        assert proxies.caller(Peer(PROXY), given) == Caller("proxy:jürgen", Role.VIEWER)


@pytest.mark.parametrize("name", ["x_forwarded_for", "forwarded", "via", "x_real_ip"])
def test_a_request_with_a_header_of_a_proxy_is_forwarded(name):
    assert is_forwarded(headers(**{name: ""}))
    assert not is_forwarded(headers(host="localhost"))
