"""Each route with each role: allowed exactly where the table says."""

import json
import time
from functools import cached_property
from itertools import count
from urllib.parse import urlencode

import pytest
from live_api import LONG_PATIENCE, running

from kala.api import access_schema, schema
from kala.api.examples import EXAMPLES
from kala.api.job_fields import JOB
from kala.api.route import EVENTS
from kala.api.routes import ROUTES
from kala.core.caller import ROLES, Role
from kala.core.errors import Busy
from kala.ui.assets import Assets
from kala.ui.routes import PAGES

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PAGES_TO_ASK = [route for route in PAGES if route.handler is not Assets.respond]
READS = [route for route in [*ROUTES, *PAGES_TO_ASK] if route.method == "GET"]
CHANGES = [route for route in [*ROUTES, *PAGES_TO_ASK] if route.method != "GET"]
PASSWORD = EXAMPLES[access_schema.NewUser]["password"]
# What a program with a token cannot do: it has no login.
WITHOUT_LOGIN = {"changePassword": 409, "logOut": 409, "changePasswordForm": 409}
OWNER = "ann@example.org"
# An admin sees the jobs of all.
WITH_OWNERS = [role for role in ROLES if role is not Role.ADMIN]
OWN, FOREIGN = ("*@example.org",), ("*@elsewhere.example",)
_numbers = count(1)


def named(route):
    return f"{route.method}-{route.operation_id}"


class World:
    """What requests are about: a job and, for those that need them, a run that has ended, a user and a token."""

    def __init__(self, api):
        self.api = api.renew()
        self.job = api.create(name="job", command="echo", env={"A": "1"}, owner=OWNER)
        self.user = f"user{next(_numbers)}"
        for role in ROLES:
            for owners in ((), OWN, FOREIGN) if role in WITH_OWNERS else [()]:
                api.token(role, *owners)

    @cached_property
    def run(self):
        run = self._start(self.job)
        self.api.await_run(run, "succeeded")
        return run

    @cached_property
    def name(self):
        """The name of a user and of a token."""
        for kind in ("user", "token"):
            assert self.api.ask("POST", f"/api/v1/{kind}/", {"name": self.user, "role": "viewer"}).status == 201
        return self.user

    def _start(self, job):
        return self.api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]

    def prepare(self, route):
        """Make what only this route needs, and return what to send."""
        name = route.operation_id
        if name in ("logIn", "loginForm"):
            assert self.api.ask("PATCH", f"/api/v1/user/{self.name}/", {"password": PASSWORD}).status == 200
        path = route.path
        if "{name}" in path:
            path = path.replace("{name}", self.name)
        elif "{id}" in path:
            path = path.replace("{id}", self._id(route))
        # A stream of events does not end.
        method = "HEAD" if EVENTS in route.answers.values() else route.method
        return method, path, self._form(name) if route.is_page and route.method == "POST" else self._body(route.body)

    def _id(self, route):
        if route.operation_id in ("cancelRun", "cancelRunForm"):
            run = self._start(self.api.create(name="long", command="sleep 600", owner=OWNER))
            deadline = time.monotonic() + LONG_PATIENCE
            while self.api.ask("GET", f"/api/v1/run/{run}/").json["run"]["started_at"] is None:
                assert time.monotonic() < deadline
            return str(run)
        return str(self.run) if route.path.startswith(("/api/v1/run/", "/runs/")) else self.job

    def _body(self, kinds):
        if kinds is None:
            return None
        kind = kinds[0] if isinstance(kinds, tuple) else kinds
        changes = {
            schema.NewJob: {"parent_jobs": None, "on_failure_job": None},
            schema.JobChange: {"parent_jobs": None, "on_failure_job": None},
            schema.Bulk: {"ids": [self.job], "filter": None, "expect": 1},
            access_schema.Credentials: {"name": self.user, "password": PASSWORD},
            access_schema.NewToken: {"name": f"{self.user}-new"},
            access_schema.NewUser: {"name": f"{self.user}-new"},
        }
        if kind is access_schema.Acceptance:
            return {"invitation": self._invitation(), "password": PASSWORD}
        return EXAMPLES[kind] | changes.get(kind, {})

    def _invitation(self):
        return self.api.ask("POST", f"/api/v1/user/{self.name}/invite/").json["invitation"]

    def _form(self, name):
        source = json.dumps({"name": "new", "command": "true", "owner": OWNER})
        job = {"as": "json", "source": source, "key": self.user}
        forms = {
            "bulkForm": {"action": "disable", "ids": self.job},
            "createJobByForm": job | {"do": "save"},
            "changeJobByForm": job | {"do": "check"},
            "loginForm": {"name": self.user, "password": PASSWORD},
            "acceptInvitationForm": {"invitation": self._invitation(), "password": PASSWORD, "again": PASSWORD},
            "createUserForm": {"name": f"{self.user}-new", "role": "viewer", "how": "invite"},
            "changeUserForm": {"role": "operator"},
            "createTokenForm": {"name": f"{self.user}-new", "role": "viewer", "expires_in": "P90D"},
        }
        return urlencode(forms.get(name, {})).encode()

    def state(self):
        """Return all that a request could have changed."""
        found = [self.api.ask("GET", f"/api/v1/{path}/").json for path in ("job", "run", "user", "token")]
        for token in found[-1]["tokens"]:  # that it was used is noted
            token["last_used"] = None
        return found


