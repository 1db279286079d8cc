"""The form of a job in the browser: what the schedule means, as one types it, and the way to a job and its run."""

import re

import pytest
from playwright.sync_api import expect

NEW_YORK = {"timezone_id": "America/New_York"}


@pytest.fixture
def page(kala, browse):
    return browse(kala, "/jobs/new", **NEW_YORK)


def fill(page, **fields):
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("label", ["Name", "Command", "Schedule", "Time zone", "Owner", "Tags", "Retries", "Timeout"])
def test_each_label_finds_one_field(page, label):
    expect(page.get_by_label(label)).to_have_count(1)
    expect(page.get_by_label(label)).to_be_visible()


def test_the_meaning_of_a_schedule_follows_what_is_typed(page):
    said = page.locator("#preview-sentence")
    expect(said).to_have_text("Once, when it is created")
    page.get_by_label("Schedule").press_sequentially("30 2 * * 1-5")
    expect(said).to_contain_text("At 02:30")
    page.get_by_label("Schedule").fill("30 25 * * *")
    expect(said).to_contain_text("schedule: the hour must be between 0 and 23")
    page.get_by_label("Schedule").fill("")
    page.get_by_label("Parent jobs").fill("a")
    expect(said).to_have_text("After its parent succeeds")


def test_a_time_is_never_in_doubt_also_in_march(serve, browse):
    """The browser is in New York, and the server in Berlin, where no clock shows 02:30 on 28 March 2027."""
    kala = serve(environ={"TZ": "Europe/Berlin"})
    page = browse(kala, "/jobs/new", **NEW_YORK)
    fill(page, Name="Daily", Command="true", Schedule="R/2027-03-27T02:30:00/P1D")
    rows = page.locator("#preview tbody tr")
    expect(rows.nth(1)).to_contain_text("2027-03-28 03:30:00 +02:00")
    expect(rows.nth(1).locator("td.mine")).to_have_text("2027-03-27 21:30:00 -04:00")
    expect(rows.nth(2)).to_contain_text("2027-03-29 02:30:00 +02:00")
    expect(page.locator("#preview")).to_contain_text("02:30 does not exist on 28 March 2027; runs at 03:30")
    press(page, "Save")
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
    slot = page.locator("main time[datetime='2027-03-28T01:30:00Z']")
    expect(slot.first).to_contain_text("2027-03-28 03:30:00 +02:00")


def test_the_time_of_a_person_in_the_same_zone_is_not_shown_twice(kala, browse):
    page = browse(kala, "/jobs/new", timezone_id="Europe/Berlin")
    fill(page, Schedule="30 2 * * *", Time_zone="Europe/Berlin")
    expect(page.locator("#preview tbody tr")).to_have_count(5)
    expect(page.locator("#preview .mine").first).to_be_hidden()


def test_a_recipe_fills_in_the_schedule(page):
    page.get_by_text("Recipes for schedules").click()
    page.get_by_role("button", name="Use 30 2 * * 1-5").click()
    expect(page.get_by_label("Schedule")).to_have_value("30 2 * * 1-5")
    expect(page.get_by_label("Schedule")).to_be_focused()
    expect(page.locator("#preview-sentence")).to_contain_text("At 02:30")


def test_the_slots_stand_among_those_of_all_jobs(kala, page):
    kala.create(name="other", schedule="*/30 * * * *")
    page.get_by_label("Schedule").fill("0 */6 * * *")
    picture = page.get_by_role("img", name=re.compile("this job, 4 times"))
    expect(picture).to_be_visible()
    assert picture.locator(".own").count() == 4


def test_jobs_are_found_by_their_names(kala, page):
    ids = {name: kala.create(name=name, schedule="manual") for name in ("Dump orders", "Dump users", "Other")}
    twin = kala.create(name="Other", schedule="manual")
    finder = page.get_by_label("Find a job to add")
    finder.fill("dump")
    options = page.locator("#jobs option")
    expect(options).to_have_count(2)
    finder.fill("Dump orders")
    finder.press("Enter")
    finder.fill("other")
    expect(options.first).to_have_attribute("value", re.compile(f"{ids['Other']}|{twin}"))
    finder.fill(twin)
    finder.blur()
    expect(page.get_by_label("Parent jobs")).to_have_value(f"Dump orders\n{twin}")
    fill(page, Name="After both", Command="true")
    press(page, "Save")
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
    assert kala.job(page.url.rpartition("/")[2])["parent_jobs"] == [ids["Dump orders"], twin]


