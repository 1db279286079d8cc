"""The pages about users, tokens, the own account and the audit log."""

import re
from html import unescape

import pytest
from pages import html, text
from visitors import PASSWORD, Person, add_user, logged_in, serving

ANOTHER = "staple battery horse"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("access")) as api:
        yield api


@pytest.fixture
def api(live):
    """A Kala without users and tokens, as its own user sees it."""
    live.close()  # as Kala closes connections that are idle for long
    for user in live.ask("GET", "/api/v1/user/").json["users"]:
        live.ask("DELETE", f"/api/v1/user/{user['name']}/")
    for token in live.ask("GET", "/api/v1/token/").json["tokens"]:
        live.ask("DELETE", f"/api/v1/token/{token['name']}/")
    return live


def user(api, name):
    return api.ask("GET", f"/api/v1/user/{name}/").json["user"]


def shown(page, element_id):
    """Return the text of a `pre` that people copy."""
    return unescape(re.search(rf'<pre [^>]*id="{element_id}"[^>]*>([^<]*)</pre>', page)[1])


def assert_wrong_at(page, field, sentence):
    """Assert that an error is above the form, and at the field, which has the focus."""
    assert sentence in text(page)
    element = re.search(rf'<(?:input|textarea)[^>]* id="{field}"[^>]*>', page)[0]
    assert 'aria-invalid="true"' in element
    assert f"{field}-error" in element
    assert f'id="{field}-error"' in page
    assert "autofocus" in element


class TestAccount:
    def test_says_who_one_is_and_what_one_may_do(self, api):
        vic = logged_in(api, "vic", "viewer", owners=["*@db.example"])
        page = text(vic.look("/account").body.decode())
        assert "You are vic user:vic" in page
        assert "viewer : sees jobs, runs and their output, but not their secrets, and changes nothing" in page
        assert "only those whose owner is *@db.example" in page
        assert "An administrator can change your role." in page

    def test_shows_where_one_is_logged_in(self, api):
        add_user(api, "vic", "viewer")
        phone = Person(api, "192.0.2.8", User_Agent="Mozilla/5.0 (Android 14; Mobile; rv:125.0) Firefox/125.0")
        phone.log_in("vic")
        desk = Person(api, "192.0.2.9", User_Agent="Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0 Safari/537.36")
        desk.log_in("vic")
        page = text(desk.look("/account").body.decode())
        assert "Firefox 125 on Android" in page
        assert "Chrome 156 on Linux this one" in page

    def test_of_kalas_own_user_has_no_password_to_change(self, api):
        page = html(api, "/account")
        assert "so no login is needed" in text(page)
        assert "password" not in page

    def test_changes_the_password_and_keeps_this_login_only(self, api):
        vic = logged_in(api, "vic", "viewer")
        other = Person(api)
        other.log_in("vic")
        response = vic.submit("/account", old_password=PASSWORD, password=ANOTHER, again=ANOTHER)
        assert (response.status, response.headers["Location"]) == (303, "/account?changed=1")
        assert "The password is changed." in text(vic.look("/account?changed=1").body.decode())
        assert other.look("/account").status == 303
        assert Person(api).log_in("vic", ANOTHER).status == 303

    @pytest.mark.parametrize(
        ("field", "given", "sentence"),
        [
            ("old_password", {"old_password": "not this one"}, "Old password: is not your present password"),
            ("password", {"password": "short", "again": "short"}, "must have at least 12 characters, not 5"),
            ("again", {"again": "staple battery house"}, "must be the same password as above"),
        ],
    )
    def test_says_what_is_wrong_at_the_field(self, api, field, given, sentence):
        vic = logged_in(api, "vic", "viewer")
        response = vic.submit("/account", **{"old_password": PASSWORD, "password": ANOTHER, "again": ANOTHER} | given)
        assert response.status == 400
        assert_wrong_at(response.body.decode(), field, sentence)
        assert Person(api).log_in("vic").status == 303

    def test_says_the_rules_of_passwords_before(self, api):
        assert "At least 12 characters" in text(logged_in(api, "vic", "viewer").look("/account").body.decode())