@pytest.fixture
def world(live_kala):
    yield World(live_kala)
    live_kala.renew()


@pytest.fixture(scope="module")
def _quiet_world(tmp_path_factory):
    with running(tmp_path_factory.mktemp("quiet")) as api:
        yield World(api)


@pytest.fixture
def quiet_world(_quiet_world):
    """A world that no request of a test changes, by a new connection, as Kala closes those that are idle for long."""
    _quiet_world.api.close()
    return _quiet_world


def is_turned_away(response):
    """Whether the response tells a stranger how to log in."""
    if response.status == 303:
        return response.headers["Location"].startswith("/login")
    return response.status == 401 and response.headers["WWW-Authenticate"] == "Bearer"


def test_a_wrong_token_is_refused_also_on_this_machine(quiet_world):
    for token in ("kala_wrong", quiet_world.api.token(Role.ADMIN)[:-1] + "!"):
        response = quiet_world.api.ask("GET", "/api/v1/job/", Authorization=f"Bearer {token}")
        assert is_turned_away(response)


def test_a_refusal_stays_one_if_the_audit_log_cannot_be_written(quiet_world, monkeypatch, caplog):
    def call(message, caller):
        raise Busy("storage: the database cannot be written: disk is full")

    with quiet_world.api.asked_by(Role.VIEWER):
        monkeypatch.setattr(quiet_world.api.app._engine, "call", call)
        assert quiet_world.api.ask("GET", "/api/v1/user/").status == 403
    assert "GET /api/v1/user/ is refused, and not in the audit log: storage: " in caplog.text


class TestARoute:
    @pytest.mark.parametrize("route", [*READS, *CHANGES], ids=named)
    def test_is_refused_to_who_has_not_its_role(self, quiet_world, route):
        method, path, body = quiet_world.prepare(route)
        before = quiet_world.state() if route in CHANGES else None
        for role in Role:
            if role.includes(route.role):
                continue
            with quiet_world.api.asked_by(role):
                response = quiet_world.api.ask(method, path, body)
            if role is Role.ANYONE:
                assert is_turned_away(response), role
                continue
            assert response.status == 403, role
            if method != "HEAD":
                said = response.body.decode() if route.is_page else response.error
                assert f"not allowed: this needs the role {route.role}, and token:" in said
        assert before is None or quiet_world.state() == before

    @pytest.mark.parametrize("route", READS, ids=named)
    def test_that_reads_is_open_to_who_has_its_role(self, quiet_world, route):
        roles = [role for role in Role if role.includes(route.role)]
        assert_open(quiet_world, route, roles)
        assert_open(quiet_world, route, [role for role in roles if role in WITH_OWNERS], OWN)

    @pytest.mark.parametrize("route", CHANGES, ids=named)
    def test_that_changes_is_open_to_who_has_its_role(self, live_kala, route):
        for role in Role:
            if role.includes(route.role):
                assert_open(World(live_kala), route, [role])
        if route.role in WITH_OWNERS:
            assert_open(World(live_kala), route, [route.role], OWN)
        live_kala.renew()

    @pytest.mark.parametrize("route", [route for route in [*READS, *CHANGES] if "{id}" in route.path], ids=named)
    def test_finds_no_job_and_no_run_of_others(self, quiet_world, route):
        method, path, body = quiet_world.prepare(route)
        before = quiet_world.state() if route in CHANGES else None
        for role in WITH_OWNERS:
            if role.includes(route.role):
                with quiet_world.api.asked_by(role, *FOREIGN):
                    assert quiet_world.api.ask(method, path, body).status == 404, role
        assert before is None or quiet_world.state() == before