def test_an_error_gets_the_focus_and_leads_to_its_field(page, accessible):
    page.watch.expected.append("Failed to load resource")
    fill(page, Name="a", Command="true", Retries="two")
    page.get_by_text("More: Missed limit").click()
    page.get_by_label("Priority").fill("high")
    press(page, "Save")
    errors = page.get_by_role("alert")
    expect(errors).to_be_focused()
    expect(errors).to_contain_text("retries: must be a whole number")
    accessible(page)
    errors.get_by_role("link").click()
    expect(page.get_by_label("Retries")).to_be_focused()
    expect(page.get_by_label("Retries")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Priority")).to_have_value("high")
    expect(page.get_by_label("Priority")).to_be_visible()


def test_the_fields_of_the_other_type_are_hidden(page):
    expect(page.get_by_label("URL")).to_be_hidden()
    page.get_by_label("Type").select_option("HTTP request")
    expect(page.get_by_label("URL")).to_be_visible()
    expect(page.get_by_label("Command")).to_be_hidden()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_job_is_checked_then_saved_and_run(kala, browse, accessible, has_scripts):
    page = browse(kala, "/jobs/new", java_script_enabled=has_scripts)
    fill(page, Name="Nightly", Command="echo hello", Schedule="30 2 * * *", Tags="db, big", Retries="1")
    press(page, "Check")
    expect(page.locator("#fine")).to_be_focused()
    expect(page.locator("#preview tbody tr")).to_have_count(5)
    if has_scripts:
        accessible(page)
    press(page, "Save and run")
    page.wait_for_url(re.compile(r"/runs/\d+$"))
    [job] = kala.get("/job/").body["jobs"].values()
    assert (job["name"], job["tags"], job["retries"]) == ("Nightly", ["db", "big"], 1)


def test_a_double_click_makes_one_job(kala, page):
    fill(page, Name="a", Command="true", Schedule="manual")
    page.get_by_role("button", name="Save", exact=True).dblclick()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
    page.reload()
    assert len(kala.get("/job/").body["jobs"]) == 1


def test_enter_saves_the_job(kala, page):
    fill(page, Command="true", Schedule="manual", Name="a")
    page.get_by_label("Name").press("Enter")
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))


def test_a_job_is_created_with_the_keyboard_alone(kala, page):
    page.get_by_label("Name").focus()
    for text in ("Typed", None, "true", "", ""):
        if text:
            page.keyboard.type(text)
        page.keyboard.press("Tab")
    for _ in range(40):
        if page.evaluate("document.activeElement.textContent") == "Save":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
    [job] = kala.get("/job/").body["jobs"].values()
    assert (job["name"], job["command"]) == ("Typed", "true")


def test_the_focused_field_is_never_below_the_buttons(page):
    """WCAG 2.2, 2.4.11: the buttons stay at the bottom of the window."""
    page.get_by_label("Name").focus()
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.send') !== null"):
            break
        # Text areas are higher than the scroll needs to show; their first line counts.
        top, limit = page.evaluate(
            "[document.activeElement.getBoundingClientRect().top,"
            " document.querySelector('.send').getBoundingClientRect().top]"
        )
        assert top < limit


def test_two_editors_at_once_are_told(kala, browse, accessible):
    job_id = kala.create(name="a", schedule="manual")
    mine, theirs = (browse(kala, f"/jobs/{job_id}/edit") for _ in range(2))
    mine.watch.expected.append("Failed to load resource")
    fill(theirs, Owner="them@example.com")
    press(theirs, "Save")
    theirs.wait_for_url(re.compile(f"/jobs/{job_id}$"))
    fill(mine, Retries="3")
    press(mine, "Save")
    expect(mine.get_by_role("alert")).to_be_focused()
    expect(mine.get_by_role("row", name=re.compile("Owner"))).to_contain_text("them@example.com")
    accessible(mine)
    press(mine, "Save mine anyway")
    mine.wait_for_url(re.compile(f"/jobs/{job_id}$"))
    assert (kala.job(job_id)["retries"], kala.job(job_id)["owner"]) == (3, "")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_form_becomes_json_and_back(kala, browse, has_scripts, accessible):
    page = browse(kala, "/jobs/new", java_script_enabled=has_scripts)
    fill(page, Name="a", Command="true")
    press(page, "JSON")
    source = page.get_by_label("Job as JSON")
    expect(source).to_have_value('{\n  "name": "a",\n  "command": "true"\n}')
    if has_scripts:
        accessible(page)
    source.fill('{"name": "b", "command": "true", "schedule": "manual"}')
    press(page, "Form")
    expect(page.get_by_label("Name", exact=True)).to_have_value("b")
    expect(page.locator("#preview-sentence")).to_have_text("By hand or by another job")
