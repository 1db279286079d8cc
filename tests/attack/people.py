"""Callers of a Kala: tokens, users who log in, and requests with any headers."""

import http.client
import json
from contextlib import closing
from typing import Any, NamedTuple

from process import PATIENCE

PASSWORD = "seven quiet herons at dawn"


class Reply(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Line:
    """A connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request to a path below /api/v1. `Content_Type` in headers means `Content-Type`."""
        response = self.begin(method, path, body, **headers)
        return Reply(response.status, response.headers, response.read())

    def begin(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """Return the response before its body is read."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), named)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()


def ask(kala, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """Send a request on a connection of its own. Without credentials it is from Kala's own user, an administrator."""
    with closing(Line(kala.address)) as line:
        return line.ask(method, path, body, **headers)


def token(kala, name: str, role: str = "viewer", **fields: Any) -> str:
    """Create a token, and return its secret."""
    made = ask(kala, "POST", "/token/", {"name": name, "role": role} | fields)
    assert made.status == 201, made
    return made.json["secret"]


def user(kala, name: str, role: str = "viewer", password: str = PASSWORD, **fields: Any) -> None:
    made = ask(kala, "POST", "/user/", {"name": name, "role": role, "password": password} | fields)
    assert made.status == 201, made


def login(kala, name: str, password: str = PASSWORD, **headers: str) -> str:
    """Log in, and return the secret of the session."""
    made = ask(kala, "POST", "/session/", {"name": name, "password": password}, **headers)
    assert made.status == 201, made
    return made.json["token"]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(kala, secret: str, name: str = "") -> dict[str, str]:
    """Return the header with which a browser that has logged in sends requests."""
    return {"Cookie": f"{name or cookie_name(kala)}={secret}"}


def cookie_name(kala) -> str:
    return f"kala-{kala.query('SELECT * FROM instance')[0][0]}"