class TestUsers:
    def test_are_listed(self, api):
        add_user(api, "vic", "viewer", owners=["*@db.example"])
        page = text(html(api, "/users"))
        assert "vic viewer *@db.example never" in page

    def test_are_added_with_a_password(self, api):
        response = api.submit(
            "/users",
            name="edith",
            role="editor",
            owners="*@a.example\r\n\r\nb@c.example",
            how="password",
            password=PASSWORD,
        )
        assert response.headers["Location"] == "/users/edith"
        found = user(api, "edith")
        assert (found["role"], found["owners"]) == ("editor", ["*@a.example", "b@c.example"])
        assert found["has_password"]

    @pytest.mark.parametrize(
        ("field", "given", "status", "sentence"),
        [
            ("name", {"name": "Ann"}, 400, "must be 1 to 64 lower-case letters"),
            ("name", {"name": "vic"}, 409, "a user vic exists"),
            ("password", {"password": "short"}, 400, "must have at least 12 characters"),
            ("owners", {"owners": "x" * 201}, 400, "owners"),
        ],
    )
    def test_are_not_added_with_what_is_wrong_and_the_form_keeps_the_rest(self, api, field, given, status, sentence):
        add_user(api, "vic", "viewer")
        fields = {"name": "new", "role": "operator", "owners": "a@b.example", "how": "password", "password": PASSWORD}
        response = api.submit("/users", **fields | given)
        page = response.body.decode()
        assert response.status == status
        assert_wrong_at(page, field, sentence)
        assert re.search(r'name="role" value="operator" checked', page)
        assert PASSWORD not in page
        assert [one["name"] for one in api.ask("GET", "/api/v1/user/").json["users"]] == ["vic"]

    def test_choose_a_password_with_an_invitation(self, api):
        response = api.submit("/users", name="ivan", role="viewer", how="invite")
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        address, _, secret = shown(response.body.decode(), "link").partition("#")
        assert address == f"http://{api.host}:{api.port}/invitation"
        ivan = Person(api)
        page = ivan.look("/invitation").body.decode()
        assert "At least 12 characters" in page
        response = ivan.submit("/invitation", invitation=secret, password=PASSWORD, again=PASSWORD)
        assert (response.status, response.headers["Location"]) == (303, "/login?name=ivan")
        assert 'value="ivan"' in ivan.look("/login?name=ivan").body.decode()
        assert ivan.log_in("ivan").status == 303
        again = Person(api).submit("/invitation", invitation=secret, password=ANOTHER, again=ANOTHER)
        assert again.status == 404
        assert_wrong_at(again.body.decode(), "invitation", "Invitation: not valid")

    def test_are_told_what_is_wrong_with_the_password_and_keep_the_invitation(self, api):
        add_user(api, "ivan", "viewer")
        link = shown(api.submit("/users/ivan/invite").body.decode(), "link")
        # Who pastes the whole link means its secret.
        response = Person(api).submit("/invitation", invitation=f" {link} ", password=PASSWORD, again=ANOTHER)
        assert response.status == 400
        page = response.body.decode()
        assert_wrong_at(page, "again", "must be the same password as above")
        assert f'value="{link.partition("#")[2]}"' in page
        assert PASSWORD not in page

    def test_are_changed(self, api):
        vic = logged_in(api, "vic", "viewer")
        response = api.submit("/users/vic", role="operator", owners="*@db.example", run_as="1")
        assert response.headers["Location"] == "/users/vic?saved=1"
        found = user(api, "vic")
        assert (found["role"], found["owners"], found["run_as"]) == ("operator", ["*@db.example"], True)
        assert vic.look("/account").status == 303  # with another role, one logs in again
        page = html(api, "/users/vic?saved=1")
        assert re.search(r'value="operator" checked', page)
        assert "*@db.example</textarea>" in page

    def test_are_not_changed_into_what_is_wrong(self, api):
        add_user(api, "vic", "viewer")
        response = api.submit("/users/vic", role="operator", owners="x" * 201)
        assert response.status == 400
        assert_wrong_at(response.body.decode(), "owners", "owners")
        assert user(api, "vic")["role"] == "viewer"

    def test_are_logged_out(self, api):
        vic = logged_in(api, "vic", "viewer")
        assert "Where vic is logged in Program Address" in text(html(api, "/users/vic"))
        assert api.submit("/users/vic/logout").status == 303
        assert vic.look("/account").status == 303
        assert "Nowhere." in html(api, "/users/vic")

    def test_are_deleted_after_a_question(self, api):
        vic = logged_in(api, "vic", "viewer")
        assert "Delete vic?" in text(html(api, "/users/vic/delete"))
        assert user(api, "vic")
        assert api.submit("/users/vic/delete").headers["Location"] == "/users"
        assert api.ask("GET", "/api/v1/user/vic/").status == 404
        assert vic.look("/account").status == 303

    def test_are_warned_before_they_delete_themselves(self, api):
        ann = logged_in(api, "ann", "admin")
        assert "This is you" in text(ann.look("/users/ann/delete").body.decode())
        add_user(api, "vic", "viewer")
        assert "This is you" not in text(ann.look("/users/vic/delete").body.decode())

    @pytest.mark.parametrize("path", ["/users/nobody", "/users/nobody/delete", "/tokens/nothing/revoke"])
    def test_and_tokens_that_do_not_exist_are_named(self, api, path):
        assert re.search("(nobody|nothing)", text(html(api, path, 404)))


