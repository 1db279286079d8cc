"""Logging in and out with a browser."""

import re
from threading import BoundedSemaphore
from urllib.parse import parse_qs, urlsplit

import pytest
from pages import text
from visitors import PASSWORD, Person, add_user, logged_in, serving

from kala.access import passwords

WRONG = "The name or the password is wrong."


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("login")) as api:
        add_user(api, "ann", "admin")
        add_user(api, "vic", "viewer")
        yield api


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("below"), base_path="/kala") as api:
        add_user(api, "ann", "viewer")
        yield api


@pytest.fixture
def api(live):
    live.close()  # as Kala closes connections that are idle for long
    return live


@pytest.fixture
def nobody(api):
    return Person(api)


@pytest.fixture
def ann(api):
    person = Person(api)
    person.log_in("ann")
    return person


def next_of(response):
    """Return the page that follows a login, as the address of the page for logging in has it."""
    assert response.status == 303
    location = urlsplit(response.headers["Location"])
    assert location.path == "/login"
    return parse_qs(location.query).get("next", [""])[0]


class TestWithoutALogin:
    @pytest.mark.parametrize("path", ["/jobs", "/jobs?q=a%20b&sort=-name", "/jobs/caf%C3%A9", "/runs/1"])
    def test_a_page_leads_to_the_login_and_back(self, nobody, path):
        assert next_of(nobody.look(path)) == path

    def test_the_overview_needs_no_way_back(self, nobody):
        assert nobody.look("/").headers["Location"] == "/login"

    def test_the_api_answers_with_an_error(self, nobody):
        response = nobody.look("/api/v1/job/")
        assert response.status == 401
        assert response.error.startswith("not logged in")

    def test_a_form_changes_nothing_and_says_how_to_send_it_again(self, api, nobody):
        response = nobody.submit("/jobs/new", name="lost", command="true")
        assert response.status == 401
        assert "log in in another tab" in text(response.body.decode())
        assert "lost" not in api.ask("GET", "/api/v1/job/?q=lost").body.decode()

    def test_a_wrong_token_is_not_sent_round_in_circles(self, nobody):
        secret = {"Authorization": f"Bearer kala_{'x' * 38}"}
        assert nobody.ask("GET", "/jobs", **secret).headers["Location"] == "/login?next=%2Fjobs"
        assert nobody.ask("GET", "/login?next=%2Fjobs", **secret).status == 401

    def test_only_the_login_is_offered(self, nobody):
        page = nobody.look("/login").body.decode()
        assert "Overview" not in text(page)
        assert "New job" not in page
        assert "Settings" not in page


class TestThePage:
    def test_suits_password_managers(self, nobody):
        page = nobody.look("/login").body.decode()
        assert re.search(
            r'<label for="name">Name</label>\s*<input id="name" name="name"[^>]*autocomplete="username"', page
        )
        assert re.search(r'<input type="password" id="password"[^>]*autocomplete="current-password"', page)

    def test_sets_no_cookie_and_logs_nobody_in_by_its_address(self, nobody):
        response = nobody.look(f"/login?name=ann&password={PASSWORD.replace(' ', '+')}")
        assert response.status == 200
        assert "Set-Cookie" not in response.headers

    def test_is_not_shown_to_who_is_logged_in(self, ann):
        assert ann.look("/login?next=%2Fruns").headers["Location"] == "/runs"
        assert ann.look("/login").headers["Location"] == "/"


