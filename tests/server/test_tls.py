"""HTTPS: the same server, whose clients are slow, silent, wrong or gone, and whose certificate changes."""

import contextlib
import http.client
import json
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from raw_http import CHUNKED, GET, LONG, PATIENCE, POST, SHORT, Client, Gate, answer, echo, in_background
from samples import LOCALHOST

from kala.core.errors import Invalid
from kala.server.certificate import Certificate
from kala.server.connection import Connection
from kala.server.connections import Connections
from kala.server.listener import SocketFile, listen
from kala.server.outbox import Outbox
from kala.server.peer import Peer
from kala.server.server import Server
from kala.server.source import PART, Parts, Source
from kala.server.streamer import Streamer
from kala.server.tls_socket import TlsSocket, _records

OTHER = Path(__file__).parent / "tls" / "other.pem"
MEGABYTES = 3_000_000
RESET = struct.pack("ii", 1, 0)


def client_context(trusted=LOCALHOST):
    return ssl.create_default_context(cafile=trusted)


class Endless(Source):
    """A live stream that always has more, and knows that it was closed."""

    def __init__(self):
        self.closed = threading.Event()

    def read(self):
        return b"x" * PART

    def close(self):
        self.closed.set()


class Site:
    """An application with responses of several kinds."""

    def __init__(self):
        self.endless = Endless()
        self.gate = Gate()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/wait":
            return self.gate(environ, start_response)
        if path == "/long":
            return self._stream(environ, start_response, Parts(bytes([i]) * PART for i in range(100)))
        if path == "/live":
            return self._stream(environ, start_response, self.endless)
        if path == "/scheme":
            return answer(start_response, "200 OK", [environ["wsgi.url_scheme"], environ["kala.peer"].address])
        if path == "/large":
            return answer(start_response, "200 OK", "x" * MEGABYTES)
        return echo(environ, start_response)

    @staticmethod
    def _stream(environ, start_response, source):
        start_response("200 OK", [("Content-Type", "text/plain")])
        environ["kala.stream"](source)
        return []


@pytest.fixture
def site():
    made = Site()
    yield made
    made.gate.open.set()


@pytest.fixture
def certificate(files):
    return Certificate(*files)


@pytest.fixture
def https(serve, site, certificate):
    """Start a server of the site with TLS."""

    def start(app=site, **options):
        return serve(app, certificate=certificate, max_body=MEGABYTES, **options)

    return start


@pytest.fixture
def connect(connect):
    """Connect with TLS, unless `tls` says otherwise."""

    def to(started, tls=client_context()):  # noqa: B008  one for all tests
        return connect(started, tls)

    return to


@pytest.fixture
def dial(after):
    """Connect without TLS and without a handshake."""

    def to(started, receive_buffer=None):
        client = after.enter_context(socket.socket())
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(started.address)
        return client

    return to


class InMemory:
    """A TLS client whose records a test sends as it likes."""

    def __init__(self, raw, context=None):
        self.raw = raw
        self.received, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(self.received, self._outgoing, server_hostname="localhost")

    def outgoing(self):
        return self._outgoing.read()

    def shake_hands(self, send):
        self._until_done(self.tls.do_handshake, send)

    def read(self):
        return self._until_done(lambda: self.tls.read(PART), self.raw.sendall)

    def _flush(self, send):
        if data := self.outgoing():
            send(data)

    def _until_done(self, step, send):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush(send)
                if data := self.raw.recv(PART):
                    self.received.write(data)
                else:
                    self.received.write_eof()
            else:
                self._flush(send)
                return done


def path(name):
    return GET.replace(b"/", name.encode(), 1)


def get(client, name):
    return client.ask(path(name))


def everything(client):
    """Read a response without a length up to the end of the connection, which a close_notify must announce."""
    client.socket.suppress_ragged_eofs = False
    return client.file.read()


def wait_for(fact):
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Requests and responses


