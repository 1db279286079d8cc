"""People who log in with a browser, and what happens on open pages when a login ends."""

import re

import pytest
from playwright.sync_api import expect

PASSWORD = "correct horse battery"
# As if a proxy had passed the requests on: without a login, this is nobody.
FAR = {"extra_http_headers": {"X-Forwarded-For": "192.0.2.7"}}
# What the console says of requests without a login, and of a stream that Kala ends with a login.
EXPECTED = ("Failed to load resource: the server responded with a status of 40", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")


@pytest.fixture
def kala(serve):
    kala = serve()
    for name, role in (("ann", "admin"), ("edith", "editor"), ("vic", "viewer")):
        # An editor of a Kala that runs as root needs run_as.
        given = {"name": name, "role": role, "password": PASSWORD, "run_as": role == "editor"}
        answer = kala.request("POST", "/user/", given)
        assert answer.status == 201, answer
    return kala


@pytest.fixture
def visit(kala, browse):
    """Open a page from elsewhere: `visit("/jobs", "vic")` logs in first, and goes on to the page."""

    def visit(path, name="", **options):
        page = browse(kala, path, **FAR | options)
        page.watch.expected += EXPECTED
        if name:
            log_in(page, name)
        return page

    return visit


def log_in(page, name, password=PASSWORD):
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Log in")).to_have_count(0)


def end_logins(kala, name):
    assert kala.request("POST", f"/user/{name}/logout/").status == 204


def test_a_login_by_keyboard_leads_to_the_page_that_was_asked_for(visit):
    page = visit("/jobs?q=a")
    assert "/login?next=" in page.url
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("vic")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("vic")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?q=a")
    page.locator("#account > summary").focus()
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Log out")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/login?out=1")
    expect(page.get_by_role("status").filter(has_text="You are logged out.")).to_be_visible()
    page.goto("/jobs")
    assert "/login" in page.url


def test_a_login_works_without_javascript(visit):
    page = visit("/jobs", "vic", java_script_enabled=False)
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.locator("#account > summary").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()


def test_the_cookie_is_hidden_from_scripts(visit):
    page = visit("/jobs", "vic")
    assert page.evaluate("document.cookie") == ""
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert re.fullmatch(r"kala-\w+", cookie["name"])


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_forms_of_pages_carry_their_origin_also_below_a_path(serve, browse, java_script_enabled):
    kala = serve("--base-path", "/kala")
    assert kala.request("POST", "/user/", {"name": "edith", "role": "editor", "password": PASSWORD}).status == 201
    job = kala.create(name="one", schedule="manual")
    page = browse(kala, f"/kala/jobs/{job}", java_script_enabled=java_script_enabled, **FAR)
    log_in(page, "edith")
    page.wait_for_url(f"**/kala/jobs/{job}")
    origins = []
    page.on("request", lambda request: request.method == "POST" and origins.append(request.all_headers().get("origin")))
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    assert origins == [kala.address]


def test_a_live_page_says_once_that_the_login_has_ended(kala, visit):
    page = visit("/jobs?q=a", "vic")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    end_logins(kala, "vic")
    kala.create(name="later", schedule="manual")
    expect(page.locator("#notice")).to_contain_text("You are logged out: this page no longer changes.")
    expect(page.locator("#live")).to_have_attribute("data-state", "logged out")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(6000)  # longer than the page waits between two looks
    assert requests == []
    page.locator("#notice").get_by_role("link", name="Log in").click()
    log_in(page, "vic")
    page.wait_for_url("**/jobs?q=a")
    expect(page.get_by_role("link", name="later")).to_be_visible()


def test_the_output_of_a_run_stays_when_the_login_ends(kala, gate, visit):
    kala.go(kala.create(command=f"echo begun; {gate.wait}; echo ended", schedule="manual"))
    page = visit("/runs/1", "vic")
    expect(page.get_by_role("log")).to_contain_text("begun")
    end_logins(kala, "vic")
    expect(page.locator("#notice")).to_contain_text("You are logged out")
    expect(page.get_by_role("log")).to_contain_text("begun")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(3000)
    assert len(requests) <= 1
    gate.open()


def test_a_form_can_be_sent_again_after_another_login(kala, visit):
    page = visit("/jobs/new", "edith")
    page.get_by_label("Name", exact=True).fill("not lost")
    page.get_by_label("Command", exact=True).fill("true")
    end_logins(kala, "edith")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="You are not logged in")).to_be_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Log in in another tab").click()
    log_in(opened.value, "edith")
    page.reload()
    expect(page.get_by_role("heading", name="not lost")).to_be_visible()


def test_a_form_says_that_the_login_has_ended_before_it_is_sent(kala, visit):
    page = visit("/jobs/new", "edith")
    end_logins(kala, "edith")
    page.get_by_label("Schedule", exact=True).fill("0 3 * * *")
    link = page.locator("#notice").get_by_role("link", name="Log in in another tab")
    with page.context.expect_page() as opened:
        link.click()
    log_in(opened.value, "edith")
    page.get_by_label("Schedule", exact=True).fill("0 4 * * *")
    expect(page.locator("#preview-sentence")).to_contain_text("04:00")
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_without_a_login_and_for_viewers_are_accessible(kala, visit, accessible, width, scheme):
    kala.create(name="one", schedule="manual", env={"SECRET": "x"})
    page = visit("/login", width=width, color_scheme=scheme)
    accessible(page)
    page.get_by_label("Name").fill("vic")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    accessible(page)
    log_in(page, "vic")
    for path in ("/jobs", "/account", "/users", "/jobs/one"):
        page.goto(path)
        page.locator("#account > summary").click()
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
