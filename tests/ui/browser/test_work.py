"""A person's work with Kala in a browser: with the mouse, with the keyboard alone, and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

LINES = "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done"


def fill_in(page, **fields):
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def press(page, name, role="button"):
    page.get_by_role(role, name=name, exact=True).first.click()


def state(page, word):
    return page.locator("main .state").filter(has_text=re.compile(f"^{word}$")).first


def run_id(page):
    page.wait_for_url(re.compile(r"/runs/\d+$"))
    return int(page.url.rpartition("/")[2])


def test_a_job_is_created_with_a_preview_and_its_first_run_is_watched(kala, browse):
    page = browse(kala)
    press(page, "New job", "link")
    fill_in(page, Name="Nightly backup", Command=LINES, Schedule="30 2 * * 1-5", Time_zone="Europe/Berlin")
    expect(page.get_by_text("At 02:30 on weekdays (Europe/Berlin)").first).to_be_visible()
    press(page, "Save and run")
    run = kala.run(run_id(page))
    assert (run["job_name"], run["cause"]) == ("Nightly backup", "manual")
    expect(page.get_by_role("log")).to_contain_text("line 5")
    expect(state(page, "succeeded")).to_be_visible()
    assert kala.output(run["id"])[1].decode() == "".join(f"line {number}\n" for number in range(1, 6))


def test_a_job_is_run_cancelled_and_retried(kala, browse):
    job_id = kala.create(name="long", command="echo begun; sleep 600", schedule="manual")
    page = browse(kala, "/jobs")
    press(page, "Run now")
    first = run_id(page)
    expect(page.get_by_role("log")).to_contain_text("begun")
    press(page, "Cancel run")
    expect(state(page, "cancelled")).to_be_visible()
    press(page, "Retry")
    page.wait_for_url(lambda url: url.rpartition("/")[2] not in ("retry", str(first)))
    expect(page.get_by_role("log")).to_contain_text("begun")
    press(page, "Cancel run")
    assert [run["state"] for run in kala.runs(job_id, 2)] == ["cancelled", "cancelled"]


def test_a_job_is_edited_disabled_enabled_and_deleted(kala, browse):
    job_id = kala.create(name="cleanup", command="true", schedule="0 4 * * *")
    page = browse(kala, f"/jobs/{job_id}")
    press(page, "Edit", "link")
    fill_in(page, Command="rm -rf /tmp/cache", Owner="ops@example.com", Retries="3")
    press(page, "Save")
    page.wait_for_url(f"**/jobs/{job_id}")
    job = kala.job(job_id)
    assert (job["command"], job["owner"], job["retries"]) == ("rm -rf /tmp/cache", "ops@example.com", 3)
    press(page, "Disable")
    expect(state(page, "disabled")).to_be_visible()
    press(page, "Enable")
    expect(state(page, "disabled")).to_have_count(0)
    press(page, "Delete")
    expect(page.get_by_role("dialog")).to_contain_text("cleanup")
    press(page.get_by_role("dialog"), "Delete")
    page.wait_for_url(re.compile("/jobs$"))
    assert kala.get(f"/job/{job_id}/").status == 404


def test_a_question_can_be_left_with_escape(kala, browse):
    job_id = kala.create(name="kept", schedule="0 4 * * *")
    page = browse(kala, f"/jobs/{job_id}")
    press(page, "Delete")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    assert kala.get(f"/job/{job_id}/").status == 200


def test_the_failed_runs_of_the_last_hour_are_found(kala, browse):
    good = kala.create(name="good", command="true", schedule="manual")
    bad = kala.create(name="bad", command="echo no such table; exit 3", schedule="manual")
    for job_id in (good, bad):
        kala.go(job_id)
        kala.runs(job_id, 1)
    page = browse(kala, "/runs")
    page.get_by_label("failed", exact=True).check()
    page.get_by_label("Period").select_option("-1h")
    press(page, "Filter")
    assert "state=failed" in page.url
    assert "since=-1h" in page.url
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("bad")
    rows.first.get_by_role("link", name="bad").click()
    expect(page.get_by_role("log")).to_contain_text("no such table")


def test_a_failing_job_on_the_overview_leads_to_its_run(kala, browse):
    job_id = kala.create(name="import", command="echo no such table; exit 3", schedule="manual")
    kala.go(job_id)
    [run] = kala.runs(job_id, 1)
    page = browse(kala)
    press(page, "import", "link")
    assert run_id(page) == run["id"]


def focus(page, name, role, within=None):
    """Press Tab until the element has the focus, as a person without a mouse does."""
    wanted = (within or page).get_by_role(role, name=name, exact=True).first
    expect(wanted).to_be_visible()
    for _ in range(120):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail(f"{role} {name!r} cannot be reached by Tab")


def test_the_keyboard_is_enough(kala, browse):
    page = browse(kala)
    focus(page, "New job", "link")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/new")
    for label, text in {"Name": "by keys", "Command": "echo typed; sleep 600", "Schedule": "manual"}.items():
        focus(page, label, "textbox")
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
    focus(page, "Save and run", "button")
    page.keyboard.press("Enter")
    run_id(page)
    expect(page.get_by_role("log")).to_contain_text("typed")
    focus(page, "Cancel run", "button")
    page.keyboard.press("Enter")
    expect(state(page, "cancelled")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs")
    focus(page, "by keys", "link")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/jobs/[^/]+$"))
    focus(page, "Delete", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    focus(page, "Delete", "button", within=page.get_by_role("dialog"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/jobs$"))
    assert kala.get("/job/").body["jobs"] == {}


def test_javascript_is_not_needed(kala, browse):
    page = browse(kala, java_script_enabled=False)
    press(page, "New job", "link")
    fill_in(page, Name="plain", Command=LINES, Schedule="0 4 * * *")
    press(page, "Check")
    expect(page.get_by_text("At 04:00 every day").first).to_be_visible()
    press(page, "Save and run")
    run = run_id(page)
    kala.runs(kala.run(run)["job_id"], 1)
    page.reload()
    expect(page.get_by_role("log")).to_contain_text("line 5")
    expect(state(page, "succeeded")).to_be_visible()
    press(page, "plain", "link")
    press(page, "Disable")
    expect(state(page, "disabled")).to_be_visible()
    press(page, "Enable")
    press(page, "Edit", "link")
    fill_in(page, Command="true")
    press(page, "Save")
    press(page, "Delete")
    expect(page.get_by_role("heading", level=1)).to_contain_text("plain")
    press(page, "Delete")
    page.wait_for_url(re.compile("/jobs$"))
    assert kala.get("/job/").body["jobs"] == {}