def test_a_request_is_answered_and_its_scheme_is_https(https, connect):
    client = connect(https())
    assert json.loads(get(client, "/scheme").body) == ["https", "127.0.0.1"]
    assert client.socket.version() == "TLSv1.3"


def test_a_connection_serves_many_requests(https, connect):
    client = connect(https())
    for _ in range(5):
        answered = client.ask(GET)
        assert (answered.status, answered.headers["Connection"]) == (200, None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_bodies_arrive_unchanged_both_ways(https, connect, version):
    context = client_context()
    context.minimum_version = context.maximum_version = version
    client = connect(https(), context)
    body = random.Random(1).randbytes(MEGABYTES)
    client.socket.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
    client.socket.sendall(body)
    answered = client.answer()
    assert json.loads(answered.body)["body"].encode("latin-1") == body


def test_a_chunked_body_may_arrive_in_records_of_one_byte(https, connect):
    client = connect(https())
    for byte in CHUNKED + b"4\r\nbody\r\n0\r\n\r\n":
        client.socket.send(bytes([byte]))
    assert json.loads(client.answer().body)["body"] == "body"


def test_pipelined_requests_in_one_record_are_all_answered(https, connect):
    client = connect(https())
    client.socket.sendall(GET * 100)
    assert [client.answer().status for _ in range(100)] == [200] * 100


@pytest.mark.parametrize("fill", [60_000, 49_100, 33_000])
def test_a_record_that_spans_a_long_head_and_the_next_request_is_read_completely(https, connect, fill):
    """Data that stays in OpenSSL wakes no selector."""
    client = connect(https())
    head = GET[:-2] + b"A: " + b"x" * (fill - len(GET) - 7) + b"\r\n\r\n"
    client.socket.sendall(head + GET * 20)
    assert [client.answer().status for _ in range(21)] == [200] * 21


def test_no_data_stays_in_openssl_after_a_read(https, connect, monkeypatch):
    left = []
    read = TlsSocket.recv

    def recv(self, *args):
        data = read(self, *args)
        left.append(self.pending())
        return data

    monkeypatch.setattr(TlsSocket, "recv", recv)
    client = connect(https())
    client.socket.sendall((GET[:-2] + b"A: " + b"x" * 5000 + b"\r\n\r\n") * 30)
    assert [client.answer().status for _ in range(30)] == [200] * 30
    assert set(left) == {0}


def test_a_long_response_arrives_unchanged(https, connect):
    client = connect(https())
    client.socket.sendall(path("/long").replace(b"1.1", b"1.0"))
    _, _, body = everything(client).partition(b"\r\n\r\n")
    assert body == b"".join(bytes([i]) * PART for i in range(100))


def test_clients_that_read_slowly_delay_no_other(https, connect, dial, after):
    started = https()
    slow = []
    for _ in range(10):
        raw = dial(started, receive_buffer=4096)
        client = after.enter_context(client_context().wrap_socket(raw, server_hostname="localhost"))
        client.sendall(path("/long"))
        slow.append(client)
    assert get(connect(started), "/").status == 200
    for client in slow:
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.read() == b"".join(bytes([i]) * PART for i in range(100))


def test_a_large_response_is_sent_by_a_thread_of_its_own(https, connect):
    started = https()
    client, other = connect(started), connect(started)
    client.socket.sendall(path("/large") * 2)
    assert get(other, "/").status == 200
    assert [len(json.loads(client.answer().body)) for _ in range(2)] == [MEGABYTES] * 2


def test_a_live_stream_ends_when_its_client_disconnects(https, connect, site):
    client = connect(https())
    client.socket.sendall(path("/live"))
    assert len(client.file.read(5_000_000)) == 5_000_000
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    assert site.endless.closed.wait(PATIENCE)


def test_a_live_stream_ends_when_its_client_says_so(https, connect, site):
    client = connect(https())
    client.socket.sendall(path("/live"))
    assert client.file.read(1000)
    with contextlib.suppress(ssl.SSLError):  # data that was under way
        client.socket.unwrap()
    assert site.endless.closed.wait(PATIENCE)


def test_a_half_closed_connection_still_gets_its_responses(https, dial):
    client = InMemory(dial(https()))
    client.shake_hands(client.raw.sendall)
    client.tls.write(path("/large").replace(b"1.1", b"1.0"))
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.raw.sendall(client.outgoing())
    client.raw.shutdown(socket.SHUT_WR)
    size = 0
    while data := client.raw.recv(PART):
        size += len(data)
    assert size > MEGABYTES


# Ends


def test_the_end_of_a_response_without_a_length_is_announced(https, connect):
    client = connect(https())
    client.socket.sendall(GET.replace(b"1.1", b"1.0"))
    assert everything(client).endswith(b"}")


def test_the_end_of_an_idle_connection_is_announced(https, connect):
    client = connect(https(idle_timeout=SHORT))
    assert client.ask(GET).status == 200
    assert everything(client) == b""


def test_a_response_that_is_cut_short_ends_without_close_notify(https, connect):
    def broken():
        yield b"begin"
        yield b"x" * PART
        raise OSError("no more")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        environ["kala.stream"](Parts(broken()))
        return []

    client = connect(https(app))
    client.socket.sendall(GET.replace(b"1.1", b"1.0"))
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        everything(client)


@pytest.mark.parametrize("linger", [None, RESET], ids=["without close_notify", "reset"])
def test_clients_that_vanish_leave_nothing_behind(https, connect, dial, log, linger):
    connections = Connections(10)
    started = https(connections=connections)
    for sent in (b"", GET[:10], POST + b"Content-Length: 9\r\n\r\nabc"):
        client = InMemory(dial(started))
        client.shake_hands(client.raw.sendall)
        if sent:
            client.tls.write(sent)
            client.raw.sendall(client.outgoing())
        if linger:
            client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.raw.close()
    wait_for(lambda: connections.usage.open == 0)
    assert get(connect(started), "/").status == 200
    assert not log.records


def test_a_truncated_body_is_invalid_also_without_close_notify(https, dial):
    client = InMemory(dial(https()))
    client.shake_hands(client.raw.sendall)
    client.tls.write(POST + b"Content-Length: 9\r\n\r\nabc")
    client.raw.sendall(client.outgoing())
    client.raw.shutdown(socket.SHUT_WR)
    assert client.read().startswith(b"HTTP/1.1 400")


def test_stop_closes_open_connections_and_finishes_requests(https, connect, dial, site, after):
    started = https(threads=2)
    idle, busy = connect(started), connect(started)
    idle.ask(GET)
    silent = dial(started)
    within = InMemory(dial(started))
    with contextlib.suppress(ssl.SSLWantReadError):
        within.tls.do_handshake()
    within.raw.sendall(within.outgoing()[:20])
    busy.socket.sendall(path("/wait"))
    assert site.gate.entered.acquire(timeout=PATIENCE)
    stopping = in_background(after, started.stop, PATIENCE)
    assert everything(idle) == b""
    site.gate.open.set()
    assert len(json.loads(busy.answer().body)) == 500_000
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert silent.recv(1) == b""
    assert within.raw.recv(1) == b""


def test_nothing_is_left_open_after_stop(https, connect, dial):
    before = set(Path("/proc/self/fd").iterdir())
    started = https()
    clients = [connect(started), connect(started)]
    clients[0].ask(GET)
    clients[1].socket.sendall(GET[:9])
    raw = dial(started)
    started.stop(PATIENCE)
    for client in clients:
        client.close()
    raw.close()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_stop_does_not_wait_for_a_handler_that_hangs(https, connect, site):
    started = https(threads=2)
    hung = connect(started)
    hung.socket.sendall(path("/wait"))
    assert site.gate.entered.acquire(timeout=PATIENCE)
    began = time.monotonic()
    started.stop(0.2)
    assert time.monotonic() - began < 1.2
    assert hung.is_closed()


# Handshakes


def test_200_silent_clients_stop_nobody(https, connect, dial):
    started = https(threads=1)
    silent = [dial(started) for _ in range(200)]
    assert get(connect(started), "/").status == 200
    client = client_context().wrap_socket(silent[0], server_hostname="localhost")
    client.sendall(GET)
    assert client.recv(12) == b"HTTP/1.1 200"
    client.close()


@pytest.mark.parametrize("size", [1, 4, 5, 6, 100, -1])
def test_clients_that_stop_within_the_handshake_stop_nobody(https, connect, dial, size):
    started = https(threads=1)
    for _ in range(20):
        client = InMemory(dial(started))
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.raw.sendall(client.outgoing()[:size])
    assert get(connect(started), "/").status == 200


def test_a_handshake_may_arrive_bytewise(https, dial):
    client = InMemory(dial(https()))

    def bytewise(data):
        for byte in data:
            client.raw.sendall(bytes([byte]))

    client.shake_hands(bytewise)
    client.tls.write(GET)
    bytewise(client.outgoing())
    assert client.read().startswith(b"HTTP/1.1 200")


def test_a_client_that_sends_a_handshake_too_slowly_is_disconnected(https, dial):
    raw = dial(https(idle_timeout=SHORT))
    client = InMemory(raw)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.do_handshake()
    raw.settimeout(0.02)
    began = time.monotonic()
    closed = False
    with contextlib.suppress(ConnectionError):
        for byte in client.outgoing():
            raw.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                closed = raw.recv(1) == b""
            if closed:
                break
    assert SHORT <= time.monotonic() - began < PATIENCE


def test_half_a_record_within_a_request_occupies_no_worker(https, connect, dial):
    started = https(threads=1, idle_timeout=1)
    half = []
    for sent in (GET, POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 100_000):
        client = InMemory(dial(started))
        client.shake_hands(client.raw.sendall)
        client.tls.write(sent)
        client.raw.sendall(client.outgoing()[:-3])
        half.append(client)
    assert get(connect(started), "/").status == 200
    assert half[0].raw.recv(PART)  # session tickets
    while half[0].raw.recv(PART):
        pass  # closed after the idle timeout


def test_at_the_limit_a_silent_handshake_gives_way(https, connect, dial):
    started = https(connections=Connections(4))
    silent = [dial(started) for _ in range(4)]
    assert get(connect(started), "/").status == 200
    assert silent[0].recv(1) == b""


def test_a_handshake_waits_until_the_socket_is_writable_if_it_must(https, connect, monkeypatch):
    waited = []

    def do_handshake(self, *args):
        if len(waited) < 3:
            waited.append(self)
            raise ssl.SSLWantWriteError
        return ssl.SSLSocket.do_handshake(self, *args)

    monkeypatch.setattr(TlsSocket, "do_handshake", do_handshake)
    assert get(connect(https()), "/").status == 200
    assert len(waited) == 3


def test_a_live_stream_ends_if_its_client_demands_an_answer_and_reads_nothing(https, connect, site, monkeypatch):
    def blocked(self, *_):
        self.wants_write = True
        raise BlockingIOError

    client = connect(https())
    client.socket.sendall(path("/live"))
    assert client.file.read(10)
    monkeypatch.setattr(TlsSocket, "recv", blocked)
    client.socket.sendall(b"x")
    assert site.endless.closed.wait(PATIENCE)


@pytest.mark.parametrize("letter", ["R", "K"])
def test_a_client_may_ask_for_new_keys_only_where_that_is_cheap(https, connect, letter):
    """Renegotiation in TLS 1.2 is refused; a KeyUpdate in TLS 1.3 is answered."""
    started = https(threads=1)
    version = "-tls1_2" if letter == "R" else "-tls1_3"
    command = ["openssl", "s_client", version, "-connect", "{}:{}".format(*started.address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        lines = iter(process.stdout.readline, b"")
        assert any(b"Verify return code" in line for line in lines)
        process.stdin.write(letter.encode() + b"\n")
        process.stdin.flush()
        assert any({"R": b"RENEGOTIATING", "K": b"KEYUPDATE"}[letter] in line for line in lines)
        assert get(connect(started), "/").status == 200
        if letter == "K":
            process.stdin.write(GET)
            process.stdin.flush()
            assert any(line.startswith(b"HTTP/1.1 200") for line in lines)
        process.kill()


def test_tls_1_1_is_refused(https, connect):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    started = https()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version"):
        connect(started, context)
    assert get(connect(started), "/").status == 200


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None)])
def test_the_protocol_is_http_1_1(https, connect, offered, chosen):
    context = client_context()
    context.set_alpn_protocols(offered)
    client = connect(https(), context)
    assert client.socket.selected_alpn_protocol() == chosen
    assert client.ask(GET).status == 200