class TestTokens:
    def test_are_shown_once_and_work(self, api):
        response = api.submit("/tokens", name="ci", role="operator", expires_in="P30D")
        page = response.body.decode()
        assert response.status == 200  # so the secret is in no address
        assert response.headers["Cache-Control"] == "no-store"
        secret = shown(page, "secret")
        assert shown(page, "command").endswith(f"http://{api.host}:{api.port}/api/v1/me/")
        assert secret not in shown(page, "command")
        me = api.ask("GET", "/api/v1/me/", Authorization=f"Bearer {secret}").json["me"]
        assert (me["actor"], me["role"]) == ("token:ci", "operator")
        page = html(api, "/tokens")
        assert secret not in page
        assert "ci operator all jobs local" in text(page)

    def test_are_not_created_with_what_is_wrong(self, api):
        response = api.submit("/tokens", name="C I", role="editor", expires_in="P7D", run_as="1")
        page = response.body.decode()
        assert response.status == 400
        assert_wrong_at(page, "name", "must be 1 to 64 lower-case letters")
        assert '<option value="P7D" selected>' in page
        assert 'name="run_as" value="1" checked' in page
        assert api.ask("GET", "/api/v1/token/").json["tokens"] == []

    def test_never_expire_only_if_that_is_chosen(self, api):
        for name, expires_in in (("a", "never"), ("b", "P1Y")):
            api.submit("/tokens", name=name, role="viewer", expires_in=expires_in)
        tokens = api.ask("GET", "/api/v1/token/").json["tokens"]
        assert [token["expires_at"] is None for token in tokens] == [True, False]
        assert '<option value="P1Y" selected>1 year</option>' in html(api, "/tokens")

    def test_are_revoked_after_a_question(self, api):
        api.submit("/tokens", name="ci", role="viewer", expires_in="never")
        assert "Revoke ci?" in text(html(api, "/tokens/ci/revoke"))
        assert api.submit("/tokens/ci/revoke").headers["Location"] == "/tokens"
        assert api.ask("GET", "/api/v1/token/").json["tokens"] == []


