"""A page stays up to date by itself, and never disturbs the person who uses it."""

import pytest
from playwright.sync_api import expect

HIDE = """
    let state = "visible";
    Object.defineProperty(document, "visibilityState", { get: () => state });
    window.turn = (next) => { state = next; document.dispatchEvent(new Event("visibilitychange")); };
"""


@pytest.fixture
def page(kala, browse):
    kala.create(name="first", schedule="manual")
    page = browse(kala, "/jobs")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def row(page, name):
    return page.get_by_role("row").filter(has_text=name)


def streams(kala):
    return kala.get("/system/").body["streams"]["open"]


def test_what_changes_appears_without_a_reload(kala, page):
    page.evaluate("window.isTheSame = true")
    job_id = kala.create(name="second", command="exit 1", schedule="manual")
    expect(row(page, "second")).to_be_visible()
    kala.go(job_id)
    expect(row(page, "second")).to_contain_text("failing")
    expect(page).to_have_title("(1 failing) Jobs – Kala")
    assert "failing" in page.locator("link[rel=icon]").get_attribute("href")
    assert page.evaluate("window.isTheSame")


def test_a_row_that_changes_stays_the_same_element(kala, page):
    page.evaluate("window.before = document.querySelector('tbody tr')")
    kala.go(kala.create(name="second", schedule="manual"))
    expect(row(page, "second")).to_contain_text("ok")
    assert page.evaluate("window.before.isConnected && window.before === document.querySelector('tbody tr')")


def test_a_paused_page_does_not_change(kala, page):
    button = page.get_by_role("button", name="Pause updates")
    button.click()
    expect(page.locator("#live")).to_have_attribute("data-state", "paused")
    kala.create(name="second", schedule="manual")
    expect(page.locator("#notice")).to_have_text("1 change")
    assert row(page, "second").count() == 0
    page.get_by_role("button", name="Resume updates").click()
    expect(row(page, "second")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_selected_text_stays_selected(kala, page):
    page.get_by_role("link", name="first").evaluate("(link) => getSelection().selectAllChildren(link)")
    kala.create(name="second", schedule="manual")
    page.wait_for_timeout(1500)
    assert page.evaluate("getSelection().toString()") == "first"
    assert row(page, "second").count() == 0
    page.evaluate("getSelection().removeAllRanges()")
    expect(row(page, "second")).to_be_visible()


def test_an_open_menu_stays_open(kala, page):
    page.get_by_label("Display").click()
    kala.create(name="second", schedule="manual")
    page.wait_for_timeout(1500)
    assert page.get_by_label("Dark").is_visible()
    page.keyboard.press("Escape")
    expect(row(page, "second")).to_be_visible()


def test_a_hidden_tab_holds_no_connection(kala, browse, eventually):
    page = browse(kala, "/nothing-live")
    page.watch.expected.append("Failed to load resource")
    page.add_init_script(HIDE)
    page.goto("/jobs")
    eventually(lambda: streams(kala) == 1)
    page.evaluate("turn('hidden')")
    eventually(lambda: streams(kala) == 0)
    kala.create(name="second", schedule="manual")
    page.evaluate("turn('visible')")
    expect(row(page, "second")).to_be_visible()
    eventually(lambda: streams(kala) == 1)


def test_a_page_finds_kala_again_after_a_restart(kala, page):
    page.watch.expected += ["Failed to load resource", "ERR_"]
    port = kala.address.rpartition(":")[2]
    kala.stop()
    expect(page.locator("#live")).to_have_attribute("data-state", "reconnecting")
    kala._flags[1] = port
    kala.start()
    kala.create(name="second", schedule="manual")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(row(page, "second")).to_be_visible()


def test_a_page_without_live_regions_has_no_stream(kala, browse):
    page = browse(kala, "/nothing")
    page.watch.expected.append("Failed to load resource")
    expect(page.locator("#live")).to_be_hidden()
    assert streams(kala) == 0