# Without TLS


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"OPTIONS"])
def test_plain_http_gets_a_sentence(https, connect, method):
    client = connect(https(), None)
    answered = client.ask(GET.replace(b"GET", method, 1))
    assert (answered.status, answered.headers["Connection"]) == (400, "close")
    assert json.loads(answered.body) == {"error": "this port speaks HTTPS; use https://"}
    assert "Strict-Transport-Security" not in answered.headers
    assert client.is_closed()


def test_a_client_that_goes_on_with_plain_http_gets_the_whole_sentence_and_is_disconnected(https, connect):
    client = connect(https(idle_timeout=SHORT), None)
    client.socket.sendall(POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 500_000)
    assert client.answer().status == 400
    assert client.file.read() == b""


@pytest.mark.parametrize("sent", [b"\x00\x01", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x03\x01", b"123", b"\x15\x03"])
def test_nonsense_instead_of_a_handshake_is_refused(https, connect, dial, log, sent):
    started = https(idle_timeout=SHORT)
    client = dial(started)
    client.sendall(sent)
    with contextlib.suppress(ConnectionResetError):
        while client.recv(100):
            pass
    assert get(connect(started), "/").status == 200
    assert not log.records


def test_a_unix_socket_stays_without_tls(after, site, files, tmp_path):
    file = SocketFile(tmp_path / "kala.sock", "no such group")
    started = Server(site, listen("127.0.0.1", 0), file.socket, certificate=Certificate(*files), threads=1)
    after.callback(started.stop, PATIENCE)
    started.start()
    for address, context, scheme in [((str(tmp_path / "kala.sock"), 0), None, "http"), (started.address, 1, "https")]:
        client = Client(address, context and client_context())
        after.callback(client.close)
        answered = get(client, "/scheme")
        assert json.loads(answered.body)[0] == scheme
        assert ("Strict-Transport-Security" in answered.headers) == (scheme == "https")


# Only HTTPS from now on


def test_browsers_are_told_to_use_https_only(https, connect):
    headers = connect(https()).ask(GET).headers
    assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]


@pytest.mark.parametrize("host", [b"localhost", b"LocalHost:8443", b"kala.localhost"])
def test_other_programs_on_localhost_may_go_on_without_tls(https, connect, host):
    headers = connect(https()).ask(GET.replace(b"Host: kala", b"Host: " + host)).headers
    assert "Strict-Transport-Security" not in headers


def test_without_tls_nothing_is_said_of_https(serve, connect):
    assert "Strict-Transport-Security" not in connect(serve(), None).ask(GET).headers


# A certificate that changes


def test_new_connections_get_a_new_certificate_and_old_ones_go_on(https, connect, certificate, files):
    started = https()
    old = connect(started)
    assert old.ask(GET).status == 200
    for file in files:
        shutil.copy(OTHER, file)
    certificate.reload()
    assert old.ask(GET).status == 200
    assert connect(started, client_context(OTHER)).ask(GET).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(started)


def test_a_reload_with_a_wrong_key_is_an_error_and_changes_nothing(https, connect, certificate, files):
    started = https()
    shutil.copy(OTHER, files[1])
    with pytest.raises(Invalid, match=f"tls_key: {files[1]} does not have the key of the certificate in {files[0]}"):
        certificate.reload()
    assert connect(started).ask(GET).status == 200


def test_files_that_change_are_loaded_by_themselves(https, connect, files, monkeypatch):
    monkeypatch.setattr("kala.server.certificate._INTERVAL", 0.05)
    started = https(idle_timeout=0.4)  # the watching thread checks four times as often
    for file in files:
        shutil.copy(OTHER, file)

    def is_new():
        try:
            return connect(started, client_context(OTHER)).ask(GET).status == 200
        except ssl.SSLCertVerificationError:
            return False

    wait_for(is_new)


# Other clients


def test_http_client_of_python_gets_and_posts(https):
    started = https()
    port = started.address[1]
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", port, context=client_context(), timeout=PATIENCE)
    ) as client:
        for method, body in [("GET", b""), ("POST", b"x" * 1_000_000), ("GET", b"")]:
            client.request(method, "/", body)
            response = client.getresponse()
            assert len(json.loads(response.read())["body"]) == len(body)


