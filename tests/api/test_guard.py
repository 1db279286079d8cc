"""Who may call: programs and Kala's own pages, but no request that another web site made a browser send."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from samples import JOB

from kala.api import guard
from kala.core.errors import Forbidden, Invalid

BODY = json.dumps(JOB | {"name": "evil"}).encode()


def post(*headers: str, host: str | None = "%HOST%") -> bytes:
    """Return a request that creates a job if it is allowed. %HOST% stands for Kala's own address."""
    lines = ["POST /api/v1/job/ HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(BODY)}", "", ""]).encode("latin-1") + BODY


def assert_refused(idle_api, sent: bytes, status: int, error: str) -> None:
    response = idle_api.send(sent)
    assert response.status == status
    assert response.error.startswith(error)
    assert idle_api.jobs() == []


def assert_allowed(idle_api, sent: bytes) -> None:
    response = idle_api.send(sent)
    assert response.status == 201, response.body
    assert idle_api.jobs() == [response.json["id"]]


class TestOrigin:
    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "https://evil.example",
            "http://%HOST%.evil.example",
            "http://evil.example/%HOST%",
            "http://evil.example?http://%HOST%",
            "http://%HOST%@evil.example",
            "http://localhost",
            "http://127.0.0.1",
            "http://127.0.0.1:1",
            "http://%HOST%/",
            "http://%HOST%1",
            "%HOST%",
            "ftp://%HOST%",
            "file://",
            "chrome-extension://abc",
            "null",
            "",
            "*",
            "http://%HOST%, http://evil.example",
            "=?utf-8?q?http=3A//evil.example?=",
            "http://evil.example" * 1000,
        ],
    )
    def test_another_origin_is_refused(self, idle_api, origin):
        assert_refused(idle_api, post(f"Origin: {origin}"), 403, "Origin: ")

    def test_two_origins_are_refused(self, idle_api):
        assert_refused(idle_api, post("Origin: http://%HOST%", "Origin: http://evil.example"), 403, "Origin: ")

    @pytest.mark.parametrize("name", ["Origin", "origin", "ORIGIN"])
    def test_an_origin_header_is_checked_in_any_case(self, idle_api, name):
        assert_refused(idle_api, post(f"{name}: http://evil.example"), 403, "Origin: ")

    @pytest.mark.parametrize("origin", ["http://%HOST%", "https://%HOST%", "HTTP://%HOST%"])
    def test_kalas_own_origin_is_allowed(self, idle_api, origin):
        assert_allowed(idle_api, post(f"Origin: {origin}"))

    def test_kalas_own_origin_is_its_host_in_any_case(self, idle_api):
        host = f"LocalHost:{idle_api.port}"
        assert_allowed(idle_api, post(f"Origin: http://localhost:{idle_api.port}", host=host))

    def test_its_address_and_its_name_are_different_origins(self, idle_api):
        assert_refused(idle_api, post(f"Origin: http://localhost:{idle_api.port}"), 403, "Origin: ")

    def test_a_program_has_no_origin(self, idle_api):
        assert_allowed(idle_api, post())


