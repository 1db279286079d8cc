"""Responses byte for byte (RFC 9110 and 9112), and how a call handles them."""

import gzip
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

import kala
from kala.core.job import HttpCall
from kala.core.run import Outcome
from kala.runner import content, http_call, resolver
from kala.runner.cancellation import Cancellation
from kala.runner.output import Output

PATIENCE = 10
# A key, and a self-signed certificate for localhost, 127.0.0.1 and ::1.
PEM = Path(__file__).parent / "localhost.pem"
# What a server does instead of sending bytes: the last one closes without close_notify.
RESET, HOLD, CUT = b"<reset>", b"<hold>", b"<cut>"

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSED = "the connection was closed before a complete response"
TOO_LONG = "the headers or the chunk framing are longer than 65536 bytes"


class Server:
    """Answers one connection after the other with exactly these bytes, and keeps the requests.

    An answer is bytes, or a tuple of bytes that are sent apart. The last answer is for all connections that follow.
    """

    def __init__(self, *answers: bytes | tuple[bytes, ...], host: str = "127.0.0.1") -> None:
        self._answers = [(answer,) if isinstance(answer, bytes) else answer for answer in answers]
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._is_closing = Event()
        self._thread = Thread(target=self._serve)
        self.asked: list[bytes] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        number = 0
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                with accepted, suppress(OSError):
                    self.handle(accepted, self._answers[min(number, len(self._answers) - 1)])
                number += 1

    def handle(self, accepted: socket.socket, answer: tuple[bytes, ...]) -> None:
        self.asked.append(_request(accepted))
        self.send(accepted, answer)

    def send(self, accepted: socket.socket, answer: tuple[bytes, ...]) -> None:
        for part in answer:
            if part is RESET:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if part is HOLD:
                self._is_closing.wait(PATIENCE)
                return
            if part is not CUT:
                accepted.sendall(part)
            self._is_closing.wait(0.01 if len(answer) > 1 else 0)