@pytest.mark.parametrize("version", [[], ["--tls-max", "1.2"]])
def test_curl_gets_and_posts(https, tmp_path, version):
    port = https().address[1]
    (tmp_path / "body").write_bytes(b"y" * 2_000_000)
    curl = ["curl", "-sS", "--fail", "--cacert", LOCALHOST, *version]
    url = f"https://localhost:{port}"
    long = subprocess.run([*curl, f"{url}/long"], capture_output=True, check=True, timeout=LONG)
    assert long.stdout == b"".join(bytes([i]) * PART for i in range(100))
    sent = ["--data-binary", f"@{tmp_path}/body"]
    posted = subprocess.run(
        [*curl, *sent, url, "--next", *curl[1:], url], capture_output=True, check=True, timeout=LONG
    )
    assert b"y" * 2_000_000 in posted.stdout


# Records


@pytest.mark.parametrize(
    ("sizes", "records"),
    [([], []), ([1], [1]), ([200, 300], [500]), ([200, 16384], [16384, 200]), ([40000], [16384, 16384, 7232])],
)
def test_data_is_sent_in_as_few_records_as_possible(sizes, records):
    buffers = [memoryview(bytes([number]) * size) for number, size in enumerate(sizes)]
    made = [bytes(record) for record in _records(buffers)]
    assert [len(record) for record in made] == records
    assert b"".join(made) == b"".join(buffers)


