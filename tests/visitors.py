"""People who use the pages of a live Kala from another machine, and log in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from live_api import Api, running

from kala.access import passwords

PASSWORD = "correct horse battery"


@contextmanager
def serving(folder, **settings) -> Iterator[Api]:
    """Run a Kala that checks passwords in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_COST", passwords._Cost(4, 8, 1))
        patch.setattr(passwords, "DUMMY", f"$scrypt${passwords._COST}${'A' * 22}${'A' * 43}")
        with running(folder, **settings) as api:
            yield api


class Person:
    """Somebody at a browser, who is nobody to the live Kala `api` without a login. It keeps the cookie."""

    def __init__(self, api, address="192.0.2.7", **headers):
        self.api = api
        self.cookie = ""
        # A proxy has passed the request on, so that it is not one of this machine.
        self.headers = {"X_Forwarded_For": address, "Accept": "text/html", **headers}

    def ask(self, method, path, body=None, **headers):
        cookie = {"Cookie": self.cookie} if self.cookie else {}
        response = self.api.ask(method, path, body, **self.headers, **cookie, **headers)
        if found := re.match(r"([^=]+=([^;]*));", response.headers["Set-Cookie"] or ""):
            self.cookie = found[1] if found[2] else ""
        return response

    def look(self, path):
        return self.ask("GET", path)

    def submit(self, path, **fields):
        """Send a form as a browser does, with the origin of its page."""
        body = urlencode(fields, doseq=True).encode()
        return self.ask("POST", path, body, Origin=f"http://{self.api.host}:{self.api.port}")

    def log_in(self, name, password=PASSWORD, **fields):
        return self.submit("/login", name=name, password=password, **fields)


def add_user(api, name, role, **fields):
    """Create a user, with the password that people here have."""
    given = {"name": name, "role": role, "password": PASSWORD} | fields
    response = api.ask("POST", "/api/v1/user/", given)
    assert response.status == 201, response.body


def logged_in(api, name, role, **fields):
    """Return a person who is logged in as a new user."""
    add_user(api, name, role, **fields)
    person = Person(api)
    assert person.log_in(name).status == 303
    return person
