"""An HTTP call to a real server: what it sends, how it is judged, and that it ends in time."""

import errno
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread, Timer
from urllib.parse import urlsplit

import msgspec
import pytest

from kala.core.job import HttpCall
from kala.core.reach import Reach, reach_of
from kala.core.run import Outcome
from kala.runner import connection, http_call, resolver
from kala.runner.cancellation import Cancellation
from kala.runner.output import Output
from kala.runner.scarcity import Scarce

PATIENCE = 10
JOB = "5d5be920-c716-4c99-60e1-055cad95b40f"


class Received(msgspec.Struct):
    method: str
    path: str
    headers: Message
    body: str


class Handler(BaseHTTPRequestHandler):
    """A handler whose response depends on the path: `/500`, `/to/<path>`, `/drip-body`, …"""

    protocol_version = "HTTP/1.1"
    server: "Peer"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append(Received(self.command, self.path, self.headers, body.decode()))
        what, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        self.close_connection = True
        if "redirect-as-told" in self.path:
            self.reply(302, b"moved", **({} if self.server.location is None else {"Location": self.server.location}))
        elif what in ("by", "via"):
            status, _, path = rest.partition("/")
            host, _, path = path.partition("/") if what == "via" else ("", "", path)
            place = f"http://127.0.0.1:{host}" if host else ""
            self.reply(int(status), b"", Location=f"{place}/{f'via/{status}/{path}' if host and path else path or 200}")
        elif what == "to-url":
            self.reply(302, b"", Location=rest)
        elif what.isdigit():
            self.reply(int(what), rest.encode())
        elif what == "to":
            self.reply(302, b"", Location=f"/{rest}")
        else:
            getattr(self, what.replace("-", "_"))()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_PURGE = answer  # noqa: N815  http.server's names

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def endless_redirect(self) -> None:
        self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /200/arrived\r\nContent-Length: 1000000000\r\n\r\n")
        self.drip(b"x" * 1000)

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
    """A server that keeps the requests that it received."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.location: str | None = None
        self.received: list[Received] = []
        self.is_waited_for, self.was_cut_off, self.is_closing = Event(), Event(), Event()
        self.url = f"http://{host}:{self.server_port}"
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
    with closing(Peer()) as peer:
        yield peer


@pytest.fixture
def other():
    with closing(Peer()) as other:
        yield other


@pytest.fixture
def refusing():
    """A URL whose port is bound and refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.fixture
