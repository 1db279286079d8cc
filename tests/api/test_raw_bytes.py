"""Whatever bytes a client sends, each response is HTTP with JSON in it, and the next client is served as usual."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from effort import effort
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

PATIENCE = 5
HOST = b"Host: localhost\r\n"
JOB = b'{"name": "a", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/PT1H"}'
CHUNKS = b"%x;a=b\r\n%b\r\n5\r\n     \r\n0\r\nTrailer: x\r\n\r\n" % (len(JOB), JOB)
UNKNOWN = b"00000000-0000-4000-8000-000000000000"
GOOD = b"GET /api/v1/stats/ HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST
# The server errors that are intended.
MEANT = (501, 503, 505)
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~]*)")


def with_body(method: bytes, path: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n%b" % (method, path, HOST, b"".join(headers), length, body)


# The connection stays open after each of these.
PROPER = [
    b"GET /api/v1/job/?limit=3&q=a HTTP/1.1\r\n%bAccept: */*\r\nUser-Agent: curl/8.0\r\n\r\n" % HOST,
    b"GET /api/v1/stats HTTP/1.0\r\n%bConnection: keep-alive\r\n\r\n" % HOST,
    b"HEAD /api/v1/job/ HTTP/1.1\r\n%b\r\n" % HOST,
    b"OPTIONS * HTTP/1.1\r\n%b\r\n" % HOST,
    b"GET /api/v1/run/1/output HTTP/1.1\r\n%bRange: bytes=0-9\r\nAccept-Encoding: gzip\r\n\r\n" % HOST,
    b"DELETE /api/v1/job/all/ HTTP/1.1\r\n%b\r\n" % HOST,
    with_body(b"POST", b"/api/v1/job/", JOB, b"Content-Type: application/json\r\n"),
    with_body(b"POST", b"/api/v1/job/", JOB, b"Expect: 100-continue\r\n"),
    with_body(b"POST", b"/api/v1/schedule/preview", JOB, b"Cookie: a=b\r\nOrigin: http://localhost\r\n"),
    with_body(b"PATCH", b"/api/v1/job/%b/" % UNKNOWN, b'{"retries": 1}'),
    b"POST /api/v1/job/ HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (HOST, CHUNKS),
]
REQUESTS = [
    *PROPER,
    b"GET /api/v1/stats HTTP/1.0\r\n\r\n",
    b"GET http://localhost/api/v1/run/ HTTP/1.1\r\n%b\r\n" % HOST,
    b"POST /api/v1/job/start/%b/ HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (UNKNOWN, HOST),
]
NUISANCES = [
    *(b"", b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\xff", b"\x80", b"%", b"%00"),
    *(b"-1", b"0", b"1", b"f" * 16, b"9" * 20, b"0x10", b"+5", b"1_0", b"0;" + b"x" * 2000),
    *(b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"),
    *(b"http://", b"//", b"/../", b"?" + b"a=1&" * 3000, b"a" * 70_000, b"[" * 5000),
    *(b"GET ", b"HEAD ", b"BREW ", b"CONNECT "),
    *(b"Host: evil.example\r\n", b"Host:\r\n", b"no colon\r\n", b" folded\r\n", b"X: y\r\n" * 5000),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"X: " + b"y" * 70_000 + b"\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n"),
    *(b"Expect: 100-continue\r\n", b"Expect: x\r\n"),
]


def flip(sent: bytes, start: int, end: int, _: bytes) -> bytes:
    return sent[:start] + bytes(one ^ 1 << end % 8 for one in sent[start : start + 1]) + sent[start + 1 :]


def change_line(sent: bytes, start: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = sent.splitlines(keepends=True) or [b""]
    place = start % len(lines)
    lines[place] = change(lines[place])
    return b"".join(lines)


# Ways to damage the bytes between two positions, with foreign bytes.
DAMAGES: list[Callable[[bytes, int, int, bytes], bytes]] = [
    flip,
    lambda sent, _, end, __: sent[:end],
    lambda sent, start, end, _: sent[:start] + sent[end:],
    lambda sent, start, end, _: sent[:end] + sent[start:],  # the bytes in between twice
    lambda sent, start, _, foreign: sent[:start] + foreign + sent[start:],
    lambda sent, start, end, foreign: sent[:start] + foreign + sent[end:],
    lambda sent, start, _, __: change_line(sent, start, lambda line: line * 2),
    lambda sent, start, _, __: change_line(sent, start, lambda line: line.replace(b"\r", b"")),
    lambda sent, start, _, foreign: change_line(sent, start, lambda line: foreign + line),
]
places = st.integers(0, 400) | st.integers(0, 100_000)  # a position beyond the end wraps around
damages = st.tuples(st.sampled_from(DAMAGES), places, places, st.sampled_from(NUISANCES) | st.binary(max_size=20))


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Some requests, one after the other, damaged."""
    sent = b"".join(draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3)))
    for damage, *between, foreign in draw(st.lists(damages, max_size=4)):
        start, end = sorted(place % (len(sent) + 1) for place in between)
        sent = damage(sent, start, end, foreign)
    return sent


