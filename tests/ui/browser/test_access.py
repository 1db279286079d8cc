"""Users, invitations, tokens and the own account in a browser."""

import http.client
import json
import re
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

PASSWORD = "correct horse battery"
ANOTHER = "staple battery horse"
FAR = {"extra_http_headers": {"X-Forwarded-For": "192.0.2.7"}}


def me(kala, token):
    with closing(http.client.HTTPConnection(urlsplit(kala.address).netloc)) as connection:
        connection.request("GET", "/api/v1/me/", headers={"Authorization": f"Bearer {token}"})
        return json.loads(connection.getresponse().read())["me"]


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_an_invitation_leads_to_a_login(kala, browse, accessible, has_scripts):
    page = browse(kala, "/users")
    page.get_by_label("Name", exact=True).fill("ivan")
    page.get_by_role("radio", name=re.compile("^operator")).check()
    page.get_by_role("button", name="Add user").click()
    expect(page.get_by_role("heading", name="Invitation for ivan")).to_be_visible()
    accessible(page)
    link = page.locator("#link").text_content()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    path, _, secret = link.removeprefix(kala.address).partition("#")
    invited = browse(kala, f"{path}#{secret}", java_script_enabled=has_scripts, **FAR)
    if has_scripts:
        expect(invited.get_by_label("Invitation")).to_have_value(secret)
        expect(invited.get_by_label("Password", exact=True)).to_be_focused()
        assert secret not in invited.url
    else:
        invited.get_by_label("Invitation").fill(secret)
    invited.get_by_label("Password", exact=True).fill(PASSWORD)
    invited.get_by_label("Password again").fill(PASSWORD)
    invited.get_by_role("button", name="Save password").click()
    invited.wait_for_url("**/login?name=ivan")
    expect(invited.get_by_label("Password", exact=True)).to_be_focused()
    invited.get_by_label("Password", exact=True).fill(PASSWORD)
    invited.get_by_role("button", name="Log in").click()
    invited.wait_for_url(f"{kala.address}/")
    invited.goto("/account")
    expect(invited.get_by_text("user:ivan")).to_be_visible()


def test_a_token_is_shown_once_and_can_be_revoked(kala, browse, accessible):
    page = browse(kala, "/tokens")
    page.get_by_label("Name", exact=True).fill("ci")
    page.get_by_role("radio", name=re.compile("^editor")).check()
    page.get_by_role("button", name="Create token").click()
    secret = page.locator("#secret").text_content()
    assert me(kala, secret)["actor"] == "token:ci"
    accessible(page)
    assert secret not in page.url
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("rowheader", name="ci")).to_be_visible()
    page.go_back()
    assert secret not in page.url
    page.goto("/tokens")
    page.get_by_role("button", name="Revoke ci").click()
    dialog = page.get_by_role("dialog", name="Revoke ci?")
    accessible(page)
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("There are no tokens yet.")).to_be_visible()


def test_a_password_is_changed_on_the_own_account(kala, browse, accessible):
    kala.request("POST", "/user/", {"name": "vic", "role": "viewer", "password": PASSWORD})
    page = browse(kala, "/account", **FAR)
    page.get_by_label("Name").fill("vic")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/account")
    accessible(page)
    page.watch.expected.append("Failed to load resource")
    page.get_by_label("Old password").fill("wrong password")
    page.get_by_label("New password", exact=True).fill(ANOTHER)
    page.get_by_label("New password again").fill(ANOTHER)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("Old password")).to_be_focused()
    expect(page.get_by_label("Old password")).to_have_attribute("aria-invalid", "true")
    accessible(page)
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill(ANOTHER)
    page.get_by_label("New password again").fill(ANOTHER)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    page.get_by_role("button", name="Log out everywhere").click()
    page.wait_for_url("**/login?out=1")


def test_a_user_is_deleted_after_a_question(kala, browse):
    kala.request("POST", "/user/", {"name": "vic", "role": "viewer", "password": PASSWORD})
    page = browse(kala, "/users/vic")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete vic?").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/users")
    expect(page.get_by_text("There are no users yet.")).to_be_visible()


def test_the_audit_log_is_filtered_with_its_form(kala, browse):
    kala.create(name="first", schedule="manual")
    kala.request("POST", "/user/", {"name": "vic", "role": "viewer", "password": PASSWORD})
    page = browse(kala, "/audit")
    page.get_by_label("Action").select_option("user.create")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="vic")).to_be_visible()
    expect(page.get_by_role("link", name="first")).to_have_count(0)
    page.get_by_role("link", name="Remove action=user.create").click()
    expect(page.get_by_role("link", name="first")).to_be_visible()
