"""The overview in a browser: what a person does there, and how it follows what happens."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def failing(kala):
    job_id = kala.create(name="Import", command="echo no such table; exit 3", schedule="manual")
    kala.go(job_id)
    [run] = kala.runs(job_id, 1)
    return job_id, run["id"]


def bars(page):
    return page.locator(".strip ol a:visible")


def test_a_failure_appears_by_itself(kala, browse):
    job_id = kala.create(name="Import", command="exit 3", schedule="manual")
    page = browse(kala)
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    kala.go(job_id)
    expect(page.get_by_role("heading", level=1)).to_have_text("1 job is failing")
    expect(page.get_by_role("region", name="Failing").get_by_role("link", name="Import", exact=True)).to_be_visible()


def test_the_first_job_appears_by_itself(kala, browse):
    page = browse(kala)
    expect(page.get_by_role("link", name="Create a job")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    kala.create(name="Import", schedule="manual")
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")


def test_a_failing_job_leads_to_its_run(kala, browse, failing):
    _, run_id = failing
    page = browse(kala)
    page.get_by_role("region", name="Failing").get_by_role("link", name="Import", exact=True).click()
    expect(page).to_have_url(f"{kala.address}/runs/{run_id}")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_failed_run_can_be_retried(kala, browse, failing, has_scripts):
    job_id, run_id = failing
    page = browse(kala, java_script_enabled=has_scripts)
    page.get_by_role("region", name="Failing").get_by_role("button", name="Retry").click()
    [_, retry] = kala.runs(job_id, 2)
    assert retry["cause_run"] == run_id
    expect(page).to_have_url(f"{kala.address}/runs/{retry['id']}")


def test_a_running_run_can_be_cancelled_and_the_page_stays(kala, browse):
    kala.go(kala.create(name="Copy", command="sleep 600", schedule="manual"))
    page = browse(kala)
    page.get_by_role("region", name="Running").get_by_role("button", name="Cancel run").click()
    expect(page.get_by_role("region", name="Running")).to_contain_text("Nothing is running.")
    expect(page).to_have_url(f"{kala.address}/")


def test_the_bars_are_one_stop_for_tab_and_arrow_keys_move_between_them(kala, browse, failing):
    kala.create(name="Poll", schedule="0 * * * *")
    page = browse(kala)
    assert bars(page).count() == 24
    first = bars(page).first
    page.get_by_role("link", name="Output").last.focus()
    page.keyboard.press("Tab")  # the button beside it
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    expect(first.locator(".said")).to_have_css("opacity", "1")
    page.keyboard.press("End")
    expect(bars(page).last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(bars(page).nth(1)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#hours-table summary")).to_be_focused()


def test_a_bar_keeps_the_focus_when_the_page_changes(kala, browse, failing):
    job_id, _ = failing
    page = browse(kala)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    bars(page).first.focus()
    kala.go(job_id)
    expect(bars(page).first).to_contain_text("2 failed")
    expect(bars(page).first).to_be_focused()


@pytest.mark.parametrize(("width", "shown"), [(1280, 48), (1000, 24), (360, 12)])
def test_a_narrow_window_shows_fewer_hours(kala, browse, width, shown):
    kala.create(name="Import", schedule="manual")
    page = browse(kala, width=width)
    assert page.locator(".strip ol > li:visible").count() == shown


def test_the_hours_are_those_of_the_clock_that_the_person_has_chosen(kala, browse):
    kala.create(name="Poll", schedule="0 * * * *")
    page = browse(kala, timezone_id="Asia/Kolkata")
    hour = bars(page).last.locator("time").first
    before = hour.text_content()
    assert before.endswith(":00")
    page.get_by_label("Display").click()
    page.get_by_label("Mine").check()
    expect(hour).not_to_have_text(before)
    assert hour.text_content().endswith(":30")


def test_the_command_to_copy_is_copied(kala, browse):
    page = browse(kala, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith(f"curl {kala.address}/api/v1/job/ -d")


@pytest.mark.parametrize("width", [701, 860, 1041])
@pytest.mark.parametrize("path", ["/", "/system", "/settings"])
def test_a_page_fits_in_a_window_of_any_width(kala, browse, failing, path, width):
    page = browse(kala, path, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_settings_show_only_those_that_are_set(kala, browse):
    page = browse(kala, "/settings")
    everything = page.locator("table.settings tbody tr").count()
    page.get_by_role("link", name="Only the").click()
    assert 0 < page.locator("table.settings tbody tr").count() < everything
    assert page.locator("#file").text_content().count(" = ") == page.locator("table.settings tbody tr").count()


def test_the_system_page_follows_without_an_event(kala, browse):
    page = browse(kala, "/system")
    uptime = page.locator("dt:text-is('Uptime') + dd")
    before = uptime.text_content()
    expect(uptime).not_to_have_text(before, timeout=20_000)