def _request(accepted: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        data = accepted.recv(65536)
        if not data:
            break
        received += data
    return received


class HastyServer(Server):
    """A server that responds to whatever the first bytes are."""

    def handle(self, accepted: socket.socket, answer: tuple[bytes, ...]) -> None:
        self.asked.append(accepted.recv(65536))
        self.send(accepted, answer)


class TlsServer(Server):
    """A server with TLS. It answers CONNECT with the first part of its response, and then acts as the target host."""

    def handle(self, accepted: socket.socket, answer: tuple[bytes, ...]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        if accepted.recv(1, socket.MSG_PEEK) == b"C":
            self.asked.append(_request(accepted))
            self.send(accepted, answer[:1])
            answer = answer[1:]
        with context.wrap_socket(accepted, server_side=True) as secure:
            self.asked.append(_request(secure))
            self.send(secure, answer)
            if answer[-1] is not CUT:
                secure.unwrap().close()


class Ended(msgspec.Struct):
    """The outcome of a call, and its kept output."""

    outcome: Outcome
    output: bytes

    @property
    def facts(self) -> tuple[str, int | None, bytes]:
        return str(self.outcome.state), self.outcome.http_status, self.output


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(*answers: bytes | tuple[bytes, ...], kind: type[Server] = Server, host: str = "127.0.0.1") -> Server:
        servers.append(kind(*answers, host=host))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def call(tmp_path) -> Callable[..., Ended]:
    def call(url: str, timeout: float = PATIENCE, **fields: object) -> Ended:
        output = Output(tmp_path, 1, 1 << 20)
        outcome = http_call.run(HttpCall(url=url, **fields), timeout, output, Cancellation(), "the-job")
        data = output.close()
        return Ended(outcome, output.path.read_bytes() if data is None else data)

    return call


COMPLETE = {
    "a length": OK + HELLO,
    "no reason phrase": b"HTTP/1.1 200\r\n" + HELLO,
    "an empty reason phrase": b"HTTP/1.1 200 \r\n" + HELLO,
    "HTTP/1.0 and the end of the connection": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "HTTP/1.1 and the end of the connection": OK + b"\r\nhello",
    "lines that end with LF alone": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "more than its length": OK + HELLO + b"HTTP/1.1 500 Smuggled\r\n\r\n",
    "the same length twice": OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "the same length twice in one header": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a folded header": OK + b"X: a\r\n  b\r\n" + HELLO,
    "a header that is not ASCII": OK + b"X: \xe4\xff\r\n" + HELLO,
    "a long head": OK + b"X: y\r\n" * 10_000 + HELLO,
    "chunks": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "chunks with extensions": CHUNKED + b'2;a=b\r\nhe\r\n003;c="d" \r\nllo\r\n0;e\r\n\r\n',
    "chunks and trailers": CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n",
    "chunks beside a length, which they override": OK + b"Content-Length: 99\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\nLink: </x>\r\n\r\nHTTP/1.1 199 New\r\n\r\n" + OK + HELLO,
    "gzip": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello"),
    "gzip in two members with padding": OK
    + b"Content-Encoding: x-gzip\r\n\r\n"
    + gzip.compress(b"hel")
    + gzip.compress(b"lo")
    + bytes(9),
    "deflate": OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"hello"),
    "deflate without the header of zlib": OK
    + b"Content-Encoding: deflate\r\n\r\n"
    + zlib.compress(b"hello", wbits=-15),
    "a coding that Kala does not know": OK + b"Content-Encoding: br\r\n" + HELLO,
    "no coding by its name": OK + b"Content-Encoding: identity\r\n" + HELLO,
}

# The bytes received, the message after `GET <url>`, the status, and the kept output.
BROKEN = {
    "nothing": (b"", CLOSED, None, b""),
    "a reset": (RESET, "Connection reset by peer", None, b""),
    "another protocol": (b"220 mail ESMTP\r\n\r\n", "illegal status line: ('220 mail ESMTP')", None, b""),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "invalid HTTP/1.1 response: illegal status line: ('HTTP/2 200')", None, b""),
    "a forged log line": (
        b"\x1b[2J\r2026-11-27 00:00:00.000 backup: run 7 succeeded\n\n",
        r"illegal status line: ('\x1b[2J\r2026-11-27 00:00:00.000 backup: run 7 succeeded')",
        None,
        b"",
    ),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "illegal status line: ('HTTP/1.1 20 OK')", None, b""),
    "an end within the status line": (b"HTTP/1.1 2", CLOSED, None, b""),
    "an end after the status line": (OK, CLOSED, None, b""),
    "an end within the headers": (OK + b"X: y\r\nCont", CLOSED, None, b""),
    "an end after an interim response": (b"HTTP/1.1 103 Hints\r\n\r\n", CLOSED, None, b""),
    "a line without a name": (OK + b"nonsense\r\n\r\n", "illegal header line: ('nonsense')", None, b""),
    "a space after the name": (OK + b"X : y\r\n\r\n", "illegal header line: ('X : y')", None, b""),
    "a short body": (
        OK + b"Content-Length: 9\r\n\r\nhello",
        "the connection was closed after 5 of 9 bytes",
        200,
        b"hello",
    ),
    "a reset within the body": (
        (OK + b"Content-Length: 9\r\n\r\nhello", RESET),
        "Connection reset by peer",
        200,
        b"hello",
    ),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", "bad Content-Length", None, b""),
    "a length that is no number": (
        OK + b"Content-Length: 5x\r\n\r\nhello",
        "bad Content-Length",
        None,
        b"",
    ),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhello", "bad Content-Length", None, b""),
    "two lengths": (
        OK + b"Content-Length: 5\r\n" + HELLO.replace(b"5", b"6"),
        "conflicting Content-Length headers",
        None,
        b"",
    ),
    "an unknown framing": (
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        "Only Transfer-Encoding: chunked is supported",
        None,
        b"",
    ),
    "a framing that RFC 9112 has no longer": (
        OK + b"Transfer-Encoding: identity\r\n" + HELLO,
        "Only Transfer-Encoding: chunked is supported",
        None,
        b"",
    ),
    # RFC 9112 forbids sending it and asks clients to accept it; h11 does not.
    "a blank before the extension of a chunk": (
        CHUNKED + b"5 ;a\r\nhello\r\n0\r\n\r\n",
        "illegal chunk header: ('5 ;a",
        200,
        b"",
    ),
    "a chunk of nonsense": (CHUNKED + b"2\r\nhe\r\nx\r\n", r"illegal chunk header: ('x\r\n')", 200, b"he"),
    "a chunk of negative size": (CHUNKED + b"-1\r\n" + bytes(99), r"illegal chunk header: ('-1\r\n')", 200, b""),
    "a chunk of a size like Python's": (
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        r"illegal chunk header: ('0x5\r\n')",
        200,
        b"",
    ),
    "a chunk that is too long": (CHUNKED + b"2\r\nhello\r\n", "malformed chunk footer: ('ll')", 200, b"he"),
    "a chunk that ends early": (CHUNKED + b"9\r\nhello", CLOSED, 200, b"hello"),
    "no last chunk": (CHUNKED + b"5\r\nhello\r\n", CLOSED, 200, b"hello"),
    "no end of the trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n", CLOSED, 200, b"hello"),
    "gzip that ends early": (
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello")[:-8],
        "the compressed body is truncated",
        200,
        b"hello",
    ),
    "gzip that is none": (OK + b"Content-Encoding: gzip\r\n" + HELLO, "the compressed body is corrupt", 200, b""),
    "a status line without end": (b"HTTP/1.1 200 " + b"x" * 70_000, TOO_LONG, None, b""),
    "a header without end": (OK + b"X: " + b"y" * 70_000, TOO_LONG, None, b""),
    "headers without end": (OK + b"X: y\r\n" * 20_000, TOO_LONG, None, b""),
    "interim responses without end": (
        b"HTTP/1.1 100 X\r\n\r\n" * 9_999,
        TOO_LONG,
        None,
        b"",
    ),
    "a chunk extension without end": (CHUNKED + b"5;" + b"x" * 70_000, TOO_LONG, 200, b""),
    "trailers without end": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000, TOO_LONG, 200, b""),
}

