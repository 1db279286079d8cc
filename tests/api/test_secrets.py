"""Who may not write the secrets of jobs does not see them, in whatever is shown of a job."""

import http.server
import json
import logging
import socket
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import urlencode

import pytest
from samples import FAR

from kala.api.route import EVENTS
from kala.api.routes import ROUTES
from kala.core.caller import ROLES, Role
from kala.ui.assets import Assets
from kala.ui.routes import PAGES

SECRET = "Geheimnis"
MASKED = (Role.VIEWER, Role.OPERATOR)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the first word of the path says."""

    def do_POST(self):
        word = self.path.split("-", maxsplit=1)[0]
        if word == "/hold":
            self.server.is_over.wait(30)
            return
        self.send_response({"/ok": 200, "/redirect": 302, "/loop": 302, "/astray": 302}.get(word, 500))
        place = {"/redirect": f"/fail-{SECRET}", "/loop": self.path, "/astray": f"ftp://{SECRET}/"}.get(word)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815  the name that http.server looks for

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hook():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.is_over = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.is_over.set()
        server.shutdown()
        thread.join()


def call(url, **fields):
    properties = {"url": url, "method": "POST", "body": f"body {SECRET}", "headers": {"X-Key": ["1", SECRET]}}
    return {"type": 1, "command": None, "remote_properties": properties} | fields


class Scene:
    """Jobs with secrets in all places for them, and their runs, after each kind of end."""

    def __init__(self, api, host):
        self.api = api
        self.began = f"{api.app.feed.token}-{api.app.feed.last}"
        env = {"TOKEN": SECRET, "MODE": f"x{SECRET}"}
        login = f"http://{SECRET}:{SECRET}@{host}"
        jobs = {
            "told": {"command": "exit 1", "env": env},
            "fine": {"command": "echo fine", "env": env},
            "ok": call(f"{login}/ok-{SECRET}?{SECRET}#{SECRET}"),
            "fail": call(f"{login}/fail-{SECRET}", on_failure_job="told"),
            "spaces": call(f"{login}/fail {SECRET} {SECRET}"),
            "redirect": call(f"{login}/redirect-{SECRET}"),
            "loop": call(f"http://{host}/loop-{SECRET}"),
            "astray": call(f"http://{host}/astray-{SECRET}"),
            "hold": call(f"http://{host}/hold-{SECRET}", timeout="PT0.3S"),
            "refused": call(f"http://127.0.0.1:9/{SECRET}"),
            "rendered": call(f"{{{{ name }}}}/{SECRET}", TemplateDelimiters="{{ }}"),
            "long": call(f"http://{host}/fail-{'x' * 900}{SECRET}"),
        }
        common = {"schedule": FAR, "owner": "ann@example.org", "tags": ["nightly"]}
        self.jobs = {name: api.create(name=name, **(common | given)) for name, given in jobs.items()}
        api.create(name="child", parent_jobs=[self.jobs["fine"]], env=env)
        for name in self.jobs.keys() - {"told"}:
            assert api.ask("POST", f"/api/v1/job/start/{name}/").status == 204
        self.jobs["child"] = api.job("child")["id"]
        for job_id in self.jobs.values():
            api.await_job(job_id, next_run_at=api.job(job_id)["next_run_at"])
        self.runs = self._ended(len(self.jobs))
        # What is changed and deleted is in the audit log.
        for name in ("ok", "told"):
            change = {"remote_properties": {"url": f"http://{host}/{SECRET}/2"}} if name == "ok" else {"env": None}
            assert api.ask("PATCH", f"/api/v1/job/{name}/", change).status == 200
            assert api.ask("PATCH", f"/api/v1/job/{name}/", jobs[name] | {"name": name}).status == 200
        assert api.ask("DELETE", f"/api/v1/job/{api.create(name='gone', env=env)}/").status == 204

    def _ended(self, count):
        seen = 0
        while True:
            runs = self.api.ask("GET", "/api/v1/run/?state=succeeded,failed,timed_out").json["runs"]
            if len(runs) == count:
                return {run["job_name"]: run for run in runs}
            changes = self.api.app.feed.after(seen, 30)
            assert changes, runs
            seen = changes[-1][0]

    def values(self, operation, name):
        """Return values of a parameter. Each one must have some, so that none is left out."""
        job, run = self.jobs["fail"], self.runs["fail"]["id"]
        return {
            "id": [*self.jobs.values()],
            "after": [self.jobs["told"]],
            "before": [str(run + 1)],
            "cause": ["manual"],
            "cause_run": [str(run)],
            "components": ["true"],
            "count": ["true"],
            "depth": ["2"],
            "disabled": ["false"],
            "done": ["false"],
            "explain": ["true"],
            "fields": ["summary"],
            "follow": ["true"],
            "format": ["dot"],
            "from": ["0"],
            "ids": [",".join(self.jobs.values())],
            "job": [job],
            "last_line": ["true"],
            "limit": ["20"],
            "longer_than": ["0s"],
            "owner": ["ann@example.org"],
            "per_job": ["2"],
            "planned": ["true"],
            "pool": [""],
            "q": ["f", SECRET.lower()],
            "recent": ["5"],
            "run": [str(run)],
            "runs": ["5"],
            "since": ["-1d"],
            "sort": ["-last,name"],
            "state": ["failing" if operation == "listJobs" else "failed"],
            "step": ["1h"],
            "tag": ["nightly"],
            "tail": ["5"],
            "until": [(datetime.now(UTC) + timedelta(days=1) * (operation == "listUpcoming")).isoformat()],
            "usual": ["true"],
        }[name]

    def paths(self, route):
        """Yield the paths of a route, with each value of each parameter that changes the answer."""
        is_of_run = "/run/{id}" in route.path or "/runs/{id}" in route.path
        ids = [str(run["id"]) for run in self.runs.values()] if is_of_run else self.jobs.values()
        for one in ids if "{id}" in route.path else [""]:
            path = route.path.replace("{id}", one)
            yield path
            for name in route.in_query:
                for value in self.values(route.operation_id, name):
                    yield f"{path}?{urlencode({name: value} | COMPANIONS.get((route.operation_id, name), {}))}"
            if route.operation_id == "listJobs":
                yield f"{path}?fields=summary&recent=5&runs=5&last_line=true&count=true&sort=-last"

    def stream(self, path):
        """Return the events since the scene began."""
        with closing(socket.create_connection((self.api.host, self.api.port), 5)) as connection:
            head = (
                f"GET {path} HTTP/1.1\r\nHost: {self.api.host}:{self.api.port}\r\nLast-Event-ID: {self.began}\r\n\r\n"
            )
            connection.sendall(head.encode())
            received = b""
            while received.count(b"event: ") < 20:
                part = connection.recv(65536)
                assert part, received
                received += part
        return received


_SUMMARY = {"fields": "summary"}
COMPANIONS = {("listJobs", name): _SUMMARY for name in ("count", "last_line", "recent", "runs", "sort")} | {
    ("getGraph", "depth"): {"job": "fail"},
    ("listJobs", "last_line"): _SUMMARY | {"limit": "20"},
}


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def emit(self, record):
        self.kept.append(vars(record) | {"text": record.getMessage()})


@pytest.fixture(scope="module")
def scene(live_kala, hook):
    logger, records = logging.getLogger("kala"), Records()
    before = logger.level
    logger.setLevel("DEBUG")
    logger.addHandler(records)
    scene = Scene(live_kala.renew(), hook)
    scene.log = str(records.kept)
    yield scene
    logger.removeHandler(records)
    logger.setLevel(before)
    live_kala.renew()


def reads(role, routes):
    return [
        route
        for route in routes
        if route.method == "GET" and role.includes(route.role) and route.handler is not Assets.respond
    ]


@pytest.mark.parametrize("role", MASKED)
@pytest.mark.parametrize("route", reads(Role.OPERATOR, ROUTES), ids=lambda route: route.operation_id)
def test_no_response_has_a_secret(scene, route, role):
    with scene.api.asked_by(role):
        if EVENTS in route.answers.values():
            assert SECRET.encode() not in scene.stream(route.path)
            return
        for path in scene.paths(route):
            response = scene.api.ask("GET", path)
            assert response.status == 200, (path, response.body)
            assert SECRET.encode() not in response.body, path
            assert SECRET not in str(response.headers), path


@pytest.mark.parametrize("role", MASKED)
@pytest.mark.parametrize("route", reads(Role.OPERATOR, PAGES), ids=lambda route: route.operation_id)
def test_no_page_has_a_secret(scene, route, role):
    with scene.api.asked_by(role):
        for path in scene.paths(route):
            response = scene.api.ask("GET", path)
            assert response.status == 200, (path, response.body)
            assert SECRET.encode() not in response.body, path


HIDDEN = b"<code>***</code> is hidden: needs the role editor."


def test_the_page_of_a_job_says_why_something_is_hidden(scene):
    pages = {name: f"/jobs/{scene.jobs[name]}" for name in ("fine", "ok", "rendered")}
    plain = scene.api.create(name="plain", command="echo '***'")
    with scene.api.asked_by(Role.VIEWER):
        assert all(HIDDEN in scene.api.ask("GET", path).body for path in pages.values())
        assert HIDDEN not in scene.api.ask("GET", f"/jobs/{plain}").body
    with scene.api.asked_by(Role.EDITOR):
        assert not any(HIDDEN in scene.api.ask("GET", path).body for path in pages.values())
    assert scene.api.ask("DELETE", f"/api/v1/job/{plain}/").status == 204


def test_what_an_operator_starts_and_retries_has_none(scene):
    with scene.api.asked_by(Role.OPERATOR):
        for path in (f"job/start/{scene.jobs['refused']}/?return=run", f"run/{scene.runs['refused']['id']}/retry/"):
            for _ in range(2):
                response = scene.api.ask("POST", f"/api/v1/{path}", Idempotency_Key=f"key {path}".replace(" ", "-"))
                assert response.status == 201
                assert SECRET.encode() not in response.body
                scene.api.await_run(response.json["run"]["id"], "failed")


def test_errors_have_none(scene):
    with scene.api.asked_by(Role.OPERATOR):
        for job_id in scene.jobs.values():
            for method in ("PUT", "PATCH", "DELETE"):
                response = scene.api.ask(method, f"/api/v1/job/{job_id}/", {} if method != "DELETE" else None)
                assert response.status == 403
                assert SECRET.encode() not in response.body


def test_the_audit_log_has_none(scene):
    entries = scene.api.ask("GET", "/api/v1/audit/?limit=1000").json["entries"]
    assert any("remote_properties.url" in entry["changed"] for entry in entries)
    assert not any(SECRET in str(entry) for entry in entries)


def test_the_log_of_kala_has_none(scene):
    assert "/*** answered 500, expected 200" in scene.log
    assert SECRET not in scene.log


@pytest.mark.parametrize("role", [role for role in ROLES if role not in MASKED])
def test_who_may_write_secrets_sees_them(scene, role):
    with scene.api.asked_by(role):
        found = [scene.api.job(job_id) for job_id in scene.jobs.values()]
        listed = scene.api.ask("GET", "/api/v1/job/").json["jobs"]
        run = scene.api.ask("GET", f"/api/v1/run/{scene.runs['fail']['id']}/").json["run"]
    assert all(SECRET in json.dumps(job) for job in chain(found, listed.values()))
    assert f"/fail-{SECRET}" in run["message"]


class TestAMaskedJob:
    @pytest.fixture
    def read(self, scene):
        """Return a job as a viewer reads it, and its entity tag."""

        def read(name):
            with scene.api.asked_by(Role.VIEWER):
                response = scene.api.ask("GET", f"/api/v1/job/{scene.jobs[name]}/")
                return response.json["job"], response.headers["ETag"]

        return read

    def test_has_the_names_of_its_secrets(self, read):
        job, _ = read("fine")
        assert job["env"] == {"TOKEN": "***", "MODE": "***"}
        properties = read("ok")[0]["remote_properties"]
        assert properties["headers"] == {"X-Key": ["***"]}
        assert properties["body"] == "***"
        assert properties["url"].endswith("/***")

    def test_has_everything_else(self, scene, read):
        for name in ("fine", "ok"):
            whole = scene.api.job(scene.jobs[name])
            hidden = {"env": whole["env"], "remote_properties": whole["remote_properties"]}
            assert read(name)[0] | hidden == whole

    def test_has_an_etag_that_does_not_tell_whether_a_guess_is_right(self, scene, read):
        _, before = read("fine")
        path = f"/api/v1/job/{scene.jobs['fine']}/"
        assert scene.api.ask("PATCH", path, {"env": {"TOKEN": "guess"}}).status == 200
        assert read("fine")[1] == before
        assert scene.api.ask("PATCH", path, {"env": {"TOKEN": SECRET}}, If_Match=before).status == 412

    @pytest.mark.parametrize("name", ["fine", "ok", "rendered"])
    def test_that_is_sent_back_is_refused(self, scene, read, name):
        masked, _ = read(name)
        before = scene.api.job(scene.jobs[name])
        path = f"/api/v1/job/{scene.jobs[name]}/"
        copies = [("PUT", path), ("PATCH", path), ("POST", "/api/v1/job/"), ("POST", "/api/v1/job/check/")]
        for method, target in copies:
            response = scene.api.ask(method, target, masked)
            assert response.status == 400
            assert "*** stands for a secret" in response.error
        assert scene.api.job(scene.jobs[name]) == before


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"env": {"A": "1", "TOKEN": "***"}}, "env.TOKEN"),
        ({"type": 1, "remote_properties": {"url": "http://h/a/***"}}, "remote_properties.url"),
        ({"type": 1, "remote_properties": {"url": "***"}}, "remote_properties.url"),
        ({"type": 1, "remote_properties": {"url": "http://h/", "body": "***"}}, "remote_properties.body"),
        (
            {"type": 1, "remote_properties": {"url": "http://h/", "headers": {"X-Key": ["1", "***"]}}},
            "remote_properties.headers.X-Key[1]",
        ),
    ],
)
def test_what_stands_for_a_secret_is_none(untouched, fields, path):
    expected = f"{path}: *** stands for a secret that was hidden when the job was read; give the real value"
    responses = [untouched.create(fields), *untouched.change(fields)]
    responses.append(untouched.api.ask("POST", f"/api/v1/job/check/?job={untouched.id}", fields))
    untouched.assert_refused(*responses, start=expected)


@pytest.mark.parametrize("value", ["****", "** *", "a***", "*** "])
def test_other_values_with_asterisks_are_values(idle_api, value):
    job_id = idle_api.create(env={"A": value})
    assert idle_api.job(job_id)["env"] == {"A": value}
