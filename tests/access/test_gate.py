"""Who makes a request, and where the wrong passwords of whoever makes it are counted."""

import errno
import os

import pytest
from live_api import running

from kala.access import passwords
from kala.access.buckets import Tries
from kala.api.http import Headers
from kala.core.caller import Role
from kala.core.errors import TooManyTries
from kala.server.peer import PEER

ANN = {"name": "ann", "password": "seven herons at dawn"}
PROXY = {"trusted_proxies": ("127.0.0.1",)}


class Peer:
    """Another user of this machine at the other end, or one whom Kala lacks the file descriptors to find out."""

    is_unix, is_loopback, address, groups = False, True, "127.0.0.1", frozenset()

    def __init__(self, uid=None):
        self._uid = uid

    @property
    def uid(self):
        if self._uid is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._uid


@pytest.fixture(scope="module")
def kala(tmp_path_factory):
    with running(tmp_path_factory.mktemp("kala")) as api, pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_COST", passwords._Cost(4, 8, 1))
        assert api.ask("POST", "/api/v1/user/", ANN | {"role": "viewer"}).status == 201
        yield api


@pytest.fixture
def api(kala):
    """A Kala that has counted no tries."""
    kala.app._gate.tries = Tries()
    return kala


@pytest.fixture
def login(api):
    """Return the header of ann, who has logged in on this machine."""
    return {"Authorization": f"Bearer {api.ask('POST', '/api/v1/session/', ANN).json['token']}"}


def identified(api, peer, **headers):
    environ = {"REQUEST_METHOD": "POST", "wsgi.url_scheme": "http", PEER: peer, **headers}
    return api.app._gate.identify(environ, Headers(environ))


def try_in_vain(api):
    """Use up the tries at ann's account from elsewhere."""
    with api.configured(**PROXY):
        for number in range(10):
            wrong = ANN | {"password": "a wrong password"}
            answer = api.ask("POST", "/api/v1/session/", wrong, X_Forwarded_For=f"192.0.2.{number}")
            assert answer.status == 401
        assert api.ask("POST", "/api/v1/session/", ANN, X_Forwarded_For="198.51.100.7").status == 429


class TestAUserWhoHasLoggedInOnThisMachine:
    def test_changes_the_password_while_others_use_up_the_tries_of_the_account(self, api, login):
        try_in_vain(api)
        change = {"old_password": ANN["password"], "password": ANN["password"]}
        assert api.ask("PATCH", "/api/v1/me/", change, **login).status == 204

    def test_logs_in_again_while_others_use_up_the_tries_of_the_account(self, api, login):
        try_in_vain(api)
        assert api.ask("POST", "/api/v1/session/", ANN, **login).status == 201


@pytest.mark.parametrize("setting", ["on", "off"])
def test_users_of_this_machine_share_no_tries_whatever_they_are_known_by(api, setting):
    tries, token = api.app._gate.tries, {"HTTP_AUTHORIZATION": f"Bearer {api.token(Role.VIEWER)}"}
    with api.configured(auth=setting):
        theirs = identified(api, Peer(64321), **token).place()
        for number in range(30):
            tries.take(f"user {number}", theirs, 0.0)
        for headers in ({}, token):
            with pytest.raises(TooManyTries):
                tries.take("ann", identified(api, Peer(64321), **headers).place(), 0.0)
            tries.take("ann", identified(api, Peer(64322), **headers).place(), 0.0)


def test_the_tries_of_a_client_are_counted_where_a_trusted_proxy_says_and_else_for_the_user_who_has_connected(api):
    forwarded = {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}
    assert identified(api, Peer(64321), **forwarded).place() == "uid 64321"
    with api.configured(**PROXY):
        assert identified(api, Peer(64321), **forwarded).place() == "192.0.2.7"


def test_a_proxy_that_runs_as_kalas_own_user_is_not_that_user(api):
    own = Peer(os.geteuid())
    assert identified(api, own).actor == "local"
    with api.configured(trusted_proxies=(f"{os.geteuid()}@127.0.0.1",)):
        assert identified(api, own).role is Role.ANYONE
    with api.configured(trusted_proxies=("64321@127.0.0.1",)):
        assert identified(api, own).actor == "local"


@pytest.mark.parametrize(
    "header", ["VIA", "X_FORWARDED_FOR", "X_FORWARDED_PROTO", "X_FORWARDED_HOST", "CF_CONNECTING_IP"]
)
def test_a_request_that_was_passed_on_is_not_of_the_user_who_has_connected(api, header):
    assert identified(api, Peer(os.geteuid()), **{f"HTTP_{header}": "a"}).role is Role.ANYONE


def test_without_file_descriptors_a_token_and_a_login_are_let_in_and_only_passwords_are_not_checked(api, login):
    """To find out the user at the other end takes a file descriptor, and longer than all else."""
    token = {"Authorization": f"Bearer {api.token(Role.VIEWER)}"}
    for given, actor in ((token, "token:viewer-0"), (login, "user:ann")):
        caller = identified(api, Peer(), HTTP_AUTHORIZATION=given["Authorization"])
        assert caller.actor == actor
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            caller.place()


def test_the_same_request_comes_from_the_same_caller(api, login):
    """Else each live response would break off after a minute."""
    peer = Peer(64321)
    one, other = (identified(api, peer, HTTP_AUTHORIZATION=login["Authorization"]) for _ in range(2))
    assert one == other