# Responses below the size limit that can keep the CPU busy.
BLANKS = b" " * 60_000
COSTLY = {
    "blanks within a header": OK + b"X: a" + BLANKS + b"b\r\n" + HELLO,
    "blanks before a NUL": OK + b"X: " + BLANKS + b"\0\r\n" + HELLO,
    "folds without text": OK + b"X:" + b"\n " * 30_000 + b"\0\r\n" + HELLO,
    "many short headers": OK + b"X:\n" * 10_000 + HELLO,
    "a long reason phrase": OK.replace(b"OK", b"x " * 30_000) + HELLO,
    "many interim responses": b"HTTP/1.1 100 X\r\n\r\n" * 3_000 + OK + HELLO,
    "blanks in a chunk extension": CHUNKED + b"5;" + BLANKS + b"\n\r\nhello\r\n0\r\n\r\n",
    "blanks in a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX: " + BLANKS + b"\0\r\n\r\n",
}

# The bytes received before the server falls silent, the status, and the kept output.
DRIPPING = {
    "nothing": ((HOLD,), None, b""),
    "interim responses": ((b"HTTP/1.1 100 Continue\r\n\r\n", HOLD), None, b""),
    "a status": ((OK, HOLD), None, b""),
    "part of a head": ((OK + b"Content-Le", HOLD), None, b""),
    "a head": ((OK + b"Content-Length: 5\r\n\r\n", HOLD), 200, b""),
    "a few bytes of the body": ((OK + b"Content-Length: 5\r\n\r\nh", b"e", HOLD), 200, b"he"),
    "a body with no end": ((OK + b"\r\nhe", b"llo", HOLD), 200, b"hello"),
    "a few chunks": ((CHUNKED + b"2\r\nhe\r\n", b"3\r\nl", HOLD), 200, b"hel"),
    "all chunks but the end of the trailers": ((CHUNKED + b"5\r\nhello\r\n0\r\n", HOLD), 200, b"hello"),
    "a part of gzip": (
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello")[:-8], HOLD),
        200,
        b"hello",
    ),
}