class TestLogIn:
    def test_sets_a_cookie_that_only_this_server_gets(self, nobody):
        response = nobody.log_in("ann")
        assert response.status == 303
        assert response.headers["Cache-Control"] == "no-store"
        name, value, attributes = re.fullmatch(r"([\w-]+)=(kala_\w{38}); (.*)", response.headers["Set-Cookie"]).groups()
        assert re.fullmatch(r"kala-\w+", name)
        assert attributes == f"Max-Age={30 * 24 * 3600}; Path=/; HttpOnly; SameSite=Lax"
        assert value not in response.headers["Location"]

    def test_over_https_sets_one_that_plain_http_cannot_overwrite(self, api):
        cookie = Person(api, X_Forwarded_Proto="https").log_in("ann").headers["Set-Cookie"]
        assert cookie.startswith("__Host-kala-")
        assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")

    def test_lets_its_user_in(self, ann):
        page = ann.look("/account")
        assert page.status == 200
        assert "user:ann" in text(page.body.decode())

    def test_goes_on_to_the_page_that_was_asked_for(self, nobody):
        assert nobody.log_in("ann", next="/jobs?q=a").headers["Location"] == "/jobs?q=a"

    @pytest.mark.parametrize(
        "path",
        [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\r\nSet-Cookie: a=b",
            " //evil.example",
            "/é",
        ],
    )
    def test_goes_to_no_other_site(self, nobody, path):
        assert nobody.log_in("ann", next=path).headers["Location"] == "/"

    def test_with_another_user_ends_the_login_before(self, ann):
        before = ann.cookie
        assert ann.log_in("vic").status == 303
        old = Person(ann.api)
        old.cookie = before
        assert old.look("/account").status == 303
        assert "user:vic" in text(ann.look("/account").body.decode())

    @pytest.mark.parametrize("name", ["ann", "nobody-of-this-name", ""])
    def test_with_a_wrong_password_keeps_the_name(self, nobody, name):
        response = nobody.log_in(name, "wrong password", next="/jobs")
        page = response.body.decode()
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "Set-Cookie" not in response.headers
        assert WRONG in text(page)
        assert f'value="{name}"' in page
        assert 'name="next" value="/jobs"' in page
        assert "wrong password" not in page

    def test_tells_after_too_many_wrong_passwords_when_to_try_again(self, api):
        guesser = Person(api, "198.51.100.1")
        answers = [guesser.log_in("eve", "wrong password") for _ in range(11)]
        assert [answer.status for answer in answers] == [401] * 10 + [429]
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 90
        assert re.search(r"Too many wrong passwords\. Try again in \d", text(answers[-1].body.decode()))

    def test_shows_the_whole_sentence_of_any_other_error(self, nobody, monkeypatch):
        monkeypatch.setattr(passwords, "_PLACES", BoundedSemaphore(1))
        with passwords._PLACES:
            response = nobody.log_in("ann")
        page = response.body.decode()
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert ">Too many passwords are being checked at the same time; try again later.</p>" in page
        assert 'value="ann"' in page
        assert page.count("autofocus") == 1
        assert re.search(r'<p role="alert"[^>]* autofocus>', page)

    def test_names_the_field_that_an_error_is_about(self, nobody):
        response = nobody.log_in("ann", "x" * 2001)
        assert response.status == 400
        assert "Password: must be at most 2000 characters long." in text(response.body.decode())

    def test_is_refused_to_another_site(self, api):
        response = api.ask("POST", "/login", b"name=ann&password=x", Origin="http://evil.example")
        assert response.status == 403
        assert "Set-Cookie" not in response.headers


class TestLogOut:
    def test_ends_the_login_and_deletes_the_cookie(self, ann):
        before = ann.cookie
        response = ann.submit("/logout")
        assert (response.status, response.headers["Location"]) == (303, "/login?out=1")
        assert "; Max-Age=0; Path=/;" in response.headers["Set-Cookie"]
        ann.cookie = before
        assert ann.look("/jobs").status == 303

    def test_everywhere_ends_all_logins(self, ann):
        other = Person(ann.api)
        other.log_in("ann")
        ann.submit("/logout", all="1")
        assert other.look("/jobs").status == 303

    def test_here_only_keeps_the_others(self, ann):
        other = Person(ann.api)
        other.log_in("ann")
        ann.submit("/logout")
        assert other.look("/jobs").status == 200

    def test_without_a_login_is_no_error(self, nobody):
        nobody.cookie = "kala-old=kala_old"
        assert nobody.submit("/logout").status == 303

    def test_says_that_it_is_done(self, nobody):
        assert "You are logged out." in text(nobody.look("/login?out=1").body.decode())

    @pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}], ids=str)
    def test_is_refused_without_the_origin_of_our_own_pages(self, ann, headers):
        assert ann.ask("POST", "/logout", b"", **headers).status == 403
        assert ann.look("/jobs").status == 200


class TestBelowAPath:
    @pytest.mark.parametrize("prefix", ["", "/kala"], ids=["removed", "kept"])
    def test_the_login_and_the_cookie_are_below_it(self, below, prefix):
        below.close()
        person = Person(below)
        assert person.look(f"{prefix}/jobs?q=a").headers["Location"] == "/kala/login?next=%2Fjobs%3Fq%3Da"
        response = person.submit(f"{prefix}/login", name="ann", password=PASSWORD, next="/jobs?q=a")
        assert response.headers["Location"] == "/kala/jobs?q=a"
        assert "; Path=/kala; HttpOnly" in response.headers["Set-Cookie"]
        assert person.look(f"{prefix}/jobs?q=a").status == 200


class TestTheFrame:
    def test_of_a_user_has_their_name_and_a_way_out(self, ann):
        page = ann.look("/jobs").body.decode()
        assert 'aria-label="Account of ann"' in page
        assert 'action="/logout"' in page
        assert 'href="/users"' in page

    def test_of_kalas_own_user_offers_a_login(self, api):
        page = api.ask("GET", "/jobs").body.decode()
        assert 'aria-label="Account of This machine"' in page
        assert 'href="/login"' in page
        assert "/logout" not in page

    def test_warns_on_each_page_where_anyone_may_do_everything(self, tmp_path):
        with serving(tmp_path, auth="off") as api:
            for path in ("/", "/jobs", "/account", "/nothing"):
                page = text(api.ask("GET", path, Accept="text/html").body.decode())
                assert "Anyone who can reach Kala can do everything" in page

    def test_does_not_warn_otherwise(self, api):
        assert "Anyone who can reach" not in api.ask("GET", "/jobs").body.decode()


def test_a_user_without_the_role_is_told_which_one_is_needed(api):
    otto = logged_in(api, "otto", "operator")
    response = otto.look("/users")
    page = text(response.body.decode())
    assert response.status == 403
    assert "not allowed: this needs the role admin, and user:otto has the role operator" in page
    assert "You are otto , with the role operator" in page
