"""What it costs to find out who makes a request, in CPU time of this thread: the shortest of many turns."""

import time

import pytest
from live_api import running

from kala.api.http import Headers
from kala.core.caller import Role
from kala.server.peer import PEER, Peer

TURNS, CALLS = 50, 200
# Seconds that a request with a token may cost more than one to a Kala with auth = "off".
DEARER = 50e-6


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with running(tmp_path_factory.mktemp("kala")) as api:
        yield api


def cost(gate, **headers):
    environ = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", PEER: Peer(None, "192.0.2.1"), **headers}
    gate.identify(environ, Headers(environ))
    taken = []
    for _ in range(TURNS):
        begun = time.thread_time()
        for _ in range(CALLS):
            gate.identify(environ, Headers(environ))
        taken.append((time.thread_time() - begun) / CALLS)
    return min(taken)


def test_a_request_with_a_token_or_a_login_costs_at_most_50_microseconds_more(api):
    gate = api.app._gate
    token = cost(gate, HTTP_AUTHORIZATION=f"Bearer {api.token(Role.VIEWER)}")
    assert (
        api.ask("POST", "/api/v1/user/", {"name": "ann", "role": "viewer", "password": "seven herons at dawn"}).status
        == 201
    )
    session = api.ask("POST", "/api/v1/session/", {"name": "ann", "password": "seven herons at dawn"}).json["token"]
    cookie = cost(gate, HTTP_COOKIE=f"theme=dark; {gate.cookie}={session}")
    stranger = cost(gate)
    with api.configured(auth="off"):
        free = cost(gate)
    figures = {"token": token - free, "cookie": cookie - free, "stranger": stranger - free}
    print(", ".join(f"{name} {1e6 * seconds:.1f} µs" for name, seconds in figures.items()))
    assert max(figures.values()) < DEARER, figures
