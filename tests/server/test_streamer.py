"""A client gets the whole of a long response, and blocks no other client meanwhile."""

import contextlib
import http.client
import json
import logging
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
from open_gate import OpenGate

from kala.api.application import application
from kala.api.http import Response
from kala.api.route import Route, Table
from kala.core.caller import Role
from kala.core.errors import Busy
from kala.server import stream
from kala.server.listener import listen
from kala.server.server import Server
from kala.server.source import PART
from kala.server.streamer import Streamer

PATIENCE = 10  # How long a test waits for what must happen. A test that passes does not wait so long.
LONG = 60  # A time that no test reaches.
GET = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Talk:
    """A source that returns what a test tells it to."""

    def __init__(self, *parts):
        self._parts = SimpleQueue()
        self.say(*parts)
        self.reads = 0
        self.began = threading.Event()
        self.closed = threading.Event()
        self.closes = 0

    def say(self, *parts):
        """Bytes, None for the end, or an exception to raise."""
        for part in parts:
            self._parts.put(part)

    def read(self):
        self.reads += 1
        self.began.set()
        try:
            part = self._parts.get_nowait()
        except Empty:
            return b""
        if isinstance(part, Exception):
            raise part
        return part

    def close(self):
        self.closes += 1
        self.closed.set()


class Flood(Talk):
    """A source that always has more, up to its size."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.given = 0

    def read(self):
        self.began.set()
        part = b"x" * min(PART, self.size - self.given)
        self.given += len(part)
        return part or None


class Stage:
    """A server whose response to /stream is the next of the given sources; /now responds at once."""

    def __init__(self, streamer, **options):
        self.streamer = streamer
        self.sources = SimpleQueue()
        handlers = {"stream": self._stream, "now": lambda _: Response(body=b"now")}
        table = Table(Route("GET", f"/{name}/", handle, name, Role.ANYONE, name) for name, handle in handlers.items())
        options = {"threads": 1} | options
        app = application(table, OpenGate(), lambda: ())
        self.server = Server(app, listen("127.0.0.1", 0), streamer=streamer, **options)
        self.server.start()

    length = None

    def _stream(self, _):
        length = {} if self.length is None else {"Content-Length": str(self.length)}
        return Response(body=self.sources.get_nowait(), headers={"Content-Type": "text/plain"} | length)


@pytest.fixture
def after():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def stage(after):
    """Start a server with a streamer. Ticks come only where a test wants them."""

    def start(threads=1, limit=1000, timeout=LONG, tick=LONG):
        made = Stage(Streamer(limit, timeout=timeout, tick=tick), threads=threads)
        after.callback(made.server.stop, PATIENCE)
        return made

    return start


@pytest.fixture
def connect(after):
    """Connect; `reads=False` is for a client that does not read, with a small receive buffer."""

    def to(stage, *, reads=True):
        client = after.enter_context(socket.socket())
        if not reads:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect(stage.server.address)
        return client

    return to


@pytest.fixture
def follow(connect):
    """Connect and request a stream from the source."""

    def on(stage, source, *, reads=True, request=GET):
        client = connect(stage, reads=reads)
        stage.sources.put(source)
        client.sendall(request)
        assert source.began.wait(PATIENCE)
        return client

    return on


def ask(stage, path="/now", method="GET"):
    with contextlib.closing(http.client.HTTPConnection(*stage.server.address, timeout=PATIENCE)) as client:
        client.request(method, path)
        response = client.getresponse()
        return response.status, response.headers, response.read()


def response_of(client):
    response = http.client.HTTPResponse(client)
    response.begin()
    return response


def everything(client):
    """Read up to the end of the connection; return the head and the rest."""
    received = b""
    while data := client.recv(PART):
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def is_cut(client):
    """Wait for the end of the connection; return whether the last chunk is missing."""
    try:
        return not everything(client)[1].endswith(b"0\r\n\r\n")
    except ConnectionResetError:
        return True


# No other client waits


def test_a_stream_occupies_no_worker(stage, follow):
    started = stage(threads=1)
    talks = [Talk() for _ in range(5)]
    clients = [follow(started, talk) for talk in talks]
    assert ask(started)[2] == b"now"
    for talk in talks:
        talk.say(b"the end", None)
    started.streamer.wake()
    assert [response_of(client).read() for client in clients] == [b"the end"] * 5


def test_190_clients_that_do_not_read_do_not_disturb_the_others(stage, follow):
    size = 2 * 1024 * 1024
    started = stage(threads=4)
    silent = [Flood(size) for _ in range(190)]
    for source in silent:
        follow(started, source, reads=False)
    readers = [follow(started, Flood(size)) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        reading = [pool.submit(lambda client: len(response_of(client).read()), client) for client in readers]
        assert [ask(started)[2] for _ in range(50)] == [b"now"] * 50
        assert [future.result(PATIENCE) for future in reading] == [size] * 10
    assert not any(source.closed.is_set() for source in silent)


def test_the_source_of_a_client_that_does_not_read_is_not_read_either(stage, follow):
    started = stage(tick=0.01)
    source, other = Flood(LONG * 1024 * 1024), Talk()
    follow(started, source, reads=False)
    follow(started, other)
    given = -1
    while given != source.given:  # It settles when the kernel's buffers are full.
        given, rounds = source.given, other.reads + 10
        wait_for(lambda rounds=rounds: other.reads >= rounds)
    assert given < 1024 * 1024


def wait_for(fact):
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What the client gets


def test_http_11_gets_chunks_with_a_last_chunk_and_then_the_connection_closes(stage, follow):
    talk = Talk(b"one ", b"and two", None)
    head, body = everything(follow(stage(), talk))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"4\r\none \r\n7\r\nand two\r\n0\r\n\r\n"
    assert talk.closes == 1


def test_the_head_of_a_stream_forbids_caching_and_buffering(stage, follow):
    headers = response_of(follow(stage(), Talk(None))).headers
    assert headers["Content-Type"] == "text/plain"
    assert headers["Transfer-Encoding"] == "chunked"
    assert headers["Connection"] == "close"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers


@pytest.mark.parametrize("more", [b"", b"Connection: Keep-Alive\r\n"])
def test_http_10_gets_no_chunks_and_the_connection_closes_at_the_end(stage, follow, more):
    request = b"GET /stream HTTP/1.0\r\nHost: localhost\r\n" + more + b"\r\n"
    head, body = everything(follow(stage(), Talk(b"one ", b"and two", None), request=request))
    assert body == b"one and two"
    assert b"Transfer-Encoding" not in head
    assert b"Keep-Alive" not in head


def test_a_head_request_gets_only_the_headers_and_the_source_is_closed(stage):
    started, talk = stage(), Talk(b"never said")
    started.sources.put(talk)
    status, headers, body = ask(started, "/stream", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"] == "text/plain"
    assert (talk.reads, talk.closes) == (0, 1)
    assert started.streamer._count == 0


def test_a_large_response_arrives_unchanged(stage, follow):
    parts = [bytes([i]) * PART for i in range(100)]
    assert response_of(follow(stage(), Talk(*parts, None))).read() == b"".join(parts)


def test_after_wake_the_data_of_a_source_is_sent_at_once(stage, follow):
    started, talk = stage(), Talk()
    client = follow(started, talk)
    response = response_of(client)
    took = []
    for _ in range(9):
        began = time.monotonic()
        talk.say(b"news\n")
        started.streamer.wake()
        assert response.readline() == b"news\n"
        took.append(time.monotonic() - began)
    assert sorted(took)[4] < 0.1


def test_without_wake_sources_are_read_at_each_tick(stage, follow):
    started, talk = stage(tick=0.05), Talk()
    response = response_of(follow(started, talk))
    talk.say(b"news\n")
    assert response.readline() == b"news\n"


def test_many_calls_of_wake_lead_to_few_rounds(stage, follow):
    started, talk, other = stage(), Talk(), Talk()
    response = response_of(follow(started, talk))
    follow(started, other)
    began, reads = time.monotonic(), other.reads
    for _ in range(1000):
        talk.say(b".")
        started.streamer.wake()
    assert response.read(1000) == b"." * 1000
    assert other.reads - reads <= (time.monotonic() - began) / 0.02 + 2


# Clients that disconnect


def test_a_client_that_disconnects_is_noticed_at_once_though_nothing_is_sent(stage, follow):
    talk = Talk()
    client = follow(stage(), talk)
    began = time.monotonic()
    client.close()
    assert talk.closed.wait(PATIENCE)
    assert time.monotonic() - began < 1


def test_a_client_that_resets_the_connection_is_noticed_and_nothing_is_logged(stage, follow, caplog):
    started, source = stage(), Flood(LONG * 1024 * 1024)
    client = follow(started, source, reads=False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert source.closed.wait(PATIENCE)
    started.server.stop(PATIENCE)
    assert source.closes == 1
    assert not caplog.records


def test_a_client_that_reads_nothing_for_too_long_is_dropped(stage, follow):
    source = Flood(LONG * 1024 * 1024)
    client = follow(stage(timeout=0.2, tick=0.05), source, reads=False)
    assert source.closed.wait(PATIENCE)
    assert is_cut(client)


def test_a_client_that_has_read_all_is_not_dropped_however_long_the_source_has_nothing(stage, follow):
    started, talk = stage(timeout=0.1, tick=0.02), Talk()
    client = follow(started, talk)
    wait_for(lambda: talk.reads > 20)
    talk.say(b"at last", None)
    assert response_of(client).read() == b"at last"


def test_requests_that_a_client_sends_during_a_stream_are_discarded(stage, follow):
    started, talk = stage(), Talk(b"one ")
    client = follow(started, talk)
    for _ in range(50):
        client.sendall(GET * 500)
    talk.say(b"and two", None)
    started.streamer.wake()
    client.sendall(GET)
    assert everything(client)[1] == b"4\r\none \r\n7\r\nand two\r\n0\r\n\r\n"


# Responses of finite length


def parts(*sizes):
    """An iterator as a route returns it, and an event that is set when it was exhausted or closed."""
    dropped = threading.Event()

    def generate():
        try:
            for size in sizes:
                yield b"x" * size
        finally:
            dropped.set()

    return generate(), dropped


def test_a_long_response_is_sent_completely_and_its_connection_stays_open(stage, connect):
    started = stage()
    client = connect(started)
    for size in (1, PART, 40 * PART):
        started.sources.put(parts(0, size, 0, size)[0])
        client.sendall(GET)
        response = response_of(client)
        assert "Connection" not in response.headers
        assert len(response.read()) == 2 * size


def test_a_worker_sends_only_the_beginning_of_a_long_response_to_a_fast_client(stage, connect):
    started, threads = stage(), []
    started.sources.put(threads.append(threading.current_thread().name) or b"x" * (PART // 16) for _ in range(64))
    client = connect(started)
    client.sendall(GET)
    assert len(response_of(client).read()) == 4 * PART
    assert len([name for name in threads if name != "kala-streams"]) <= 18


def test_a_long_response_whose_client_does_not_read_occupies_no_worker_and_buffers_one_part(stage, connect):
    started = stage(threads=1)
    read = []
    for _ in range(20):
        started.sources.put(read.append(len(read)) or b"x" * PART for _ in range(100))
        connect(started, reads=False).sendall(GET)
    assert ask(started)[2] == b"now"
    assert len(read) < 20 * 100


def test_a_client_that_half_closed_gets_all_of_a_long_response_and_of_the_next(stage, connect):
    started = stage()
    client = connect(started)
    for _ in range(2):
        started.sources.put(parts(*[PART] * 60)[0])
    client.sendall(GET * 2)
    client.shutdown(socket.SHUT_WR)
    _, received = everything(client)
    first, end, second = received.partition(b"\r\n0\r\n\r\n")
    assert end
    assert first.count(b"x") == second.partition(b"\r\n\r\n")[2].count(b"x") == 60 * PART


def test_a_response_has_its_content_length_or_is_aborted(stage, connect):
    started = stage()
    for promised, given in ((5, (3, 2)), (5, (3, 1)), (5, (3, 3))):
        started.sources.put(parts(*given)[0])
        started.length = promised
        client = connect(started)
        client.sendall(GET)
        if sum(given) == promised:
            assert response_of(client).read() == b"x" * promised
        else:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                response_of(client).read()


def test_a_response_that_is_read_too_slowly_is_aborted(stage, connect, monkeypatch):
    monkeypatch.setattr(stream, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(stream, "ANSWER_RATE", 1 << 40)
    started = stage(tick=0.02)
    answer, dropped = parts(*[PART] * 1000)
    started.sources.put(answer)
    client = connect(started, reads=False)
    client.sendall(GET)
    while not dropped.wait(0.005):
        client.recv(1000)
    assert is_cut(client)


def test_the_bytes_of_responses_that_no_client_reads_are_limited(after, connect):
    size = 10_000_000
    made = Stage(Streamer(tick=0.02, unsent=3 * size), threads=1)
    after.callback(made.server.stop, PATIENCE)
    answers = [parts(size, size) for _ in range(10)]
    for answer, _ in answers:
        made.sources.put(answer)
        connect(made, reads=False).sendall(GET)
    wait_for(lambda: sum(dropped.is_set() for _, dropped in answers) >= 4)
    assert not answers[-1][1].is_set()


def test_stop_waits_until_a_long_response_is_sent(stage, connect):
    started = stage()
    started.sources.put(parts(*[PART] * 100)[0])
    client = connect(started, reads=False)
    client.sendall(GET)
    response = response_of(client)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(started.server.stop, PATIENCE)
        assert len(response.read()) == 100 * PART
        stopping.result(PATIENCE)


def test_stop_aborts_a_long_response_that_is_not_read(stage, connect):
    started = stage()
    answer, dropped = parts(*[PART] * 1000)
    started.sources.put(answer)
    client = connect(started, reads=False)
    client.sendall(GET)
    response_of(client)
    began = time.monotonic()
    started.server.stop(0.2)
    assert time.monotonic() - began < 1.5
    assert dropped.is_set()
    assert is_cut(client)


# The limit


def test_above_the_limit_a_stream_gets_503_until_another_one_ends(stage, follow):
    started = stage(limit=2)
    first, second, refused = Talk(), Talk(), Talk()
    follow(started, first)
    client = follow(started, second)
    started.sources.put(refused)
    status, headers, body = ask(started, "/stream")
    assert status == 503
    assert headers["Retry-After"] == "1"
    assert json.loads(body)["error"].startswith("2 streams are open, which is the limit; ")
    assert (refused.reads, refused.closes) == (0, 1)
    second.say(None)
    started.streamer.wake()
    assert response_of(client).read() == b""
    assert response_of(follow(started, Talk(b"room", None))).read() == b"room"


def test_a_client_that_disconnects_no_longer_counts(stage, follow):
    started = stage(limit=1)
    for _ in range(20):
        talk = Talk()
        follow(started, talk).close()
        assert talk.closed.wait(PATIENCE)
        assert not started.streamer.is_full


def test_of_many_concurrent_requests_exactly_as_many_as_the_limit_are_served(stage, connect):
    started = stage(limit=5, threads=8)
    clients = [connect(started) for _ in range(40)]
    for client in clients:
        started.sources.put(Talk())
        client.sendall(GET)
    statuses = [response_of(client).status for client in clients]
    assert (statuses.count(200), statuses.count(503)) == (5, 35)


# Errors


def test_a_source_that_raises_ends_only_its_own_stream_and_is_logged(stage, follow, caplog):
    started = stage()
    bad, good = Talk(b"one", ValueError("broken")), Talk()
    client, other = follow(started, bad), follow(started, good)
    with pytest.raises(http.client.IncompleteRead):
        response_of(client).read()
    assert bad.closed.wait(PATIENCE)
    good.say(b"well", None)
    started.streamer.wake()
    assert response_of(other).read() == b"well"
    assert [(record.name, record.levelno) for record in caplog.records] == [("kala.http", logging.ERROR)]
    assert "broken" in caplog.text


def test_a_source_that_cannot_be_closed_is_logged_and_affects_no_other(stage, follow, caplog):
    class Stuck(Talk):
        def close(self):
            super().close()
            raise ValueError("stuck")

    started = stage(limit=1)
    assert response_of(follow(started, Stuck(b"one", None))).read() == b"one"
    assert response_of(follow(started, Talk(b"two", None))).read() == b"two"
    assert "stuck" in caplog.text


# Starting and stopping


def test_stop_ends_all_streams_at_once(stage, follow):
    started = stage(threads=4)
    sources = [Talk(b"one") for _ in range(50)] + [Flood(LONG * 1024 * 1024) for _ in range(50)]
    clients = [follow(started, source, reads=isinstance(source, Flood)) for source in sources]
    began = time.monotonic()
    started.server.stop(PATIENCE)
    assert time.monotonic() - began < 1
    assert [source.closes for source in sources] == [1] * 100
    assert all(is_cut(client) for client in clients)


def test_stop_does_not_wait_for_a_source_that_hangs(stage, follow):
    going_on = threading.Event()

    class Hung(Talk):
        def read(self):
            super().read()
            going_on.wait(LONG)
            return b""

    started, hung = stage(), Hung()
    follow(started, hung)
    began = time.monotonic()
    started.server.stop(PATIENCE)
    took = time.monotonic() - began
    going_on.set()
    started.streamer._thread.join(PATIENCE)
    assert took < 1.5
    assert hung.closes == 1


def test_stop_leaves_no_descriptor_and_no_thread(stage, follow):
    before = set(Path("/proc/self/fd").iterdir()), threading.active_count()
    started = stage()
    clients = [follow(started, Talk(b"one")) for _ in range(10)]
    started.server.stop(PATIENCE)
    for client in clients:
        client.close()
    assert (set(Path("/proc/self/fd").iterdir()), threading.active_count()) == before


def test_a_streamer_may_be_started_and_stopped_by_many_threads_at_once():
    streamer = Streamer()
    barrier = threading.Barrier(10)

    def start_and_stop(_):
        barrier.wait(PATIENCE)
        streamer.start()
        streamer.wake()
        streamer.stop()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(start_and_stop, range(10)))
    assert not streamer._thread.is_alive()


def test_a_streamer_that_was_stopped_admits_no_more(stage):
    started = stage()
    started.streamer.stop()
    with pytest.raises(Busy, match="stopping"):
        started.streamer.admit()
    talk = Talk()
    started.sources.put(talk)
    assert ask(started, "/stream")[0] == 503
    assert talk.closes == 1


def test_a_stream_whose_head_was_sent_while_the_streamer_stopped_is_aborted(stage, connect):
    started, talk = stage(), Talk(b"never said")
    adopt = started.streamer.adopt

    def stop_and_adopt(*args):
        started.streamer.stop()
        adopt(*args)

    started.streamer.adopt = stop_and_adopt
    started.sources.put(talk)
    client = connect(started)
    client.sendall(GET)
    head, body = everything(client)
    assert b"200 OK" in head
    assert body == b""
    assert (talk.reads, talk.closes) == (0, 1)