def responses(received: bytes, *, may_lack_bodies: bool) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Parse the responses as a strict client does; fail if they are not HTTP. A response to HEAD has no body."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = STATUS_LINE.fullmatch(first)
        assert end
        assert status, first
        fields = [HEADER.fullmatch(line) for line in lines]
        assert all(fields), lines
        headers = {field[1].lower(): field[2] for field in fields}
        assert len(headers) == len(fields), lines
        body, received = body_of(int(status[1]), headers, received, may_lack=may_lack_bodies)
        found.append((int(status[1]), headers, body))
    return found


def body_of(status: int, headers: dict[bytes, bytes], received: bytes, *, may_lack: bool) -> tuple[bytes, bytes]:
    if status < 200 or status in (204, 304):
        assert b"content-length" not in headers
        return b"", received
    length = int(headers[b"content-length"])  # no response here is long enough to be chunked
    if may_lack and (not received or received.startswith(b"HTTP/1.1 ")):
        return b"", received
    assert len(received) >= length, received
    return received[:length], received[length:]


def assert_sensible(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    assert status < 500 or status in MEANT, body
    if body:
        assert headers[b"content-type"] == b"application/json"
        content = json.loads(body)
        assert status < 400 or (list(content) == ["error"] and len(content["error"].splitlines()) == 1)


class Line:
    """A connection that sends bytes in pieces, and is closed in one way or another."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, sent: bytes, pieces: int) -> None:
        """Send small pieces first, then the rest at once. The server may close the connection before the end."""
        with suppress(ConnectionError):
            for place in range(pieces):
                self.socket.sendall(sent[place : place + 1])
            self.socket.sendall(sent[pieces:])

    def hear_out(self) -> bytes:
        """Read until the server closes, which it does soon after the client has shut down its side."""
        received = b""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while part := self.socket.recv(1 << 20):
                received += part
        return received

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def ask(address: tuple[str, int], sent: bytes) -> bytes:
    with closing(Line(address)) as line:
        line.say(sent, 0)
        return line.hear_out()


def held() -> set[str]:
    """Return the threads and the open files, except those of the database, whose readers keep their connections."""
    names = {thread.name for thread in threading.enumerate()}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(f"{entry.name} {entry.readlink()}")
    return {name for name in names if "kala.db" not in name}


@pytest.fixture
def address(idle_api, caplog):
    """The address of a Kala. After the tests it must hold no thread or descriptor more than before."""
    address = (idle_api.host, idle_api.port)
    assert responses(ask(address, GOOD), may_lack_bodies=False)[0][0] == 200
    before = held()
    yield address
    deadline = time.monotonic() + PATIENCE
    while held() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held() - before == set()


raw = effort(120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@raw
@given(conversations(), st.sampled_from([0, 0, 0, 1, 40, 300]))
def test_any_bytes_get_well_formed_responses_and_the_next_client_is_served(address, caplog, sent, pieces):
    with closing(Line(address)) as line:
        line.say(sent, pieces)
        received = line.hear_out()
    for response in responses(received, may_lack_bodies=b"HEAD" in sent):
        assert_sensible(*response)
    assert responses(ask(address, GOOD), may_lack_bodies=False)[0][0] == 200
    assert not caplog.records


@raw
@given(
    st.lists(
        st.tuples(conversations(), st.sampled_from([0, 1, 40]), st.sampled_from([Line.close, Line.reset])), max_size=3
    )
)
def test_a_client_that_disconnects_without_reading_leaks_nothing(address, caplog, visits):
    for sent, pieces, leave in visits:
        line = Line(address)
        line.say(sent, pieces)
        leave(line)
    assert responses(ask(address, GOOD), may_lack_bodies=False)[0][0] == 200
    assert not caplog.records


@raw
@given(st.binary(max_size=200))
def test_random_bytes_get_an_error_response_or_none(address, caplog, sent):
    for status, headers, body in responses(ask(address, sent), may_lack_bodies=False):
        assert_sensible(status, headers, body)
        assert status >= 400
    assert not caplog.records


@effort(40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PROPER), min_size=1, max_size=6), st.integers(0, 300))
@example(PROPER, 0)
def test_valid_requests_are_answered_in_order(address, requests, pieces):
    """In any order, no body is taken for a request, and no request for a body."""

    def alone(one: bytes) -> list[int]:
        return [status for status, *_ in responses(ask(address, one), may_lack_bodies=one.startswith(b"HEAD"))]

    with closing(Line(address)) as line:
        line.say(b"".join(requests), pieces)
        together = responses(line.hear_out(), may_lack_bodies=True)
    assert [status for status, *_ in together] == [status for one in requests for status in alone(one)]
