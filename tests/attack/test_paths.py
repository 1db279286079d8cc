"""No spelling of a path, a method or a request reaches a route without the role that it needs."""

import json
import socket
from contextlib import closing

import pytest
from crowd import request
from people import Line, ask, bearer, token
from process import PATIENCE
from scene import FAR
from somebody import statuses

from kala.api.routes import ROUTES
from kala.core.caller import Role
from kala.ui.routes import PAGES

STRANGER = {"X-Forwarded-For": "192.0.2.1"}
LAST = {"Connection": "close"}
ANY = {"Host": "localhost", **STRANGER}
# Ways to write /api/v1/PATH.
SPELLINGS = """
/api/v1/{} //api/v1/{} /api//v1/{} /api/v1//{} /api/v1/./{} /./api/v1/{} /x/../api/v1/{} /api/v1/x/../{} /api/v1/{}/..;/
/%61pi/v1/{} /api%2Fv1/{} /api%2fv1%2f{} /api/v1/%2e/{} /api/v1/x/%2e%2e/{} /api/v1/..%2f{} /api/v1;x=y/{} /api/v1/{};x
/API/V1/{} /Api/v1/{} /api/v1/{}. /api/v1/{}%20 /api/v1/{}%00 /api/v1/{}%0a /api/v1/{}.json /api/v1/{}/ /api/v1/{}//
/api/v1/{}/. /api/v1/{}%2f /api/v1/{}/%2e /api/v1/{}?x=/api/v1/health/ /api/v1/health/../{} /api/v1/health/..%2f{}
/api/v1/health/%2e%2e/{} /api/v1/health;/../{} /static/../api/v1/{} /static/x/../../api/v1/{} /api/v1\\{} \\api\\v1\\{}
/api/v1/{}%23 /api/v1/%252e%252e/v1/{} /api/v1/{}%3f /kala/api/v1/{} /kala//api/v1/{} /kala/kala/api/v1/{}
/kala/./api/v1/{}
/kala%2fapi/v1/{} /api/v2/../v1/{} /api/v1/\u00e9/../{} /\uff41pi/v1/{} /api/v1/{}\u200b http://localhost/api/v1/{}
http://localhost:1/api/v1/{} http://evil.test/api/v1/{} //localhost/api/v1/{} *{} localhost:1{} ?/api/v1/{}
""".split()
SECRET = "meadow-saffron"


def raw(kala, data: bytes) -> bytes:
    """Send bytes on a connection of its own, and return all that comes back until it is closed."""
    host, port = kala.address.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def line(method: str, target: str, headers: dict[str, str], body: str = "") -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture(params=[(), ("--base-path", "/kala")], ids=["at the root", "below a path"])
def target(request, serve):
    """A Kala with a secret, and with a token of a viewer."""
    kala = serve(*request.param)
    job = kala.create(name=SECRET, command="true", schedule=FAR, env={"PASSWORD": SECRET})
    kala.go(job)
    kala.runs(job, 1)
    kala.jobs = kala.query("SELECT id FROM job")
    kala.viewer = bearer(token(kala, "viewer"))
    return kala


def unchanged(kala) -> None:
    assert kala.query("SELECT id FROM job") == kala.jobs
    assert kala.query("SELECT count(*) FROM run")[0][0] == 1
    assert kala.query("SELECT count(*) FROM account")[0][0] == 0
    kala.settle()
    assert "Traceback" not in kala.log


def test_no_spelling_of_a_path_lets_a_stranger_or_a_viewer_in(target):
    body = json.dumps({"name": "evil", "command": "id", "schedule": FAR})
    account = json.dumps({"name": "evil", "role": "admin"})
    for spelling in SPELLINGS:
        for who in (STRANGER, target.viewer):
            headers = {"Host": "localhost", **LAST, **who}
            sent = [line("POST", spelling.format("job"), headers, body)]
            sent += [line("POST", spelling.format("user"), headers, account)]
            sent += [
                line("DELETE", spelling.format("job/all"), headers),
                line("GET", spelling.format("token"), headers),
            ]
            sent += [line("GET", spelling.format("config"), headers), line("GET", spelling.format("audit"), headers)]
            for one in sent:
                answer = raw(target, one)
                assert all(status in (301, 400, 401, 403, 404, 405) for status in statuses(answer)), (one, answer)
        answer = raw(target, line("GET", spelling.format("job"), ANY | LAST))
        assert SECRET.encode() not in answer, spelling
        assert all(status >= 301 for status in statuses(answer)), spelling
    unchanged(target)


METHODS = """
GET HEAD OPTIONS TRACE CONNECT PUT PATCH DELETE POST PROPFIND get Post pOST GETT QUERY LOCK MKCOL
""".split()


def test_no_method_lets_a_stranger_in(target):
    for method in METHODS:
        for path in (
            "/api/v1/job/",
            "/api/v1/job/all/",
            "/api/v1/user/",
            "/jobs",
            "/runs/1",
            "/settings",
            "/api/v1/run/1/output",
        ):
            for accept in ("*/*", "text/html"):
                answer = raw(target, line(method, path, ANY | LAST | {"Accept": accept}))
                assert SECRET.encode() not in answer
                assert all(status in (301, 302, 303, 400, 401, 404, 405, 501) for status in statuses(answer)), (
                    method,
                    path,
                )
    unchanged(target)


