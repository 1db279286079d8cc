"""HTTP by the byte: a client for tests of the server, and small applications to serve."""

import contextlib
import http.client
import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from kala.core.errors import Busy, Invalid
from kala.server.body import BodyTooLarge, read_body

PATIENCE = 5  # seconds; a test that passes does not wait for it
SHORT = 0.25  # An idle timeout that a test waits for.
LONG = 60  # An idle timeout that no test reaches.
GET = b"GET / HTTP/1.1\r\nHost: kala\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: kala\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MAX_BODY = 1000


def answer(start_response, status, body, *headers):
    data = json.dumps(body).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers])
    return [data]


def echo(environ, start_response):
    """An application like Kala's: it reads the whole body, and responds with 400 or 413 if that is invalid."""
    try:
        body = read_body(environ).decode("latin-1")
    except BodyTooLarge as error:
        return answer(start_response, "413 Content Too Large", {"error": str(error)})
    except Invalid as error:
        return answer(start_response, "400 Bad Request", {"error": str(error)})
    except Busy as error:
        return answer(start_response, "503 Service Unavailable", {"error": str(error)})
    what = {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "body": body}
    return answer(start_response, "200 OK", what)


def ignore_body(_environ, start_response):
    return answer(start_response, "200 OK", "read nothing")


class Gate:
    """An application that blocks a request to /wait until the gate opens; others get a response at once."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.waited = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/wait":
            self.waited += 1
            self.entered.release()
            self.open.wait(LONG)
        return answer(start_response, "200 OK", "x" * 500_000)


class Client:
    """A client that sends exactly the given bytes, and reads one response at a time; with TLS if it gets a context."""

    def __init__(self, address, tls=None):
        family = socket.AF_UNIX if address[1] == 0 else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address[0] if family == socket.AF_UNIX else address)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def ask(self, data, method="GET"):
        self.socket.sendall(data)
        return self.answer(method)

    def answer(self, method="GET"):
        version, status, reason = self.file.readline().decode().rstrip().split(" ", 2)
        headers = http.client.parse_headers(self.file)
        return SimpleNamespace(
            version=version, status=int(status), reason=reason, headers=headers, body=self._body(method, headers)
        )

    def _body(self, method, headers):
        if method == "HEAD" or "Content-Length" not in headers:
            return b""
        return self.file.read(int(headers["Content-Length"]))

    def is_closed(self):
        """Wait until the server closes the connection; return False if it sends something instead."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()


def in_background(after, call, *args):
    thread = threading.Thread(target=call, args=args, daemon=True)
    after.callback(thread.join, PATIENCE)
    thread.start()
    return thread


def until_refused(started):
    """Wait until the server no longer listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(started.address):
            continue
        return
    pytest.fail("it still listens")


def threads_named(name):
    return [thread for thread in threading.enumerate() if thread.name == name]
