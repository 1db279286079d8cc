"""A server for one test, and clients of it."""

import contextlib
import logging
import shutil

import pytest
from raw_http import LONG, MAX_BODY, PATIENCE, Client, Gate, echo
from samples import LOCALHOST

from kala.server.listener import listen
from kala.server.server import Server


@pytest.fixture
def after():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def files(tmp_path):
    """Copies of a certificate and its key."""
    made = tmp_path / "cert.pem", tmp_path / "key.pem"
    for file in made:
        shutil.copy(LOCALHOST, file)
    return made


@pytest.fixture
def serve(after):
    def start(app=echo, listener=None, **options):
        options = {"threads": 1, "max_body": MAX_BODY, "idle_timeout": LONG} | options
        started = Server(app, listener or listen("127.0.0.1", 0), **options)
        after.callback(started.stop, PATIENCE)
        started.start()
        return started

    return start


@pytest.fixture
def connect(after):
    def to(started, tls=None):
        client = Client(started.address, tls)
        after.callback(client.close)
        return client

    return to


@pytest.fixture
def gate():
    """A gate that opens at the end of the test, so that no worker stays blocked."""
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def log(caplog):
    """All warnings, those of the HTTP server among them."""
    caplog.set_level(logging.WARNING)
    return caplog