def test_no_header_gives_a_request_another_method_path_or_caller(target):
    headers = [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Method-Override": "GET", "X-HTTP-Method": "GET"},
        {"X-Original-URL": "/api/v1/health/"},
        {"X-Rewrite-URL": "/api/v1/health/", "X-Forwarded-Path": "/api/v1/health/"},
        {"X-Forwarded-Prefix": "/api/v1/health/..", "X-Script-Name": "/api/v1"},
        {"X-Remote-User": "root", "Remote-User": "root", "REMOTE-USER": "root", "X-WEBAUTH-USER": "admin"},
        {"X-Forwarded-User": "root", "X-Auth-Request-User": "root", "X-Forwarded-Access-Token": "x"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost", "X-Forwarded-Port": "443"},
        {"X-Authenticated-Userid": "1", "X-Consumer-Username": "admin", "Kala-Peer": "root", "Kala.Peer": "root"},
        {"Content-Type": "application/json; charset=utf-7"},
    ]
    body = json.dumps({"name": "evil", "command": "id", "schedule": FAR})
    for one in headers:
        answer = raw(target, line("POST", "/api/v1/job/", ANY | LAST | one, body))
        assert statuses(answer) == [401], one
        answer = raw(target, line("POST", "/api/v1/job/?_method=GET&method=GET", ANY | LAST | one, body))
        assert statuses(answer) == [401], one
    unchanged(target)


def test_a_viewer_reads_and_a_stranger_does_not_at_every_route(target):
    """By the table: HEAD as GET, with and without the last slash."""
    replace = {"{id}": "1", "{name}": "nobody", "{digest}": "x", "{folder}": "x", "{file}": "x"}
    for route in (*ROUTES, *PAGES):
        path = route.path
        for name, value in replace.items():
            path = path.replace(name, value)
        for spelling in {path, path.removesuffix("/") or "/", f"{path.removesuffix('/')}/"}:
            for method in {route.method, "HEAD" if route.method == "GET" else route.method}:
                if route.role is Role.ANYONE:
                    continue
                status = statuses(raw(target, line(method, spelling, ANY | LAST)))
                # A page may lead to the page for the login.
                assert status == [401] or (route.is_page and status in ([302], [303])), (method, spelling, status)
                if not Role.VIEWER.includes(route.role):
                    headers = {"Host": "localhost", **LAST, **target.viewer}
                    assert statuses(raw(target, line(method, spelling, headers))) == [403], (method, spelling)
    unchanged(target)


# Several requests on one connection


def test_each_request_of_a_connection_has_its_own_caller(kala):
    viewer, editor = bearer(token(kala, "viewer")), bearer(token(kala, "editor", "editor", run_as=True))
    new = {"name": "new", "command": "true", "schedule": FAR}
    sent, wanted = [], []
    for who, status in (
        (viewer, 403),
        (STRANGER, 401),
        (editor, 201),
        (viewer, 403),
        (STRANGER, 401),
        ({}, 201),
        (viewer, 403),
    ):
        sent.append(request("POST", "/job/", new, **who))
        wanted.append(status)
    answer = raw(kala, b"".join(sent) + request("GET", "/job/", **LAST, **STRANGER))
    assert statuses(answer) == [*wanted, 401]
    with closing(Line(kala.address)) as kept:
        again = [
            kept.ask("POST", "/job/", new, **who).status
            for who in (editor, viewer, {"X_Forwarded_For": "192.0.2.1"}, editor)
        ]
    assert again == [201, 403, 401, 201]


def test_no_request_is_smuggled_in_the_body_of_another(kala):
    """What a proxy in front takes for a body, Kala must not take for a request with the rights of somebody else."""
    editor = bearer(token(kala, "editor", "editor", run_as=True))["Authorization"]
    inner = request("POST", "/job/", {"name": "evil", "command": "id", "schedule": FAR}, Authorization=editor).decode()
    head = "POST /api/v1/job/ HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
    for framing in (
        f"Content-Length: {len(inner)}\r\n",
        f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked\r\n",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(inner)}\r\n",
        f"Content-Length: 0\r\nContent-Length: {len(inner)}\r\n",
        f"Content-Length: {len(inner)}, 0\r\n",
        f"Content-Length: +{len(inner)}\r\n",
        f"Content-Length : {len(inner)}\r\n",
        f"Content-Length:\x0b{len(inner)}\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer_Encoding: chunked\r\nX: y\nTransfer-Encoding: chunked\r\n",
        f"X: y\r\n Content-Length: {len(inner)}\r\n",
    ):
        answer = raw(kala, (head + framing + "\r\n").encode("latin-1") + inner.encode())
        assert set(statuses(answer)) <= {400, 401}, framing
    # A request with a body that no route has read, and that is refused, leaves nothing for the next one.
    with closing(Line(kala.address)) as kept:
        assert kept.ask("POST", "/job/", {"padding": inner}, X_Forwarded_For="192.0.2.1").status == 401
        assert kept.ask("GET", "/me/", X_Forwarded_For="192.0.2.1").status == 401
    assert kala.query("SELECT count(*) FROM job")[0][0] == 0


def test_two_authorizations_in_one_request_are_none(kala):
    secrets = [token(kala, name, role) for name, role in (("viewer", "viewer"), ("root", "admin"))]
    for order in (secrets, secrets[::-1]):
        head = "".join(f"Authorization: Bearer {one}\r\n" for one in order)
        sent = f"GET /api/v1/me/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n"
        assert statuses(raw(kala, sent.encode())) == [401]
    with_underscore = request("GET", "/me/", **LAST, **STRANGER, Authorization_=f"Bearer {secrets[1]}")
    assert statuses(raw(kala, with_underscore)) == [401]
    assert ask(kala, "GET", "/me/", **bearer(secrets[1])).json["me"]["actor"] == "token:root"
