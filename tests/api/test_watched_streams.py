"""A response without an end lasts no longer than the caller's token or login, with what it allows."""

import http.client
from contextlib import closing

import pytest
from live_api import PATIENCE


@pytest.fixture
def token(api):
    """The header of a new token."""
    created = api.ask("POST", "/api/v1/token/", {"name": "reader", "role": "viewer"})
    assert created.status == 201, created.body
    yield {"Authorization": f"Bearer {created.json['secret']}"}
    api.ask("DELETE", "/api/v1/token/reader/")


def opened(api, path, headers):
    """Return a response that has begun, and its connection."""
    connection = http.client.HTTPConnection(api.host, api.port, timeout=PATIENCE)
    connection.request("GET", path, headers=headers)
    return connection, connection.getresponse()


def test_events_end_when_the_token_is_deleted(api, token):
    connection, events = opened(api, "/api/v1/events/", token)
    with closing(connection):
        assert events.readline().startswith(b"retry: ")
        assert api.ask("DELETE", "/api/v1/token/reader/").status == 204
        assert b"event:" not in events.read()  # to its end
    assert api.ask("GET", "/api/v1/events/", **token).status == 401


def test_followed_output_ends_when_the_token_is_deleted(api, token):
    job = api.create(command="echo begun; sleep 30")
    run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
    connection, output = opened(api, f"/api/v1/run/{run}/output/?follow=true", token)
    with closing(connection):
        assert output.readline() == b"begun\n"
        assert api.ask("DELETE", "/api/v1/token/reader/").status == 204
        assert output.read() == b""
    assert api.ask("POST", f"/api/v1/run/{run}/cancel/").status == 204


def test_events_end_when_a_user_sees_other_jobs(api):
    user = {"name": "ann", "role": "viewer", "password": "seven small snails"}
    assert api.ask("POST", "/api/v1/user/", user).status == 201
    login = api.ask("POST", "/api/v1/session/", {"name": "ann", "password": user["password"]}).json
    header = {"Authorization": f"Bearer {login['token']}"}
    connection, events = opened(api, "/api/v1/events/", header)
    with closing(connection):
        assert events.readline().startswith(b"retry: ")
        assert api.ask("PATCH", "/api/v1/user/ann/", {"owners": ["*@db.example"]}).status == 200
        assert b"event:" not in events.read()
    assert api.ask("DELETE", "/api/v1/user/ann/").status == 204


def test_events_go_on_when_another_token_is_deleted(api, token):
    api.ask("POST", "/api/v1/token/", {"name": "other", "role": "viewer"})
    connection, events = opened(api, "/api/v1/events/", token)
    with closing(connection):
        assert events.readline().startswith(b"retry: ")
        assert api.ask("DELETE", "/api/v1/token/other/").status == 204
        job = api.create()
        lines = iter(events.readline, b"")
        assert next(line for line in lines if line.startswith(b"data: ")) == b'data: {"id":"%b","what":"created"}\n' % (
            job.encode()
        )