def test_a_record_that_was_not_sent_is_sent_again_with_what_came_after(after):
    """OpenSSL refuses a repeated record that is shorter, or another one."""
    ours, theirs = (after.enter_context(one) for one in socket.socketpair())
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    server = after.enter_context(Certificate(LOCALHOST, LOCALHOST).wrap(ours))
    client = InMemory(theirs)
    shaking = in_background(after, client.shake_hands, theirs.sendall)
    deadline = time.monotonic() + PATIENCE
    while shaking.is_alive() and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            server.recv()
    outbox, dice = Outbox(server), random.Random(2)
    parts = [dice.randbytes(dice.choice([1, 100, 999, 20_000])) for _ in range(300)]
    received = bytearray()
    whole = sum(map(len, parts))

    def read_all():
        while len(received) < whole:
            received.extend(client.read())

    reading = in_background(after, read_all)
    for part in parts:
        outbox.write(part)
        outbox.send()
    outbox.drain(PATIENCE)
    reading.join(PATIENCE)
    assert received == b"".join(parts)


def test_a_connection_without_tls_never_waits_to_write(after):
    one, _ = (after.enter_context(made) for made in socket.socketpair())
    assert not Connection(SimpleNamespace(cheroot=None), one, Peer(one, None), None).wants_write


def test_the_streams_thread_is_not_needed_for_small_responses(https, connect):
    streamer = Streamer()
    client = connect(https(streamer=streamer))
    for _ in range(3):
        client.ask(GET)
    assert not streamer._adopted
    assert not streamer._streams
