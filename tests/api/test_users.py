"""Users, their logins, tokens and invitations, over HTTP."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from kala.access import credentials, passwords
from kala.core.caller import ACTOR_KINDS, KALA, Role
from kala.engine.access_messages import NoteUse, UpdateAccount

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "four plain English words"
OTHER = "some other words to remember"


@pytest.fixture
def api(idle_api):
    for user in idle_api.ask("GET", "/api/v1/user/").json["users"]:
        idle_api.ask("DELETE", f"/api/v1/user/{user['name']}/")
    for token in idle_api.ask("GET", "/api/v1/token/").json["tokens"]:
        idle_api.ask("DELETE", f"/api/v1/token/{token['name']}/")
    return idle_api


def add(api, name="ann", role="editor", **more):
    response = api.ask("POST", "/api/v1/user/", {"name": name, "role": role, "password": PASSWORD} | more)
    assert response.status == 201, response.body
    return response.json["user"]


def log_in(api, name="ann", password=PASSWORD):
    response = api.ask("POST", "/api/v1/session/", {"name": name, "password": password})
    assert response.status == 201, response.body
    return bearer(response.json["token"])


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def me(api, **headers):
    return api.ask("GET", "/api/v1/me/", **headers)


def token(api, name="ci", role="operator", **more):
    response = api.ask("POST", "/api/v1/token/", {"name": name, "role": role} | more)
    assert response.status == 201, response.body
    return response.json


def replaced_while_checked(api, monkeypatch):
    """Let Ann get another password after each check of one, before anything follows from it."""
    matches = passwords.matches

    def matches_then_replaced(password, stored):
        found = matches(password, stored)
        api.app._engine.call(UpdateAccount("ann", partial(replace, password=passwords.hashed(OTHER))), KALA)
        return found

    monkeypatch.setattr(passwords, "matches", matches_then_replaced)


class TestAUser:
    def test_is_shown_without_the_password(self, api):
        user = add(api, owners=["*@db.example"], run_as=True)
        created = datetime.fromisoformat(user.pop("created_at"))
        assert datetime.now(UTC) - created < timedelta(minutes=1)
        assert user == {
            "name": "ann",
            "role": "editor",
            "owners": ["*@db.example"],
            "run_as": True,
            "has_password": True,
            "last_login": None,
        }
        assert PASSWORD not in str(api.ask("GET", "/api/v1/user/").json)

    def test_is_found_by_name_and_in_the_list(self, api):
        add(api, "bob"), add(api, "ann")
        assert [user["name"] for user in api.ask("GET", "/api/v1/user/").json["users"]] == ["ann", "bob"]
        assert api.ask("GET", "/api/v1/user/bob/").json["user"]["name"] == "bob"

    def test_exists_once(self, api):
        add(api)
        response = api.ask("POST", "/api/v1/user/", {"name": "ann", "role": "viewer"})
        assert (response.status, response.error) == (
            409,
            "name: a user ann exists; use another name, or change that user",
        )

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_that_does_not_exist_is_not_found(self, api, method):
        response = api.ask(method, "/api/v1/user/nobody/", {"role": "viewer"} if method == "PATCH" else None)
        assert (response.status, response.error) == (404, "no user has the name 'nobody'")

    def test_can_be_given_another_role_which_ends_the_logins(self, api):
        add(api)
        login = log_in(api)
        assert api.ask("PATCH", "/api/v1/user/ann/", {"role": "viewer"}).json["user"]["role"] == "viewer"
        assert me(api, **login).status == 401
        assert me(api, **log_in(api)).json["me"]["role"] == "viewer"

    def test_has_other_owners_from_the_next_request_on(self, api):
        add(api)
        login = log_in(api)
        job = api.create(owner="ann@web.example")
        assert api.ask("GET", f"/api/v1/job/{job}/", **login).status == 200
        api.ask("PATCH", "/api/v1/user/ann/", {"owners": ["*@db.example"]})
        assert api.ask("GET", f"/api/v1/job/{job}/", **login).status == 404

    def test_that_is_deleted_is_logged_out(self, api):
        add(api)
        login = log_in(api)
        assert api.ask("DELETE", "/api/v1/user/ann/").status == 204
        assert me(api, **login).status == 401
        response = api.ask("POST", "/api/v1/session/", {"name": "ann", "password": PASSWORD})
        assert response.status == 401

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({}, "name: required"),
            ({"name": "ann"}, "role: required"),
            ({"name": "Ann", "role": "viewer"}, "name: must be 1 to 64 lower-case letters, digits and ._@+-"),
            ({"name": "ann", "role": "root"}, "role: must be one of viewer, operator, editor, admin"),
            ({"name": "ann", "role": "anyone"}, "role: must be one of viewer"),
            ({"name": "ann", "role": "viewer", "owners": "*"}, "owners: must be"),
            ({"name": "ann", "role": "viewer", "run_as": 1}, "run_as: must be"),
            ({"name": "ann", "role": "viewer", "password": "short"}, "password: must have at least 12 characters"),
            ({"name": "ann", "role": "viewer", "password": ["a"]}, "password: must be a string"),
            ({"name": "ann", "role": "viewer", "mail": "x"}, "mail: unknown field"),
        ],
    )
    def test_with_a_wrong_field_is_refused(self, api, fields, error):
        response = api.ask("POST", "/api/v1/user/", fields)
        assert (response.status, response.error[: len(error)]) == (400, error)
        assert api.ask("GET", "/api/v1/user/").json["users"] == []


class TestALogin:
    def test_tells_who_it_is(self, api):
        add(api, owners=["*@db.example"])
        found = me(api, **log_in(api), User_Agent="lynx").json["me"]
        [login] = found.pop("logins")
        assert found == {
            "actor": "user:ann",
            "role": "editor",
            "owners": ["*@db.example"],
            "run_as": False,
            "address": "127.0.0.1",
            "user": "ann",
        }
        assert (login["address"], login["is_this"]) == ("127.0.0.1", True)

    def test_needs_the_right_password_of_a_user_that_exists(self, api):
        add(api)
        add(api, "bob", password=None)
        sentences = set()
        for name, password in [("ann", OTHER), ("nobody", PASSWORD), ("bob", ""), ("bob", PASSWORD), ("", "")]:
            response = api.ask("POST", "/api/v1/session/", {"name": name, "password": password})
            assert response.status == 401
            sentences.add(response.error)
        assert sentences == {"the name or the password is wrong"}

    def test_does_not_begin_with_a_password_that_was_replaced_while_it_was_checked(self, api, monkeypatch):
        add(api)
        replaced_while_checked(api, monkeypatch)
        response = api.ask("POST", "/api/v1/session/", {"name": "ann", "password": PASSWORD})
        assert (response.status, response.error) == (401, "the name or the password is wrong")
        assert api.ask("GET", "/api/v1/user/ann/").json["logins"] == []

    @pytest.mark.parametrize("wrong", ["\ud800", "a\0b", 1, ["a"]])
    def test_needs_text(self, api, wrong):
        sentence = "must be a string without NUL characters or lone surrogates"
        for path, fields in (
            ("session", ("name", "password")),
            ("invitation", ("invitation", "password")),
        ):
            for field in fields:
                response = api.ask("POST", f"/api/v1/{path}/", dict.fromkeys(fields, "x") | {field: wrong})
                assert (response.status, response.error) == (400, f"{field}: {sentence}")

    def test_takes_a_password_in_whatever_way_its_letters_are_composed(self, api):
        add(api, password="zwölf Boxkämpfer jagen")
        assert me(api, **log_in(api, password="zwo\u0308lf Boxka\u0308mpfer jagen")).status == 200

    def test_ends_when_the_user_logs_out(self, api):
        add(api)
        here, there = log_in(api), log_in(api)
        assert api.ask("DELETE", "/api/v1/session/", **here).status == 204
        assert (me(api, **here).status, me(api, **there).status) == (401, 200)

    def test_ends_everywhere_when_the_user_says_so(self, api):
        add(api)
        logins = [log_in(api) for _ in range(3)]
        assert api.ask("DELETE", "/api/v1/session/?all=true", **logins[0]).status == 204
        assert {me(api, **login).status for login in logins} == {401}

    def test_ends_when_an_administrator_says_so(self, api):
        add(api)
        login = log_in(api)
        assert api.ask("POST", "/api/v1/user/ann/logout/").status == 204
        assert me(api, **login).status == 401

    def test_is_one_of_a_hundred_at_most(self, api):
        add(api)
        logins = [log_in(api) for _ in range(101)]
        assert [me(api, **one).status for one in logins].count(401) == 1
        assert me(api, **logins[-1]).status == 200
        assert len(me(api, **logins[-1]).json["me"]["logins"]) == 100

    def test_is_one_that_callers_without_one_cannot_end(self, api):
        response = api.ask("DELETE", "/api/v1/session/")
        assert response.status == 409
        assert response.error.startswith("this caller did not log in with a name and a password, and has no login")

    def test_ends_after_the_time_that_the_settings_say(self, api, monkeypatch):
        add(api)
        gate = api.app._gate
        login = log_in(api)
        monkeypatch.setattr(gate, "idle", timedelta())
        assert me(api, **login).status == 401
        monkeypatch.undo()
        monkeypatch.setattr(gate, "lifetime", timedelta())
        gate.forget()
        assert me(api, **login).status == 401
        monkeypatch.undo()
        gate.forget()
        assert me(api, **login).status == 200


class TestAPassword:
    def test_can_be_changed_by_who_knows_the_old_one(self, api):
        add(api)
        here, there = log_in(api), log_in(api)
        response = api.ask("PATCH", "/api/v1/me/", {"old_password": PASSWORD, "password": OTHER}, **here)
        assert response.status == 204, response.body
        assert (me(api, **here).status, me(api, **there).status) == (200, 401)
        assert me(api, **log_in(api, password=OTHER)).status == 200

    def test_stays_if_the_old_one_is_wrong_or_the_new_one_is_weak(self, api):
        add(api)
        login = log_in(api)
        for old, new, error in [
            (OTHER, OTHER, "old_password: is not your present password"),
            (PASSWORD, "short", "password: must have at least 12 characters, not 5; use several words"),
        ]:
            response = api.ask("PATCH", "/api/v1/me/", {"old_password": old, "password": new}, **login)
            assert (response.status, response.error) == (400, error)
        assert me(api, **log_in(api)).status == 200

    def test_that_was_replaced_while_the_old_one_was_checked_stays(self, api, monkeypatch):
        add(api)
        login = log_in(api)
        replaced_while_checked(api, monkeypatch)
        response = api.ask("PATCH", "/api/v1/me/", {"old_password": PASSWORD, "password": "one more of them"}, **login)
        assert (response.status, response.error) == (400, "old_password: is not your present password")
        monkeypatch.undo()
        assert log_in(api, password=OTHER)

    def test_is_no_matter_of_callers_without_a_login(self, api):
        response = api.ask("PATCH", "/api/v1/me/", {"old_password": PASSWORD, "password": OTHER})
        assert response.status == 409

    def test_that_is_set_by_an_administrator_ends_the_logins(self, api):
        add(api)
        login = log_in(api)
        api.ask("PATCH", "/api/v1/user/ann/", {"password": OTHER})
        assert me(api, **login).status == 401
        assert me(api, **log_in(api, password=OTHER)).status == 200


class TestAnInvitation:
    def invite(self, api):
        add(api, password=None)
        return api.ask("POST", "/api/v1/user/ann/invite/").json["invitation"]

    def accept(self, api, invitation, password=PASSWORD):
        return api.ask("POST", "/api/v1/invitation/", {"invitation": invitation, "password": password})

    def test_lets_a_user_choose_a_password_once(self, api):
        invitation = self.invite(api)
        assert self.accept(api, invitation).json == {"user": "ann"}
        assert me(api, **log_in(api)).status == 200
        again = self.accept(api, invitation, OTHER)
        assert (again.status, again.error.partition(";")[0]) == (404, "invitation: not valid")

    def test_is_accepted_by_its_user_in_the_audit_log(self, api):
        self.accept(api, self.invite(api))
        newest = api.ask("GET", "/api/v1/audit/").json["entries"][0]
        assert (newest["action"], newest["actor"]) == ("user.update", "user:ann")

    def test_is_still_valid_after_a_password_that_was_refused(self, api):
        invitation = self.invite(api)
        assert self.accept(api, invitation, "short").status == 400
        assert self.accept(api, invitation).status == 200

    def test_ends_when_there_is_a_newer_one_or_the_user_is_deleted(self, api):
        old = self.invite(api)
        new = api.ask("POST", "/api/v1/user/ann/invite/").json["invitation"]
        assert self.accept(api, old).status == 404
        api.ask("DELETE", "/api/v1/user/ann/")
        add(api, password=None)
        assert self.accept(api, new).status == 404

    def test_is_valid_for_an_hour(self, api):
        add(api)
        response = api.ask("POST", "/api/v1/user/ann/invite/")
        left = datetime.fromisoformat(response.json["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < left < timedelta(minutes=61)

    @pytest.mark.parametrize("given", ["", "kala_", "x" * 100, credentials.new_secret()])
    def test_that_nobody_made_is_not_valid(self, api, given):
        assert self.accept(api, given).status == 404


class TestAToken:
    def test_is_who_it_was_made_for(self, api):
        made = token(api, owners=["*@db.example"], run_as=True)
        found = me(api, **bearer(made["secret"])).json["me"]
        assert (found["actor"], found["role"], found["owners"], found["run_as"]) == (
            "token:ci",
            "operator",
            ["*@db.example"],
            True,
        )

    def test_shows_its_secret_only_once(self, api):
        secret = token(api)["secret"]
        listed = api.ask("GET", "/api/v1/token/").json["tokens"]
        assert [one["name"] for one in listed] == ["ci"]
        assert secret not in str(listed)

    def test_stops_working_when_it_is_deleted(self, api):
        secret = token(api)["secret"]
        assert me(api, **bearer(secret)).status == 200
        assert api.ask("DELETE", "/api/v1/token/ci/").status == 204
        assert me(api, **bearer(secret)).status == 401
        assert api.ask("DELETE", "/api/v1/token/ci/").status == 404

    def test_expires(self, api):
        made = token(api, expires_in="PT0.2S")
        time.sleep(0.3)
        assert me(api, **bearer(made["secret"])).status == 401

    @pytest.mark.parametrize(("given", "days"), [(None, 365), ("P90D", 90), ("P1D", 1), ("never", None)])
    def test_is_valid_for_as_long_as_was_asked_for(self, api, given, days):
        expires_at = token(api, expires_in=given)["token"]["expires_at"]
        if days is None:
            assert expires_at is None
        else:
            left = datetime.fromisoformat(expires_at) - datetime.now(UTC)
            assert timedelta(days=days - 1) < left < timedelta(days=days + 1)

    def test_is_not_named_like_the_token_in_a_file(self, api):
        response = api.ask("POST", "/api/v1/token/", {"name": "admin", "role": "viewer"})
        assert (response.status, response.error) == (
            400,
            "name: 'admin' is reserved for the token in KALA_ADMIN_TOKEN_FILE; use another name",
        )

    @pytest.mark.parametrize("given", ["P", "1y", "P0D", "-P1D", 5])
    def test_with_a_wrong_expiry_is_refused(self, api, given):
        response = api.ask("POST", "/api/v1/token/", {"name": "ci", "role": "viewer", "expires_in": given})
        assert (response.status, response.error[:11]) == (400, "expires_in:")

    def test_with_an_expiry_in_another_form_is_told_the_right_one(self, api):
        response = api.ask("POST", "/api/v1/token/", {"name": "ci", "role": "viewer", "expires_in": "90d"})
        sentence = "expires_in: must be an ISO 8601 duration such as P90D or P1Y, or never, not '90d'"
        assert (response.status, response.error) == (400, sentence)

    def test_knows_when_it_was_used(self, api):
        secret = token(api)["secret"]
        assert api.ask("GET", "/api/v1/token/").json["tokens"][0]["last_used"] is None
        me(api, **bearer(secret))
        deadline = time.monotonic() + 5
        while (used := api.ask("GET", "/api/v1/token/").json["tokens"][0]["last_used"]) is None:
            assert time.monotonic() < deadline
        assert datetime.now(UTC) - datetime.fromisoformat(used) < timedelta(minutes=1)

    def test_was_not_used_with_the_secret_of_a_deleted_one_of_the_same_name(self, api):
        """The engine can get the note of a use after it has deleted the token."""
        deleted = token(api)["secret"]
        api.ask("DELETE", "/api/v1/token/ci/")
        secret = token(api)["secret"]
        for used, expected in ((deleted, None), (secret, "2030-01-01T12:00:00Z")):
            api.app._engine.call(NoteUse(credentials.hashed(used), datetime(2030, 1, 1, 12, tzinfo=UTC)), KALA)
            assert api.ask("GET", "/api/v1/token/").json["tokens"][0]["last_used"] == expected


class TestTheAuditLog:
    def entries(self, api, query=""):
        return api.ask("GET", f"/api/v1/audit/?limit=1000{query}").json["entries"]

    def test_tells_who_asked_for_what_and_what_was_refused(self, api):
        login = bearer(token(api, "editor", "editor")["secret"])
        job = api.ask("POST", "/api/v1/job/", {"name": "audited", "command": "true", "schedule": "manual"}, **login)
        job_id = job.json["id"]
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"retries": 2, "env": {"KEY": "secret"}}, **login)
        assert api.ask("DELETE", "/api/v1/job/all/", **login).status == 403
        found = self.entries(api, "&actor=token:editor")
        assert [(one["action"], one["target"], one["name"]) for one in found] == [
            ("request", "DELETE /api/v1/job/all/", ""),
            ("job.update", job_id, "audited"),
            ("job.create", job_id, "audited"),
        ]
        assert found[0]["refused"] == "not allowed: this needs the role admin, and token:editor has the role editor"
        assert found[1]["changed"] == {"retries": [0, 2], "env": [[], [["KEY", "***"]]]}

    @pytest.mark.parametrize("actor", ["ann", "", "user:", "nobody:ann", "User:ann", "locally"])
    def test_refuses_an_actor_whom_no_entry_can_name(self, api, actor):
        answer = api.ask("GET", f"/api/v1/audit/?actor={actor}")
        sentence = f'actor: must have its kind, such as user:ann, token:ann or peer:ann, not "{actor}"'
        assert (answer.status, answer.json) == (400, {"error": sentence})

    @pytest.mark.parametrize("actor", ["local", "anyone", *(f"{kind}:nobody" for kind in ACTOR_KINDS)])
    def test_is_filtered_by_any_kind_of_actor(self, api, actor):
        entries = self.entries(api, f"&actor={actor}")
        assert {entry["actor"] for entry in entries} <= {actor}

    def test_has_logins_and_wrong_passwords(self, api):
        add(api, "carol")
        log_in(api, "carol")
        api.ask("POST", "/api/v1/session/", {"name": "carol", "password": OTHER})
        refused, done = [one for one in self.entries(api, "&action=login") if one["target"] == "carol"][:2]
        assert (done["actor"], done["refused"]) == ("user:carol", None)
        assert (refused["actor"], refused["refused"]) == ("local", "the name or the password is wrong")

    def test_is_read_page_by_page(self, api):
        for number in range(3):
            add(api, f"user{number}")
        first = api.ask("GET", "/api/v1/audit/?limit=2").json
        second = api.ask("GET", f"/api/v1/audit/?limit=2&before={first['next_before']}").json
        ids = [one["id"] for one in first["entries"] + second["entries"]]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == 4

    def test_says_who_started_a_run(self, api):
        job = api.create(schedule="manual")
        run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run", **bearer(token(api)["secret"])).json["run"]
        assert run["requested_by"] == "token:ci"
        assert api.ask("GET", f"/api/v1/run/{run['id']}/").json["run"]["requested_by"] == "token:ci"


def test_names_in_peers_that_this_machine_does_not_have_are_logged(idle_api, caplog):
    peers = {Role.VIEWER: ("root", "no-such-user", "54321"), Role.OPERATOR: ("@root", "@no-such-group", "@54322")}
    with idle_api.configured(peers=peers):
        messages = [record.getMessage() for record in caplog.records if record.name == "kala.access"]
    assert messages == ["peers: this machine has no user or @group named no-such-user, @no-such-group"]


def test_a_reload_changes_who_may_call(idle_api):
    app = idle_api.app
    assert me(idle_api).json["me"]["actor"] == "local"
    config = app.config
    app.reload(replace(config, session_idle="PT1H"))
    assert app._gate.idle == timedelta(hours=1)
    app.reload(config)
