"""Kala below a path, in a browser: what scripts fetch is below it, too."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def kala(serve):
    return serve("--base-path", "/kala")


def test_a_page_stays_up_to_date(kala, browse):
    page = browse(kala, "/kala/jobs")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    kala.create(name="new here", schedule="manual")
    expect(page.get_by_role("link", name="new here")).to_be_visible()


def test_all_requests_are_below_the_path(kala, browse):
    kala.create(name="child", parent_jobs=[kala.create(name="parent", schedule="manual")])
    page = browse(kala, "/kala/graph?job=parent")
    paths = []
    page.on("request", lambda request: paths.append(request.url.removeprefix(kala.address)))
    page.reload()
    expect(page.locator(".canvas a.node")).to_have_count(2)
    assert len(paths) > 10
    assert all(path.startswith("/kala/") for path in paths)
    href = page.locator(".canvas a.node").first.get_attribute("href")
    assert href.startswith(f"{kala.address}/kala/jobs/")


def test_shortcuts_lead_below_the_path(kala, browse):
    page = browse(kala, "/kala/graph")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/kala/jobs")