def assert_open(world, route, roles, owners=()):
    method, path, body = world.prepare(route)
    for role in roles:
        with world.api.asked_by(role, *owners):
            response = world.api.ask(method, path, body)
        if role is not Role.ANYONE and route.operation_id in WITHOUT_LOGIN:
            assert response.status == WITHOUT_LOGIN[route.operation_id]
        elif route.is_page:
            assert response.status in (200, 303), response.body
        else:
            assert response.status in route.answers, response.body


DEFINITION = [name for name in JOB if name != "disabled"]


class TestAnOperator:
    def test_changes_no_job_by_any_route(self, live_kala):
        for route in CHANGES:
            if not Role.OPERATOR.includes(route.role):  # refused, as above
                continue
            world = World(live_kala)
            before = live_kala.job(world.job)
            method, path, body = world.prepare(route)
            with live_kala.asked_by(Role.OPERATOR):
                live_kala.ask(method, path, body)
            after = live_kala.job(world.job)
            assert [after[name] for name in DEFINITION] == [before[name] for name in DEFINITION], route.operation_id
        live_kala.renew()

    def test_does_not_even_replace_a_job_by_the_same(self, world):
        path = f"/api/v1/job/{world.job}/"
        with world.api.asked_by(Role.OPERATOR):
            for same in (world.api.job(world.job), {}):
                assert world.api.ask("PUT", path, same).status == 403
                assert world.api.ask("PATCH", path, same).status == 403

    def test_carries_out_actions_on_many_jobs_but_deletes_none(self, world):
        for action in schema.BulkAction:
            body = {"action": action, "ids": [world.job]}
            with world.api.asked_by(Role.OPERATOR):
                response = world.api.ask("POST", "/api/v1/job/bulk/", body)
            assert response.status == (403 if action is schema.BulkAction.DELETE else 200)
        form = {"action": "delete", "ids": world.job, "expect": "1", "key": world.user}
        with world.api.asked_by(Role.OPERATOR):
            assert world.api.submit("/jobs/bulk", **form).status == 403
        refused = world.api.ask("GET", "/api/v1/audit/?limit=2&refused=true").json["entries"]
        assert [entry["target"] for entry in refused] == ["POST /jobs/bulk", "POST /api/v1/job/bulk/"]
        assert all("needs the role editor" in entry["refused"] for entry in refused)
        assert world.api.job(world.job)["name"] == "job"

    def test_does_not_go_on_with_what_was_begun_as_an_editor(self, world):
        def ask_with_new_token(role):
            world.api.ask("DELETE", "/api/v1/token/ci/")
            secret = world.api.ask("POST", "/api/v1/token/", {"name": "ci", "role": role}).json["secret"]
            headers = {"Idempotency_Key": world.user, "Authorization": f"Bearer {secret}"}
            return world.api.ask("POST", "/api/v1/job/bulk/", {"action": "delete", "ids": [world.job]}, **headers)

        assert ask_with_new_token("editor").status == 200
        assert ask_with_new_token("operator").status == 403
        assert ask_with_new_token("editor").headers["Idempotent-Replayed"] == "true"