def deaf():
    """The address of a server that neither accepts nor refuses connections."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # the backlog has room for one connection
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def printed() -> list[bytes]:
    """The outputs of calls that have ended."""
    return []


@pytest.fixture
def call(tmp_path, printed) -> Callable[..., Outcome]:
    def call(url: str, *, limit: int = 1 << 20, **fields: object) -> Outcome:
        output, asked = Output(tmp_path, 1, limit), HttpCall(url=url, **fields)
        outcome = http_call.run(asked, asked.timeout, output, Cancellation(), JOB)
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

    def test_has_the_content_type_json_by_default(self, peer, call):
        call(f"{peer.url}/200", method="POST", body="{}")
        assert peer.received[0].headers["Content-Type"] == "application/json"

    def test_has_the_content_type_of_the_job(self, peer, call):
        call(f"{peer.url}/200", method="POST", body="<a/>", headers=(("content-type", ("text/xml",)),))
        assert peer.received[0].headers["Content-Type"] == "text/xml"

    def test_has_the_jobs_headers_with_commas_between_several_values(self, peer, call):
        call(f"{peer.url}/200", headers=(("Accept", ("text/plain", "text/html")), ("X-Job", ("backup",))))
        [asked] = peer.received
        assert asked.headers["Accept"] == "text/plain, text/html"
        assert asked.headers["X-Job"] == "backup"

    def test_has_the_login_of_the_url_unless_the_job_has_a_header_for_it(self, peer, call):
        url = f"{peer.url}/200".replace("//", "//kala:secret@")
        call(url)
        call(url, headers=(("Authorization", ("Bearer token",)),))
        found = [request.headers["Authorization"] for request in peer.received]
        assert found == ["Basic a2FsYTpzZWNyZXQ=", "Bearer token"]

    def test_keeps_the_jobs_own_authorization_despite_a_netrc_file(self, peer, call, tmp_path):
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login kala password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        call(f"{peer.url}/200", headers=(("Authorization", ("Bearer token",)),))
        assert peer.received[0].headers["Authorization"] == "Bearer token"

    @pytest.mark.parametrize("status", [302, 307])
    def test_sends_no_password_that_the_job_does_not_have(self, peer, other, call, tmp_path, status):
        login = "login kala password secret\n"
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 {login}default {login}")
        (tmp_path / ".netrc").chmod(0o600)
        call(f"{peer.url}/via/{status}/{other.server_port}")
        assert [asked.headers["Authorization"] for asked in (*peer.received, *other.received)] == [None, None]

    def test_keeps_the_query(self, peer, call):
        call(f"{peer.url}/200?a=1&b=%20x")
        assert peer.received[0].path == "/200?a=1&b=%20x"

    def test_follows_redirects(self, peer, call):
        outcome = call(f"{peer.url}/to/to/200/arrived")
        assert [asked.path for asked in peer.received] == ["/to/to/200/arrived", "/to/200/arrived", "/200/arrived"]
        assert (outcome.state, outcome.http_status) == ("succeeded", 200)

    @pytest.mark.parametrize(
        ("status", "method", "then"),
        [
            *((status, "POST", "GET") for status in (301, 302, 303)),
            *((status, "POST", "POST") for status in (307, 308)),
            *((status, "PUT", "PUT") for status in (301, 302, 307, 308)),
            *((303, method, "GET") for method in ("PUT", "PATCH", "DELETE", "GET")),
            *((status, "HEAD", "HEAD") for status in (301, 302, 303, 307, 308)),
        ],
    )
    def test_keeps_its_method_and_body_after_a_redirect_as_rfc_9110_says(self, peer, call, status, method, then):
        outcome = call(f"{peer.url}/by/{status}/200", method=method, body="" if method == "HEAD" else "secret")
        first, second = peer.received
        assert (outcome.state, second.method, second.path) == ("succeeded", then, "/200")
        is_kept = method == then
        assert second.body == (first.body if is_kept else "")
        assert second.headers["Content-Type"] == (first.headers["Content-Type"] if is_kept else None)

    def test_sends_no_secret_to_another_origin_nor_back_from_there(self, peer, other, call):
        secret = {
            "Authorization": "Bearer x",
            "Cookie": "a=b",
            "X-Key": "1",
            "Host": "inner",
            "Proxy-Authorization": "x",
        }
        open_to_all = {
            "Accept": "text/plain",
            "User-Agent": "test",
            "Content-Type": "text/csv",
            "Accept-Language": "de",
        }
        headers = tuple((name, (value,)) for name, value in {**secret, **open_to_all}.items())
        call(f"{peer.url}/via/307/{other.server_port}/{peer.server_port}", method="POST", body="x", headers=headers)
        first, second, third = *peer.received[:1], *other.received, *peer.received[1:]
        assert {name: first.headers[name] for name in secret} == secret
        for request, port in ((second, other.server_port), (third, peer.server_port)):
            assert {name: request.headers[name] for name in open_to_all} == open_to_all
            assert [request.headers[name] for name in secret if name != "Host"] == [None] * 4
            assert request.headers["Host"] == f"127.0.0.1:{port}"

    def test_keeps_its_headers_within_the_origin(self, peer, call):
        call(f"{peer.url}/to/200".replace("//", "//kala:secret@"), headers=(("X-Key", ("1",)),))
        assert [asked.headers["X-Key"] for asked in peer.received] == ["1", "1"]
        assert {asked.headers["Authorization"] for asked in peer.received} == {"Basic a2FsYTpzZWNyZXQ="}

    def test_sends_the_login_of_its_url_to_no_other_origin(self, peer, other, call):
        call(f"{peer.url}/via/302/{other.server_port}".replace("//", "//kala:secret@"))
        assert other.received[0].headers["Authorization"] is None

    def test_names_its_job_also_after_redirects(self, peer, other, call):
        call(f"{peer.url}/via/302/{other.server_port}")
        call(f"{peer.url}/200", headers=(("kala-job", ("other",)), ("Content-Length", ("7",))))  # from before the check
        received = peer.received + other.received
        assert [asked.headers.get_all("Kala-Job") for asked in received] == [[JOB]] * 3
        assert received[1].headers.get_all("Content-Length") is None


class TestARedirect:
    def test_with_an_expected_status_is_not_followed(self, peer, call):
        outcome = call(f"{peer.url}/to/200", expected_codes=(302,))
        assert (outcome.state, outcome.http_status, len(peer.received)) == ("succeeded", 302, 1)

    def test_has_a_body_that_is_never_read(self, peer, call, printed):
        outcome = call(f"{peer.url}/endless-redirect")
        assert (outcome.state, outcome.http_status, printed) == ("succeeded", 200, [b"arrived"])

    @pytest.mark.parametrize(
        ("location", "flaw"),
        [
            (None, "it has no Location header"),
            ("", "it has no Location header"),
            ("ftp://127.0.0.1/", "its Location header is not an http or https URL without credentials"),
            ("file:///etc/passwd", "its Location header is not an http or https URL without credentials"),
            ("http://[::1", "its Location header is not an http or https URL without credentials"),
            ("http://kala:secret@127.0.0.1/", "its Location header is not an http or https URL without credentials"),
        ],
    )
    def test_without_a_location_to_follow_is_the_final_response(self, peer, call, printed, location, flaw):
        peer.location = location
        outcome = call(f"{peer.url}/redirect-as-told")
        assert (outcome.state, outcome.http_status, printed) == ("failed", 302, [b"moved"])
        assert outcome.message == f"GET {peer.url}/redirect-as-told answered 302, expected 200; {flaw}"

    @pytest.mark.parametrize(
        ("location", "path"),
        [
            ("/200/x#part", "/200/x"),
            ("200/x", "/a/200/x"),
            ("../200", "/200"),
            ("?q=%20%zz", "/a/b?q=%20%25zz"),
            ("//127.0.0.1:%PORT%/200", "/200"),
            ("HTTP://LOCALHOST:%PORT%/200", "/200"),
            ("/200/ä b", "/200/%C3%A4%20b"),
        ],
    )
    def test_may_be_relative_and_loses_its_fragment(self, peer, call, location, path):
        peer.location = location.replace("%PORT%", str(peer.server_port)).encode().decode("latin-1")
        call(f"{peer.url}/a/b?redirect-as-told")
        assert [asked.path for asked in peer.received] == ["/a/b?redirect-as-told", path]

    def test_loop_ends(self, peer, call):
        peer.location = "/redirect-as-told"
        outcome = call(f"{peer.url}/redirect-as-told")
        assert (outcome.state, outcome.http_status, len(peer.received)) == ("failed", 302, 11)
        assert outcome.message == f"GET {peer.url}/redirect-as-told: more than 10 redirects; use the final URL"

    def test_that_fails_is_named_without_its_path(self, peer, call, refusing):
        peer.location = f"{refusing}secret?token=secret"
        outcome = call(f"{peer.url}/redirect-as-told")
        place = refusing.rstrip("/")
        assert outcome.message == f"GET {peer.url}/redirect-as-told redirected to {place}: Connection refused"


class TestARedirectFromElsewhere:
    """127.0.0.2 stands for a public server here, and 127.0.0.3 for one in the local network."""

    @pytest.fixture(autouse=True)
    def elsewhere(self, monkeypatch):
        places = {"127.0.0.2": Reach.PUBLIC, "127.0.0.3": Reach.PRIVATE}
        monkeypatch.setattr(connection, "reach_of", lambda address: places.get(address, reach_of(address)))

    @pytest.fixture
    def stranger(self):
        with closing(Peer("127.0.0.2")) as stranger:
            yield stranger

    @pytest.fixture
    def names(self, monkeypatch) -> dict[str, list[str]]:
        """The addresses of host names, one for each lookup."""
        names: dict[str, list[str]] = {}
        look_up = resolver._look_up
        monkeypatch.setattr(
            resolver,
            "_look_up",
            lambda host, *rest: look_up(names[host].pop(0) if host in names and not rest[1:] else host, *rest),
        )
        return names

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "localhost"])
    def test_is_not_followed_to_this_machine(self, peer, stranger, call, host):
        stranger.location = f"http://{host}:{peer.server_port}/200"
        outcome = call(f"{stranger.url}/redirect-as-told", method="DELETE")
        assert (outcome.state, outcome.http_status, peer.received) == ("failed", 302, [])
        assert "is a loopback address, and redirects to it from elsewhere are not followed" in outcome.message

    @pytest.mark.parametrize(
        ("host", "kind"),
        [
            ("127.0.0.3", "private"),
            ("10.0.0.1", "private"),
            ("169.254.169.254", "link-local"),
            ("[fd00::1]", "private"),
        ],
    )
    def test_is_not_followed_to_a_network_that_only_this_machine_reaches(self, stranger, call, host, kind):
        stranger.location = f"http://{host}/latest/meta-data/"
        outcome = call(f"{stranger.url}/redirect-as-told", timeout=5)
        assert (outcome.state, outcome.http_status) == ("failed", 302)
        assert outcome.message == (
            f"GET {stranger.url}/redirect-as-told redirected to http://{host}: {host.strip('[]')} is a {kind} address,"
            " and redirects to it from elsewhere are not followed; if this is intended, use it as the job's URL"
        )

    def test_is_not_followed_to_a_name_that_changes_its_address_between_lookups(self, peer, stranger, call, names):
        names["rebound.example"] = ["127.0.0.2", "127.0.0.1"]
        stranger.location = f"http://rebound.example:{peer.server_port}/200"
        outcome = call(f"http://rebound.example:{stranger.server_port}/redirect-as-told")
        assert (outcome.state, peer.received) == ("failed", [])
        assert "127.0.0.1 is a loopback address" in outcome.message

    def test_is_followed_outwards(self, peer, stranger, call):
        assert call(f"{peer.url}/to-url/{stranger.url}/200").state == "succeeded"
        with closing(Peer("127.0.0.3")) as local:
            assert call(f"{peer.url}/to-url/{local.url}/200").state == "succeeded"
            assert call(f"{local.url}/to-url/{stranger.url}/200").state == "succeeded"
            assert call(f"{local.url}/to-url/{local.url}/200").state == "succeeded"
            assert call(f"{local.url}/to-url/{peer.url}/200").state == "failed"

    def test_is_followed_back_to_the_reach_of_the_job(self, peer, stranger, call):
        outcome = call(f"{peer.url}/to-url/{stranger.url}/to-url/{peer.url}/200")
        assert (outcome.state, len(peer.received)) == ("succeeded", 2)

    @pytest.mark.parametrize("host", ["10.0.0.1", "2852039166", "[fe80::1]", "localhost"])
    def test_is_not_followed_through_a_proxy_if_its_host_is_an_inner_address(self, stranger, call, monkeypatch, host):
        monkeypatch.setenv("http_proxy", stranger.url)
        stranger.location = f"http://{host}:8000/"
        outcome = call("http://host.example/redirect-as-told")
        assert (outcome.state, outcome.http_status, len(stranger.received)) == ("failed", 302, 1)
        assert "redirects to it from elsewhere are not followed" in outcome.message


class TestTheOutcome:
    def test_is_success_with_status_200(self, peer, call):
        outcome = call(f"{peer.url}/200")
        assert (outcome.state, outcome.http_status, outcome.message, outcome.exit_code) == ("succeeded", 200, "", None)

    @pytest.mark.parametrize("status", [201, 204, 404, 500])
    def test_is_failure_with_another_status_and_names_both(self, peer, call, status):
        outcome = call(f"{peer.url}/{status}")
        assert (outcome.state, outcome.http_status) == ("failed", status)
        assert outcome.message == f"GET {peer.url}/{status} answered {status}, expected 200"

    @pytest.mark.parametrize(("status", "state"), [(201, "succeeded"), (404, "succeeded"), (200, "failed")])
    def test_is_success_for_exactly_the_codes_that_the_job_expects(self, peer, call, status, state):
        assert call(f"{peer.url}/{status}", expected_codes=(201, 404)).state == state

    def test_has_the_body_as_its_output(self, peer, call, printed):
        call(f"{peer.url}/200/hello")
        assert printed == [b"hello"]

    def test_has_the_body_of_a_failure_as_its_output(self, peer, call, printed):
        call(f"{peer.url}/500/what-went-wrong")
        assert printed == [b"what-went-wrong"]

    def test_has_a_body_beyond_the_limit_truncated(self, peer, call, printed):
        call(f"{peer.url}/200/{'x' * 1000}", limit=100)
        assert b"900 bytes omitted here" in printed[0]

    @pytest.mark.parametrize(
        ("what", "problem"),
        [
            ("hang-up", "the connection was closed before a complete response"),
            ("half", "the connection was closed after 4 of 10 bytes"),
            ("nonsense", "invalid HTTP/1.1 response: illegal status line: ('this is not HTTP')"),
            ("to/" * 11 + "200", "more than 10 redirects; use the final URL"),
        ],
    )
    def test_of_an_invalid_response_is_failure_with_the_reason(self, peer, call, what, problem):
        outcome = call(f"{peer.url}/{what}")
        assert (outcome.state, outcome.message) == ("failed", f"GET {peer.url}/{what}: {problem}")

    def test_of_a_refused_connection_says_so(self, call, refusing):
        outcome = call(refusing)
        assert (outcome.state, outcome.message) == ("failed", f"GET {refusing}: Connection refused")
        assert outcome.http_status is None

    def test_is_failure_if_the_kernel_gives_up_before_the_deadline(self, call, monkeypatch):
        def unreachable(*_: object) -> None:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

        monkeypatch.setattr(http_call, "connect", unreachable)
        outcome = call("http://host.example/")
        assert (outcome.state, outcome.message) == ("failed", "GET http://host.example/: Connection timed out")

    def test_waits_for_a_resolver_thread(self, call, monkeypatch):
        monkeypatch.setattr(resolver, "_resolver", resolver.Resolver(1))
        monkeypatch.setattr(Thread, "start", exhausted)
        with pytest.raises(Scarce, match="reached its limit of processes"):
            call("http://host.example/")

    def test_of_a_redirect_without_a_resolver_thread_is_failure(self, peer, call, monkeypatch):
        monkeypatch.setattr(resolver, "_resolver", resolver.Resolver(1))
        peer.location = "http://host.example/"
        start = Thread.start
        monkeypatch.setattr(
            Thread, "start", lambda thread: exhausted(thread) if "resolver" in thread.name else start(thread)
        )
        outcome = call(f"{peer.url}/redirect-as-told")
        assert (outcome.state, outcome.http_status, len(peer.received)) == ("failed", 302, 1)
        assert "redirected to http://host.example: Kala has reached its limit of processes" in outcome.message

    def test_has_the_duration(self, peer, call):
        assert 0 < call(f"{peer.url}/200").duration < PATIENCE * 10**9


class TestTheTimeout:
    @pytest.mark.parametrize(
        "what",
        ["silence", "drip-headers", "drip-body", "drip-body-without-length", "drip-chunks"],
    )
    def test_is_for_the_whole_call_however_slowly_the_server_responds(self, peer, call, what):
        outcome = call(f"{peer.url}/{what}", timeout=0.1)
        assert outcome.state == "timed_out"
        assert outcome.message == f"no complete response from {peer.url}/{what} within 0.1 s"
        assert outcome.duration < PATIENCE / 2 * 10**9

    def test_includes_redirects(self, peer, call):
        outcome = call(f"{peer.url}/to/to/drip-body", timeout=0.1)
        assert (outcome.state, outcome.http_status) == ("timed_out", 200)
        asked = f"{peer.url}/to/to/drip-body redirected to {peer.url}"
        assert outcome.message == f"no complete response from {asked} within 0.1 s"

    def test_includes_the_proxy(self, peer, call, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", peer.url)
        giving_up = Timer(1, peer.is_closing.set)
        giving_up.start()
        outcome = call("http://example.org/drip-body", timeout=0.1)
        giving_up.cancel()
        assert outcome.state == "timed_out"
        assert not peer.is_closing.is_set()

    def test_includes_connecting(self, deaf, call):
        assert call(deaf, timeout=0.1).state == "timed_out"

    def test_keeps_the_output_received_before_it(self, peer, call, printed):
        call(f"{peer.url}/drip-body-without-length", timeout=0.5)
        assert printed[0].startswith(b"x")

    def test_closes_the_connection_so_that_the_server_need_not_wait(self, peer, call):
        call(f"{peer.url}/drip-body", timeout=0.1)
        assert peer.was_cut_off.wait(PATIENCE)


class TestCancelling:
    @pytest.mark.parametrize("what", ["silence", "drip-headers", "drip-body"])
    def test_cuts_the_call_off_at_once(self, peer, tmp_path, what):
        cancellation, output = Cancellation(), Output(tmp_path, 1, 100)
        with ThreadPoolExecutor() as pool:
            outcome = pool.submit(http_call.run, HttpCall(url=f"{peer.url}/{what}"), 30, output, cancellation, JOB)
            assert peer.is_waited_for.wait(PATIENCE)
            cancellation.cancel("stopped by ann@example.org")
            ended = outcome.result(PATIENCE)
        assert (ended.state, ended.message) == ("cancelled", "stopped by ann@example.org")

    def test_before_the_start_ends_the_call_as_soon_as_it_connects(self, peer, tmp_path):
        cancellation = Cancellation()
        cancellation.cancel("stopped by ann@example.org")
        output = Output(tmp_path, 1, 100)
        outcome = http_call.run(HttpCall(url=f"{peer.url}/silence"), 30, output, cancellation, JOB)
        assert outcome.state == "cancelled"
        assert outcome.duration < PATIENCE / 2 * 10**9

    def test_cuts_off_a_call_that_is_still_connecting(self, deaf, tmp_path):
        cancellation = Cancellation()
        cancellation.cancel("stopped by ann@example.org")
        outcome = http_call.run(HttpCall(url=deaf), 1, Output(tmp_path, 1, 100), cancellation, JOB)
        assert outcome.state == "cancelled"
        assert outcome.duration < 10**9 / 2


def exhausted(_: Thread) -> None:
    raise RuntimeError("can't start new thread")