class TestAResponse:
    @pytest.mark.parametrize("answer", COMPLETE.values(), ids=COMPLETE)
    def test_that_is_complete_is_kept_whole(self, serve, call, answer):
        assert call(serve(answer).url).facts == ("succeeded", 200, b"hello")

    @pytest.mark.parametrize("answer", COMPLETE.values(), ids=COMPLETE)
    def test_means_the_same_however_it_comes_in_parts(self, serve, call, answer):
        third = len(answer) // 3
        parts = (answer[:third], answer[third : third + 1], answer[third + 1 : -1], answer[-1:])
        assert call(serve(parts).url).facts == ("succeeded", 200, b"hello")

    @pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
    def test_that_is_broken_fails_with_the_reason_and_keeps_what_came(self, serve, call, case):
        answer, problem, status, kept = case
        server = serve(answer)
        ended = call(server.url)
        assert ended.facts == ("failed", status, kept)
        assert ended.outcome.message.startswith(f"GET {server.url}: ")
        assert problem in ended.outcome.message
        assert ended.outcome.message.isprintable()

    @pytest.mark.parametrize("answer", COSTLY.values(), ids=COSTLY)
    def test_costs_little_to_read_whatever_comes(self, serve, call, answer):
        # A regular expression of quadratic cost takes 2 to 24 seconds for these, with the GIL held.
        server, before = serve(answer), time.process_time()
        call(server.url)
        assert time.process_time() - before < 1

    @pytest.mark.parametrize(("parts", "status", "kept"), DRIPPING.values(), ids=DRIPPING)
    def test_that_never_ends_times_out_and_keeps_what_came(self, serve, call, parts, status, kept):
        server = serve(parts)
        ended = call(server.url, timeout=0.3)
        assert ended.facts == ("timed_out", status, kept)
        assert ended.outcome.message == f"no complete response from {server.url} within 0.3 s"

    @pytest.mark.parametrize("status", [204, 304])
    def test_of_a_status_without_body_has_none_whatever_its_length(self, serve, call, status):
        answer = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
        ended = call(serve((answer, HOLD)).url, expected_codes=(status,))
        assert ended.facts == ("succeeded", status, b"")

    def test_to_head_has_no_body(self, serve, call):
        assert call(serve((OK + b"Content-Length: 5\r\n\r\n", HOLD)).url, method="HEAD").facts == (
            "succeeded",
            200,
            b"",
        )

    def test_that_switches_to_the_requested_protocol_is_the_final_one(self, serve, call):
        server = serve((b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nbinary", HOLD))
        ended = call(server.url, headers=(("Upgrade", ("x",)), ("Connection", ("Upgrade",))))
        assert ended.facts == ("failed", 101, b"")
        assert ended.outcome.message == f"GET {server.url} answered 101, expected 200"

    def test_that_switches_protocols_without_request_is_broken(self, serve, call):
        ended = call(serve((b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nbinary", HOLD)).url)
        assert ended.facts == ("failed", None, b"")
        assert ended.outcome.message.endswith(": the server switched to a protocol that was not requested")

    @pytest.mark.parametrize("status", [300, 302, 399, 404, 503, 999])
    def test_is_judged_by_its_status_whatever_that_is(self, serve, call, status):
        ended = call(serve(b"HTTP/1.1 %d Odd\r\n" % status + HELLO).url, expected_codes=(status,))
        assert ended.facts == ("succeeded", status, b"hello")

    def test_that_decompresses_to_more_than_the_limit_fails(self, serve, call, monkeypatch):
        monkeypatch.setattr(content, "RESPONSE_UNPACKED", 9_999)
        server = serve(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(10_000)))
        ended = call(server.url)
        assert (ended.outcome.state, ended.outcome.http_status) == ("failed", 200)
        assert ended.outcome.message == f"GET {server.url}: the decompressed body is larger than 9999 bytes"

    def test_that_comes_before_the_request_is_sent_counts(self, serve, call):
        body = "x" * 20_000_000  # more than the buffers of both sides take
        ended = call(serve(b"HTTP/1.1 413 Too Large\r\n" + HELLO).url, method="POST", body=body, expected_codes=(413,))
        assert ended.facts == ("succeeded", 413, b"hello")

    def test_can_be_read_while_it_comes(self, serve, tmp_path):
        printed = Event()
        server = serve((OK + b"Content-Length: 5\r\n\r\nh", HOLD))
        output, cancellation = Output(tmp_path, 1, 100, printed.set), Cancellation()
        thread = Thread(
            target=http_call.run, args=(HttpCall(url=server.url), PATIENCE, output, cancellation, "the-job")
        )
        thread.start()
        assert printed.wait(PATIENCE)
        assert output.read(0, 100) == (b"h", 1)
        cancellation.cancel("enough")
        thread.join(PATIENCE)
        assert not thread.is_alive()
        output.close()


class TestARequest:
    def test_is_this_byte_for_byte(self, serve, call):
        server = serve(OK + HELLO)
        call(
            f"{server.url}a%20b?x=%zz#part",
            method="POST",
            body="{}",
            headers=(("X-Key", ("1", "2")), ("Cookie", ("a", "b"))),
        )
        assert server.asked == [
            b"POST /a%%20b?x=%%25zz HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"User-Agent: Kala/%s\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Content-Type: application/json\r\n"
            b"X-Key: 1, 2\r\n"
            b"Cookie: a; b\r\n"
            b"Content-Length: 2\r\n"
            b"Connection: close\r\n"
            b"Kala-Job: the-job\r\n"
            b"\r\n{}" % (server.port, kala.__version__.encode())
        ]

    def test_has_the_jobs_headers_instead_of_kalas(self, serve, call):
        server = serve(OK + HELLO)
        given = {
            "user-agent": "curl",
            "ACCEPT": "text/plain",
            "Accept-Encoding": "gzip",
            "Host": "a",
            "Connection": "x",
        }
        call(server.url, headers=tuple((name, (value,)) for name, value in given.items()))
        lines = server.asked[0].decode().split("\r\n")
        in_order = {"Host": given.pop("Host"), **given}  # RFC 9110, section 7.2
        assert lines[1:] == [*(f"{name}: {value}" for name, value in in_order.items()), "Kala-Job: the-job", "", ""]

    @pytest.mark.parametrize(
        ("method", "length"), [("POST", 0), ("PUT", 0), ("PATCH", 0), ("GET", None), ("DELETE", None)]
    )
    def test_without_a_body_has_a_content_length_if_the_method_has_bodies(self, serve, call, method, length):
        server = serve(OK + HELLO)
        call(server.url, method=method)
        assert (b"Content-Length: 0" in server.asked[0]) == (length == 0)
        assert b"Content-Type" not in server.asked[0]

    def test_goes_to_an_ipv6_address(self, serve, call):
        server = serve(OK + HELLO, host="::1")
        assert call(server.url).facts == ("succeeded", 200, b"hello")
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.asked[0]

    @pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1:%PORT%/", "http://user:se@cret@127.0.0.1:%PORT%/"])
    def test_that_fails_is_reported_without_its_login(self, serve, call, url):
        server = serve(RESET, b"HTTP/1.1 500 X\r\n\r\n", (OK, HOLD))
        shown = f"http://127.0.0.1:{server.port}/"
        messages = [call(url.replace("%PORT%", str(server.port)), timeout=0.3).outcome.message for _ in range(3)]
        assert messages == [
            f"GET {shown}: Connection reset by peer",
            f"GET {shown} answered 500, expected 200",
            f"no complete response from {shown} within 0.3 s",
        ]

    @pytest.mark.parametrize("url", ["http://user:sec/ret@host/", "http://u:secret@host:0/", "http://u:sec ret@[::1/"])
    def test_whose_template_makes_no_url_is_reported_without_a_password(self, call, url):
        message = call(url).outcome.message
        assert message.endswith("***: must be a complete http or https URL once its template is rendered")
        assert "ret" not in message


class TestTls:
    @pytest.fixture
    def server(self, serve) -> Server:
        return serve(OK + HELLO, kind=TlsServer)

    @pytest.fixture
    def trusted(self, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(PEM))

    @pytest.mark.usefixtures("trusted")
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_a_host_that_its_certificate_names_is_called(self, server, call, host):
        assert call(f"https://{host}:{server.port}/").facts == ("succeeded", 200, b"hello")

    def test_a_self_signed_certificate_is_refused_before_anything_is_sent(self, server, call):
        url = f"https://localhost:{server.port}/"
        ended = call(url)
        assert ended.facts == ("failed", None, b"")
        assert ended.outcome.message == f"GET {url}: invalid server certificate: self-signed certificate"
        assert server.asked == []

    @pytest.mark.usefixtures("trusted")
    def test_a_certificate_for_another_host_is_refused(self, server, call, monkeypatch):
        monkeypatch.setattr(resolver, "_look_up", _all_are_here)
        ended = call(f"https://other.example:{server.port}/")
        assert ended.facts == ("failed", None, b"")
        assert "invalid server certificate: Hostname mismatch" in ended.outcome.message
        assert server.asked == []

    def test_a_plain_response_is_reported_as_such(self, serve, call):
        server = serve(OK + HELLO, kind=HastyServer)
        ended = call(server.url.replace("http:", "https:"))
        assert ended.facts == ("failed", None, b"")
        assert ended.outcome.message.endswith(": TLS: wrong version number")

    @pytest.mark.usefixtures("trusted")
    def test_a_plain_request_to_a_tls_server_fails_with_its_response(self, server, call):
        ended = call(f"http://127.0.0.1:{server.port}/", timeout=1)
        assert (ended.outcome.state, ended.outcome.http_status) == ("failed", None)

    @pytest.mark.usefixtures("trusted")
    def test_a_close_without_close_notify_does_not_end_the_body(self, serve, call):
        server = serve((OK + b"\r\nhello", CUT), kind=TlsServer)
        ended = call(f"https://localhost:{server.port}/")
        assert ended.facts == ("failed", 200, b"hello")

    @pytest.mark.usefixtures("trusted")
    def test_a_redirect_may_lead_there_without_the_login(self, server, serve, call):
        location = f"Location: https://localhost:{server.port}/\r\n".encode()
        first = serve(b"HTTP/1.1 302 Found\r\n" + location + HELLO)
        ended = call(first.url.replace("//", "//user:secret@"))
        assert ended.facts == ("succeeded", 200, b"hello")
        assert b"Authorization: Basic" in first.asked[0]
        assert b"Authorization" not in server.asked[0]


class TestAProxy:
    """host.example has no address here: only a proxy can reach it."""

    def test_is_used_for_other_hosts(self, serve, call, monkeypatch):
        proxy = serve(OK + HELLO)
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:secret@"))
        assert call("http://host.example:81/a?b").facts == ("succeeded", 200, b"hello")
        head = proxy.asked[0]
        assert head.startswith(b"GET http://host.example:81/a?b HTTP/1.1\r\nHost: host.example:81\r\n")
        assert b"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in head

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    def test_may_be_named_by_other_variables_and_without_a_scheme(self, serve, call, monkeypatch, name):
        monkeypatch.setenv(name, f"127.0.0.1:{serve(OK + HELLO).port}")
        assert call("http://host.example/").facts == ("succeeded", 200, b"hello")

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "LOCALHOST"])
    def test_is_not_used_for_this_machine(self, serve, call, monkeypatch, host):
        server, proxy = serve(OK + HELLO), serve(b"HTTP/1.1 502 X\r\n\r\n")
        monkeypatch.setenv("http_proxy", proxy.url)
        assert call(f"http://{host}:{server.port}/").facts == ("succeeded", 200, b"hello")
        assert proxy.asked == []

    @pytest.mark.parametrize(
        "excepted",
        ["host.example", "example", ".example", "other,  HOST.example ", "*", "host.example:81"],
    )
    def test_is_not_used_for_what_no_proxy_names(self, serve, call, monkeypatch, excepted):
        server, proxy = serve(OK + HELLO), serve(b"HTTP/1.1 502 X\r\n\r\n")
        monkeypatch.setattr(resolver, "_look_up", lambda host, port, flags=0: _all_are_here(host, server.port, flags))
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", excepted)
        assert call("http://host.example:81/").facts == ("succeeded", 200, b"hello")
        assert proxy.asked == []

    @pytest.mark.parametrize("excepted", ["", "ost.example", "host.example.org", "10.0.0.0/8", "host.example:80", "x*"])
    def test_is_used_for_what_no_proxy_does_not_name(self, serve, call, monkeypatch, excepted):
        monkeypatch.setenv("http_proxy", serve(OK + HELLO).url)
        monkeypatch.setenv("no_proxy", excepted)
        assert call("http://host.example:81/").facts == ("succeeded", 200, b"hello")

    def test_is_named_if_the_call_fails(self, serve, call, monkeypatch):
        proxy = serve(b"HTTP/1.1 502 Bad Gateway\r\n" + HELLO, RESET, (OK, HOLD))
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:secret@"))
        messages = [call("http://host.example/", timeout=0.3).outcome.message for _ in range(3)]
        asked = f"http://host.example/ (through the proxy {proxy.url.rstrip('/')})"
        assert messages == [
            f"GET {asked} answered 502, expected 200",
            f"GET {asked}: Connection reset by peer",
            f"no complete response from {asked} within 0.3 s",
        ]

    def test_connects_to_a_host_with_tls(self, serve, call, monkeypatch):
        proxy = serve((b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 200 Connected\r\n\r\n", OK + HELLO), kind=TlsServer)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(PEM))
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//user:secret@"))
        monkeypatch.setattr("kala.runner.proxy.known_reach", lambda _: 0)  # localhost, as its certificate names that
        assert call("https://localhost/a").facts == ("succeeded", 200, b"hello")
        connect, request = proxy.asked
        assert connect == (
            b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n"
            b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"
        )
        assert request.startswith(b"GET /a HTTP/1.1\r\nHost: localhost\r\n")
        assert b"Proxy-Authorization" not in request

    def test_that_refuses_to_connect_fails_the_call_without_a_status_of_the_host(self, serve, call, monkeypatch):
        proxy = serve(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n")
        monkeypatch.setenv("https_proxy", proxy.url)
        ended = call("https://host.example/")
        assert ended.facts == ("failed", None, b"")
        way = f"(through the proxy {proxy.url.rstrip('/')})"
        problem = "the proxy refused to connect (status 407)"
        assert ended.outcome.message == f"GET https://host.example/ {way}: {problem}"

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://user:secret@127.0.0.1:1", "nonsense url"])
    def test_of_another_kind_is_refused_with_a_sentence(self, call, monkeypatch, proxy):
        monkeypatch.setenv("http_proxy", proxy)
        message = call("http://host.example/").outcome.message
        assert message.startswith("GET http://host.example/: http_proxy: ")
        assert message.endswith(" is not supported; use an http:// proxy")
        assert "secret" not in message


def _all_are_here(host: str, port: int, flags: int = 0) -> resolver.Addresses:
    if flags:
        raise socket.gaierror
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]