class TestAudit:
    def test_tells_what_became_of_each_field(self, api):
        add_user(api, "vic", "viewer", owners=["*@db.example"])
        api.submit("/users/vic", role="operator")
        page = text(html(api, "/audit?target=vic"))
        assert "role viewer → operator owners *@db.example → none" in page
        assert "user.create" in page

    def test_shows_no_secret(self, api):
        job = api.create(env={"PASSWORD": "first one"})
        api.ask("PATCH", f"/api/v1/job/{job}/", {"env": {"PASSWORD": "second one"}})
        page = html(api, f"/audit?target={job}")
        assert "first one" not in page
        assert "second one" not in page
        assert "changed; the value may be a secret" in text(page)

    def test_links_to_jobs_runs_and_users_that_are_there(self, api):
        add_user(api, "vic", "viewer")
        job = api.create(name="linked")
        run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
        api.ask("POST", f"/api/v1/run/{run}/cancel/")
        gone = api.create(name="gone")
        api.ask("DELETE", f"/api/v1/job/{gone}/")
        page = html(api, "/audit")
        for link in (f"/jobs/{job}", "/users/vic"):
            assert f'href="{link}"' in page
        deletion = re.search(r"<tr[^>]*>(?:(?!</tr>).)*job\.delete.*?</tr>", page, re.DOTALL)[0]
        assert "gone" in deletion
        assert f"/jobs/{gone}" not in deletion

    def test_is_filtered(self, api):
        vic = logged_in(api, "vic", "viewer")
        vic.look("/users")
        page = text(html(api, "/audit?actor=user:vic&refused=true&since=-1h"))
        assert "this needs the role admin, and user:vic has the role viewer" in page
        assert "Remove actor=user:vic" in page
        assert "user.create" not in html(api, "/audit?actor=user:vic").partition("<table")[2]
        assert "No entry matches." in text(html(api, "/audit?actor=user:nobody"))

    @pytest.mark.parametrize("query", ["since=yesterday", "action=nothing", "before=x", "actor=ann"])
    def test_says_what_is_wrong_with_a_filter(self, api, query):
        page = html(api, f"/audit?{query}", 400)
        assert f"{query.partition('=')[0].capitalize()}: " in text(page)

    def test_has_pages(self, api):
        for _ in range(51):
            job = api.create(name="paged")
            api.ask("DELETE", f"/api/v1/job/{job}/")
        page = html(api, "/audit")
        assert page.count("<tr id=") == 100
        older = html(api, unescape(re.search(r'href="([^"]*)">Older entries', page)[1]))
        assert "Newest entries" in older
        assert not set(re.findall(r'id="entry-\d+"', page)) & set(re.findall(r'id="entry-\d+"', older))


PAGES = ("/", "/jobs", "/runs", "/system", "/jobs/{job}", "/runs/{run}", "/runs/{queued}")
# What each role has beside the ones before it, and where.
OFFERED = {
    "operator": {
        "/": ("Retry", "Cancel run"),
        "/jobs": ("Run now", "Disable", "Run ticked jobs", "Tick all jobs"),
        "/runs": ("Cancel selected runs",),
        "/jobs/{job}": ("Run now", "Disable"),
        "/runs/{run}": ("Retry",),
        "/runs/{queued}": ("Cancel run",),
    },
    "editor": {
        "/": ("New job",),
        "/jobs": ("Delete ticked jobs", "New job"),
        "/jobs/{job}": ("Edit", "Copy as new", "Delete"),
        "/runs/{run}": ("Delete",),
    },
    "admin": {"/system": ("Users", "Tokens", "Audit log", "Settings")},
}
RANKS = ("viewer", "operator", "editor", "admin")


def offered(page):
    """Return the names of buttons and links of a page."""
    names = set(re.findall(r'<(?:button|input)[^>]* aria-label="([^"]*)"', page))
    return names | {text(found) for found in re.findall(r"<(?:button|a)\b[^>]*>(.*?)</(?:button|a)>", page, re.DOTALL)}


@pytest.fixture(scope="module")
def ids(live):
    """A job that has failed and its run, and a run that waits."""
    live.close()
    job = live.create(name="failing", command="exit 3", schedule="manual")
    run = live.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
    live.await_run(run, "failed")
    held = live.create(name="waiting", command="sleep 600", schedule="manual")
    live.ask("POST", f"/api/v1/job/start/{held}/")
    queued = live.ask("POST", f"/api/v1/job/start/{held}/?return=run").json["run"]["id"]
    yield {"job": job, "run": run, "queued": queued}
    live.close()
    live.ask("DELETE", "/api/v1/job/all/")


@pytest.mark.parametrize("role", RANKS)
def test_a_page_offers_what_the_role_of_its_reader_may_do(ids, api, role):
    person = logged_in(api, "somebody", role)
    for path in PAGES:
        names = offered(person.look(path.format(**ids)).body.decode())
        for rank in RANKS[1:]:
            for name in OFFERED[rank].get(path, ()):
                found = any(one.startswith(name) for one in names)
                assert found == (RANKS.index(role) >= RANKS.index(rank)), (path, name, names)


def test_a_command_to_copy_says_that_it_needs_a_token(api):
    path = f"/jobs/{api.create(name='copied', schedule='manual')}"
    hint = re.compile('Add -H "Authorization: Bearer TOKEN" ?,')
    assert hint.search(text(logged_in(api, "edith", "editor").look(path).body.decode()))
    assert not hint.search(text(html(api, path)))