class TestFetchMetadata:
    @pytest.mark.parametrize(
        "site", ["cross-site", "same-site", "Cross-Site", "", "nonsense", "same-origin, cross-site"]
    )
    def test_a_request_from_another_site_is_refused(self, idle_api, site):
        assert_refused(idle_api, post(f"Sec-Fetch-Site: {site}"), 403, "Sec-Fetch-Site: ")

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_a_request_from_kalas_own_pages_or_the_address_bar_is_allowed(self, idle_api, site):
        assert_allowed(idle_api, post(f"Sec-Fetch-Site: {site}"))

    def test_another_site_cannot_be_hidden_by_a_second_header(self, idle_api):
        sent = post("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin")
        assert_refused(idle_api, sent, 403, "Sec-Fetch-Site: ")

    def test_kalas_own_origin_does_not_excuse_another_site(self, idle_api):
        assert_refused(idle_api, post("Origin: http://%HOST%", "Sec-Fetch-Site: cross-site"), 403, "Sec-Fetch-Site: ")

    def test_another_origin_is_not_excused_by_the_same_site(self, idle_api):
        sent = post("Origin: http://evil.example", "Sec-Fetch-Site: same-origin")
        assert_refused(idle_api, sent, 403, "Origin: ")


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:8000",
            "evil.example.",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "user@evil.example",
            "127.0.0.1@evil.example",
            "0x7f000001",
            "127.1",
            "2130706433",
            "[evil.example]",
            "[]:8000",
            "[::1]evil.example",
            "[::1]:8000.evil.example",
            "[::1]:8000:8000",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "127.0.0.1:8000.evil.example",
            "127.0.0.1:8000@evil.example",
            "127.0.0.1:x",
            "127.0.0.1/evil",
            "localhost..",
            "local host",
            ":8000",
            ".",
            "*",
            "evil.example, localhost",
            "évil.example",
            "=?utf-8?q?evil?=",
            "x" * 10_000,
        ],
    )
    def test_a_name_that_is_not_kalas_is_refused(self, idle_api, host):
        assert_refused(idle_api, post(host=host), 403, "Host: ")

    @pytest.mark.parametrize(
        "host",
        [
            "%HOST%",
            "127.0.0.1",
            "127.0.0.1:8000",
            "192.0.2.1",
            "[::1]",
            "[::1]:8000",
            "[2001:db8::1]:80",
            "localhost",
            "localhost:8000",
            "LOCALHOST:8000",
            "localhost.",
            "LocalHost.:8000",
            socket.gethostname(),
            f"{socket.gethostname().upper()}.:8000",
        ],
    )
    def test_an_address_localhost_and_the_host_name_are_allowed(self, idle_api, host):
        assert_allowed(idle_api, post(host=host))

    @pytest.mark.parametrize("host", ["kala.example", "Kala.Example", "kala.example:443", "KALA.EXAMPLE.:8000"])
    def test_a_name_is_accepted_as_soon_as_it_is_allowed(self, idle_api, host):
        assert_refused(idle_api, post(host=host), 403, "Host: ")
        with idle_api.configured(allowed_hosts=("scheduler.example", "kala.example")):
            assert_allowed(idle_api, post(f"Origin: https://{host.lower()}", host=host))

    def test_a_subdomain_of_an_allowed_name_is_refused(self, idle_api):
        with idle_api.configured(allowed_hosts=("kala.example",)):
            assert_refused(idle_api, post(host="evil.kala.example"), 403, "Host: ")
            assert_refused(idle_api, post(host="evilkala.example"), 403, "Host: ")

    def test_a_host_is_required(self, idle_api):
        assert_refused(idle_api, post(host=None), 400, "Host: missing")
        assert_refused(idle_api, post(host=""), 400, "Host: missing")

    def test_http_10_does_not_excuse_a_missing_host(self, idle_api):
        assert_refused(idle_api, post(host=None).replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "Host: missing")

    @pytest.mark.parametrize("second", ["%HOST%", "evil.example"])
    def test_two_hosts_are_refused(self, idle_api, second):
        assert_refused(idle_api, post(f"Host: {second}"), 400, "Host: given more than once")

    def test_a_url_of_another_host_in_the_request_line_is_refused(self, idle_api):
        sent = post().replace(b"POST /", b"POST http://evil.example/")
        response = idle_api.send(sent)
        assert response.status == 400
        assert response.error
        assert idle_api.jobs() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/job/"),
        ("GET", "/api/v1/stats/"),
        ("GET", "/api/v1/job/{id}/"),
        ("PUT", "/api/v1/job/{id}/"),
        ("PATCH", "/api/v1/job/{id}/"),
        ("DELETE", "/api/v1/job/{id}/"),
        ("DELETE", "/api/v1/job/all/"),
        ("POST", "/api/v1/job/start/{id}/"),
        ("POST", "/api/v1/job/disable/{id}/"),
        ("OPTIONS", "/api/v1/job/"),
        ("GET", "/nowhere"),
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_every_route_is_guarded_and_a_refused_request_has_no_effect(idle_api, method, path, headers):
    job_id = idle_api.create()
    before = idle_api.ask("GET", f"/api/v1/job/{job_id}/").body
    response = idle_api.ask(method, path.format(id=job_id), BODY, **headers)
    assert response.status == 403
    assert response.error
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]
    assert idle_api.ask("GET", f"/api/v1/job/{job_id}/").body == before


def test_the_error_shows_at_most_100_characters_of_the_header():
    for headers in ({"Host": "x" * 1000}, {"Host": "localhost", "Origin": "x" * 1000}):
        with pytest.raises(Forbidden) as refusal:
            guard.check(headers, ())
        assert len(str(refusal.value)) < 250


def test_without_a_host_there_is_nothing_to_check():
    with pytest.raises(Invalid, match="Host: missing"):
        guard.check({}, ())


class TestAJobsOwnCall:
    @pytest.mark.parametrize("header", ["Kala-Job: 5d5be920-c716-4c99-60e1-055cad95b40f", "kala-job: x", "KALA-JOB:"])
    def test_is_refused_as_any_server_can_redirect_it_here(self, idle_api, header):
        assert_refused(
            idle_api, post(header), 403, "Kala-Job: sent by an HTTP job; to start other jobs, use parent_jobs"
        )

    @pytest.mark.parametrize("status", [301, 307])
    def test_is_refused_after_a_redirect_to_here(self, api, status):
        kept = api.create(name="kept")
        with redirecting(status, f"http://{api.host}:{api.port}/api/v1/job/all/") as url:
            hook = api.create(type=1, schedule=None, remote_properties={"url": url, "method": "DELETE"})
            api.await_job(hook, error_count=1)
        assert set(api.jobs()) == {kept, hook}
        [run] = api.ask("GET", f"/api/v1/job/{hook}/runs/").json["runs"]
        assert (run["state"], run["http_status"]) == ("failed", 403)


@contextmanager
def redirecting(status: int, location: str) -> Iterator[str]:
    """A server that redirects its only request."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(_redirect, server, f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def _redirect(server: socket.socket, head: str) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(head.encode())
