"""One HTTP request, against a real server: what it sends, how it is judged, and that it ends in time."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread, Timer
from urllib.parse import urlsplit

import msgspec
import pytest

from kala.core.job import HttpCall
from kala.core.run import Outcome
from kala.engine import http_call
from kala.engine.control import Control
from kala.engine.output import Output

PATIENCE = 10


class Received(msgspec.Struct):
    method: str
    path: str
    headers: Message
    body: str


class Handler(BaseHTTPRequestHandler):
    """The path says what is answered: `/500`, `/to/<path>`, `/drip-body`, …"""

    protocol_version = "HTTP/1.1"
    server: "Peer"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append(Received(self.command, self.path, self.headers, body.decode()))
        what, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        self.close_connection = True
        if what.isdigit():
            self.reply(int(what), rest.encode())
        elif what == "to":
            self.reply(302, b"", Location=f"/{rest}")
        else:
            getattr(self, what.replace("-", "_"))()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_PURGE = answer  # noqa: N815  http.server's names

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def silence(self) -> None:
        self.server.is_waited_for.set()
        self.server.is_closing.wait(PATIENCE)

    def drip_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.drip(b"X-Drop: 1\r\n")

    def drip_body(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        self.drip(b"x")

    def drip_body_without_length(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        self.drip(b"x")

    def drip_chunks(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(b"1\r\nx\r\n")

    def drip(self, drop: bytes) -> None:
        try:
            while not self.server.is_closing.wait(0.02):
                self.wfile.write(drop)
                self.server.is_waited_for.set()
        except ConnectionError:
            self.server.was_cut_off.set()

    def hang_up(self) -> None:
        pass

    def half(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    def nonsense(self) -> None:
        self.wfile.write(b"this is not HTTP\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


class Peer(ThreadingHTTPServer):
    """A server that keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.is_waited_for, self.was_cut_off, self.is_closing = Event(), Event(), Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.is_closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def deaf():
    """The address of a server that takes no connection, and refuses none."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # its queue has room for the first alone
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def printed() -> list[bytes]:
    """What a call kept as its output, once it has ended."""
    return []


@pytest.fixture
def call(tmp_path, printed) -> Callable[..., Outcome]:
    def call(url: str, *, limit: int = 1 << 20, **fields: object) -> Outcome:
        output, asked = Output(tmp_path, 1, limit), HttpCall(url=url, **fields)
        outcome = http_call.execute(asked, asked.timeout, output, Control())
        data = output.close()
        printed[:] = [output.path.read_bytes() if data is None else data]
        return outcome

    return call


class TestARequest:
    def test_is_a_get_without_a_body_by_default(self, peer, call):
        call(f"{peer.url}/200")
        [asked] = peer.received
        assert (asked.method, asked.path, asked.body) == ("GET", "/200", "")

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE"])
    def test_has_the_jobs_method_and_body(self, peer, call, method):
        call(f"{peer.url}/200", method=method, body='{"käse": 1}')
        [asked] = peer.received
        assert (asked.method, asked.body) == (method, '{"käse": 1}')

    def test_says_of_its_body_that_it_is_json_where_the_job_says_nothing(self, peer, call):
        call(f"{peer.url}/200", method="POST", body="{}")
        assert peer.received[0].headers["Content-Type"] == "application/json"

    def test_says_of_its_body_what_the_job_says(self, peer, call):
        call(f"{peer.url}/200", method="POST", body="<a/>", headers=(("content-type", ("text/xml",)),))
        assert peer.received[0].headers["Content-Type"] == "text/xml"

    def test_has_the_jobs_headers_several_values_with_commas_between_them(self, peer, call):
        call(f"{peer.url}/200", headers=(("Accept", ("text/plain", "text/html")), ("X-Job", ("backup",))))
        [asked] = peer.received
        assert asked.headers["Accept"] == "text/plain, text/html"
        assert asked.headers["X-Job"] == "backup"

    def test_has_the_login_that_the_url_names_unless_the_job_has_a_header_for_it(self, peer, call):
        url = f"{peer.url}/200".replace("//", "//kala:secret@")
        call(url)
        call(url, headers=(("Authorization", ("Bearer token",)),))
        found = [request.headers["Authorization"] for request in peer.received]
        assert found == ["Basic a2FsYTpzZWNyZXQ=", "Bearer token"]

    def test_keeps_the_jobs_own_authorization_whatever_a_netrc_file_says(self, peer, call, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login kala password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        call(f"{peer.url}/200", headers=(("Authorization", ("Bearer token",)),))
        assert peer.received[0].headers["Authorization"] == "Bearer token"

    def test_sends_no_password_that_the_job_does_not_have(self, peer, call, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login kala password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        call(f"{peer.url}/200")
        assert peer.received[0].headers["Authorization"] is None

    def test_keeps_the_query(self, peer, call):
        call(f"{peer.url}/200?a=1&b=%20x")
        assert peer.received[0].path == "/200?a=1&b=%20x"

    def test_follows_redirects(self, peer, call):
        outcome = call(f"{peer.url}/to/to/200/arrived")
        assert [asked.path for asked in peer.received] == ["/to/to/200/arrived", "/to/200/arrived", "/200/arrived"]
        assert (outcome.state, outcome.http_status) == ("succeeded", 200)


class TestTheOutcome:
    def test_is_success_where_the_status_is_200(self, peer, call):
        outcome = call(f"{peer.url}/200")
        assert (outcome.state, outcome.http_status, outcome.message, outcome.exit_code) == ("succeeded", 200, "", None)

    @pytest.mark.parametrize("status", [201, 204, 404, 500])
    def test_is_failure_where_the_status_is_another_and_says_both(self, peer, call, status):
        outcome = call(f"{peer.url}/{status}")
        assert (outcome.state, outcome.http_status) == ("failed", status)
        assert outcome.message == f"GET {peer.url}/{status} answered {status}, expected 200"

    @pytest.mark.parametrize(("status", "state"), [(201, "succeeded"), (404, "succeeded"), (200, "failed")])
    def test_is_success_for_the_codes_that_the_job_expects_and_only_for_them(self, peer, call, status, state):
        assert call(f"{peer.url}/{status}", expected_codes=(201, 404)).state == state

    def test_has_the_body_as_its_output(self, peer, call, printed):
        call(f"{peer.url}/200/hello")
        assert printed == [b"hello"]

    def test_has_the_body_of_a_failure_too(self, peer, call, printed):
        call(f"{peer.url}/500/what-went-wrong")
        assert printed == [b"what-went-wrong"]

    def test_has_a_body_that_is_too_long_cut(self, peer, call, printed):
        call(f"{peer.url}/200/{'x' * 1000}", limit=100)
        assert b"900 bytes were cut out here" in printed[0]

    @pytest.mark.parametrize(
        ("what", "problem"),
        [
            ("hang-up", "Remote end closed connection without response"),
            ("half", "IncompleteRead(4 bytes read, 6 more expected)"),
            ("nonsense", "this is not HTTP\r\n"),
            ("to/" * 31 + "200", "Exceeded 30 redirects."),
        ],
    )
    def test_of_an_answer_that_is_none_is_failure_with_the_reason(self, peer, call, what, problem):
        outcome = call(f"{peer.url}/{what}")
        assert (outcome.state, outcome.message) == ("failed", f"GET {peer.url}/{what}: {problem}")

    def test_of_a_refused_connection_says_so_in_plain_words(self, call):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            outcome = call(url)
        assert (outcome.state, outcome.message) == ("failed", f"GET {url}: Connection refused")
        assert outcome.http_status is None

    def test_of_a_call_for_which_no_thread_is_left_is_failure_with_the_reason(self, peer, call, monkeypatch):
        def exhausted(_: Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(Timer, "start", exhausted)
        outcome = call(f"{peer.url}/200")
        assert (outcome.state, outcome.message) == ("failed", f"GET {peer.url}/200: can't start new thread")

    def test_has_the_time_that_it_took(self, peer, call):
        assert 0 < call(f"{peer.url}/200").duration < PATIENCE * 10**9


class TestTheTimeout:
    @pytest.mark.parametrize(
        "what",
        ["silence", "drip-headers", "drip-body", "drip-body-without-length", "drip-chunks", "to/to/drip-body"],
    )
    def test_is_for_the_whole_call_however_slowly_the_server_answers(self, peer, call, what):
        outcome = call(f"{peer.url}/{what}", timeout=0.1)
        assert outcome.state == "timed_out"
        assert outcome.message == f"no complete response from {peer.url}/{what} within 0.1 s"
        assert outcome.duration < PATIENCE / 2 * 10**9

    def test_is_told_as_such_whichever_of_two_clocks_rings_first(self, peer, call, monkeypatch):
        monkeypatch.setattr(http_call._Lifeline, "expire", lambda line: None)  # then the socket's own clock does
        assert call(f"{peer.url}/silence", timeout=0.1).state == "timed_out"

    def test_holds_through_a_proxy_too(self, peer, call, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", peer.url)
        giving_up = Timer(1, peer.is_closing.set)
        giving_up.start()
        outcome = call("http://example.org/drip-body", timeout=0.1)
        giving_up.cancel()
        assert outcome.state == "timed_out"
        assert not peer.is_closing.is_set()

    def test_is_for_connecting_too(self, deaf, call):
        assert call(deaf, timeout=0.1).state == "timed_out"

    def test_keeps_what_came_before_it(self, peer, call, printed):
        call(f"{peer.url}/drip-body-without-length", timeout=0.5)
        assert printed[0].startswith(b"x")

    def test_cuts_the_connection_so_that_the_server_need_not_wait_either(self, peer, call):
        call(f"{peer.url}/drip-body", timeout=0.1)
        assert peer.was_cut_off.wait(PATIENCE)


class TestCancelling:
    @pytest.mark.parametrize("what", ["silence", "drip-headers", "drip-body"])
    def test_cuts_the_call_off_at_once(self, peer, tmp_path, what):
        control, output = Control(), Output(tmp_path, 1, 100)
        with ThreadPoolExecutor() as pool:
            outcome = pool.submit(http_call.execute, HttpCall(url=f"{peer.url}/{what}"), 30, output, control)
            assert peer.is_waited_for.wait(PATIENCE)
            control.cancel("stopped by ann@example.org")
            ended = outcome.result(PATIENCE)
        assert (ended.state, ended.message) == ("cancelled", "stopped by ann@example.org")

    def test_before_the_start_makes_it_end_as_soon_as_it_connects(self, peer, tmp_path):
        control = Control()
        control.cancel("stopped by ann@example.org")
        output = Output(tmp_path, 1, 100)
        outcome = http_call.execute(HttpCall(url=f"{peer.url}/silence"), 30, output, control)
        assert outcome.state == "cancelled"
        assert outcome.duration < PATIENCE / 2 * 10**9

    def test_cuts_off_a_call_that_is_still_connecting(self, deaf, tmp_path):
        control = Control()
        control.cancel("stopped by ann@example.org")
        outcome = http_call.execute(HttpCall(url=deaf), 1, Output(tmp_path, 1, 100), control)
        assert outcome.state == "cancelled"
        assert outcome.duration < 10**9 / 2
