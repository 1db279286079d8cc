"""The list of jobs and the page of a job, as a person uses them."""

import re
import threading

import pytest
from playwright.sync_api import expect


def row(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def tick(page, name):
    return page.get_by_role("checkbox", name=name, exact=True)


def ticked(page) -> str:
    return "".join(page.evaluate("[...document.querySelectorAll('[name=ids]:checked')].map((box) => box.ariaLabel)"))


@pytest.fixture
def six(kala):
    """A Kala with the jobs a to f."""
    kala.ids = {name: kala.create(name=name, schedule="manual") for name in "abcdef"}
    return kala


@pytest.fixture
def storm(kala):
    """Start a job about seven times a second, which makes 20 events a second, until the end of the test."""
    has_ended, threads = threading.Event(), []

    def blow(job_id: str) -> None:
        while not has_ended.wait(0.15):
            kala.post(f"/job/start/{job_id}/")

    def begin(job_id: str) -> None:
        threads.append(threading.Thread(target=blow, args=(job_id,)))
        threads[-1].start()

    yield begin
    has_ended.set()
    for thread in threads:
        thread.join()


class TestTheListWhileManyThingsHappen:
    """Kala never takes a person's place away."""

    @pytest.fixture
    def page(self, six, storm, browse, eventually):
        six.ids["busy"] = six.create(name="busy", schedule="manual", command="true")
        page = browse(six, "/jobs")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        page.evaluate("window.shown = 0; document.addEventListener('kala:shown', () => { window.shown += 1; })")
        storm(six.ids["busy"])
        eventually(lambda: page.evaluate("window.shown > 1"))
        return page

    def test_what_a_person_types_and_ticks_stays(self, page):
        tick(page, "c").check()
        page.evaluate("window.row = document.querySelector('[name=ids]:checked').closest('tr')")
        search = page.get_by_role("searchbox")
        before, text = page.evaluate("window.shown"), "what a person types into the search field"
        search.press_sequentially(text, delay=150)
        assert page.evaluate("window.shown") > before + 2
        expect(search).to_have_value(text)
        expect(search).to_be_focused()
        assert ticked(page) == "c"
        assert page.evaluate("window.row.isConnected && window.row.querySelector('[name=ids]').checked")

    def test_the_focus_and_the_place_on_the_page_stay(self, page, eventually):
        page.set_viewport_size({"width": 1280, "height": 300})
        button = row(page, "e").get_by_role("button", name="Run now")
        button.focus()
        place, before = page.evaluate("window.scrollY"), page.evaluate("window.shown")
        eventually(lambda: page.evaluate("window.shown") > before + 2)
        expect(button).to_be_focused()
        assert page.evaluate("window.scrollY") == place

    def test_selected_text_stays_selected(self, page):
        page.get_by_role("link", name="b", exact=True).evaluate("(link) => getSelection().selectAllChildren(link)")
        page.wait_for_timeout(3000)
        assert page.evaluate("getSelection().toString()") == "b"

    def test_an_open_menu_stays_open(self, page):
        page.set_viewport_size({"width": 360, "height": 740})
        page.get_by_role("button", name="Actions for d").click()
        menu = page.get_by_role("button", name="Disable").and_(page.locator(":popover-open *"))
        expect(menu).to_be_visible()
        page.wait_for_timeout(3000)
        expect(menu).to_be_visible()


class TestTicks:
    @pytest.fixture
    def page(self, six, browse):
        return browse(six, "/jobs")

    def test_a_click_with_shift_ticks_a_range(self, page):
        tick(page, "b").click()
        tick(page, "e").click(modifiers=["Shift"])
        assert ticked(page) == "bcde"
        expect(page.locator("#ticked")).to_have_text("4 ticked")
        tick(page, "c").click()
        tick(page, "d").click(modifiers=["Shift"])
        assert ticked(page) == "be"

    def test_shift_and_space_tick_a_range(self, page):
        tick(page, "e").focus()
        page.keyboard.press("Space")
        tick(page, "c").focus()
        page.keyboard.press("Shift+Space")
        assert ticked(page) == "cde"

    def test_one_box_ticks_the_whole_page(self, page):
        every = page.get_by_role("checkbox", name="Tick all jobs on this page")
        every.check()
        assert ticked(page) == "abcdef"
        tick(page, "a").uncheck()
        assert every.evaluate("(box) => box.indeterminate")

    def test_buttons_for_ticked_jobs_need_a_tick(self, page):
        button = page.get_by_role("button", name="Disable ticked jobs")
        expect(button).to_be_disabled()
        tick(page, "a").check()
        expect(button).to_be_enabled()
        tick(page, "a").uncheck()
        page.get_by_role("checkbox", name="All 6 jobs").check()
        expect(button).to_be_enabled()


class TestManyJobs:
    def test_are_disabled_after_a_question(self, six, browse):
        page = browse(six, "/jobs?sort=-name")
        tick(page, "b").check()
        tick(page, "c").check()
        page.get_by_role("button", name="Disable ticked jobs").click()
        expect(page.get_by_role("heading", name="Disable 2 jobs?")).to_be_visible()
        page.get_by_role("button", name="Disable 2 jobs").click()
        expect(page).to_have_url(re.compile(r"/jobs\?sort=-name$"))
        expect(row(page, "b")).to_contain_text("disabled")
        assert [six.job(six.ids[name])["disabled"] for name in "abc"] == [False, True, True]

    def test_are_deleted_where_they_match_and_are_counted_again_if_more_match_now(self, six, browse):
        page = browse(six, "/jobs?q=a")
        page.watch.expected.append("409")
        page.get_by_role("checkbox", name="All 1 that match").check()
        page.get_by_role("button", name="Delete ticked jobs").click()
        six.create(name="another a")
        page.get_by_role("button", name="Delete 1 job").click()
        expect(page.get_by_role("alert")).to_contain_text("2 jobs are selected, not 1")
        page.get_by_role("button", name="Delete 2 jobs").click()
        expect(page.get_by_text("No job matches")).to_be_visible()
        assert len(six.get("/job/").body["jobs"]) == 5


class TestOneJob:
    def test_runs_by_one_click_in_the_list_which_leads_to_the_run(self, six, browse):
        page = browse(six, "/jobs")
        row(page, "d").get_by_role("button", name="Run now").click()
        [run] = six.runs(six.ids["d"], 1)
        expect(page).to_have_url(re.compile(rf"/runs/{run['id']}$"))

    def test_is_disabled_in_the_list_which_stays_as_it_was(self, six, browse):
        page = browse(six, "/jobs?q=d&sort=-name")
        row(page, "d").get_by_role("button", name="Disable").click()
        expect(page).to_have_url(re.compile(r"/jobs\?q=d&sort=-name$"))
        expect(row(page, "d")).to_contain_text("disabled")
        row(page, "d").get_by_role("button", name="Enable").click()
        expect(row(page, "d").get_by_role("button", name="Disable")).to_be_visible()

    def test_that_is_disabled_can_be_enabled_and_run(self, six, browse):
        six.post(f"/job/disable/{six.ids['a']}/")
        page = browse(six, f"/jobs/{six.ids['a']}")
        page.watch.expected.append("409")
        page.get_by_role("button", name="Run now").click()
        expect(page.get_by_role("alert")).to_contain_text("is disabled; enable it before starting it")
        page.get_by_role("button", name="Enable and run").click()
        expect(page).to_have_url(re.compile(r"/runs/\d+$"))
        six.runs(six.ids["a"], 1)

    def test_is_deleted_by_keyboard_after_a_question_that_can_be_escaped(self, six, browse):
        child = six.create(name="its child", parent_jobs=[six.ids["a"]])
        page = browse(six, f"/jobs/{six.ids['a']}")
        button = page.get_by_role("button", name="Delete")
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Delete a?")
        expect(dialog).to_contain_text("its child")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        dialog.get_by_role("button", name="Delete").focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/jobs$"))
        assert {six.ids["a"], child}.isdisjoint(six.get("/job/").body["jobs"])

    def test_changes_on_its_page_without_a_reload(self, six, browse):
        page = browse(six, f"/jobs/{six.ids['a']}")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        expect(page.get_by_text("Not run yet.")).to_be_visible()
        six.go(six.ids["a"])
        expect(page.get_by_text("None of the last 1 failed")).to_be_visible()
        page.get_by_text("These runs as a table").click()
        six.go(six.ids["a"])
        expect(page.get_by_text("None of the last 2 failed")).to_be_visible()
        expect(page.locator("#durations table")).to_be_visible()

    def test_that_is_deleted_meanwhile_says_so(self, six, browse):
        six.go(six.ids["a"])
        six.runs(six.ids["a"], 1)
        page = browse(six, f"/jobs/{six.ids['a']}")
        page.watch.expected.append("404")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        six.delete(f"/job/{six.ids['a']}/")
        expect(page.get_by_role("alert")).to_contain_text("was deleted; its runs are still here")
        expect(page.get_by_role("button", name="Run now")).to_be_hidden()
        expect(page.get_by_role("link", name="Runs of this job")).to_be_visible()

    def test_shows_its_definition_to_copy(self, six, browse):
        page = browse(six, f"/jobs/{six.ids['a']}", permissions=["clipboard-read", "clipboard-write"])
        page.get_by_text("As JSON").click()
        page.get_by_role("button", name="Copy", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("Copied")
        assert '"name": "a"' in page.evaluate("navigator.clipboard.readText()")


class TestTheSparkline:
    @pytest.fixture
    def page(self, kala, browse):
        job_id = kala.create(name="mixed", command="exit 3", schedule="manual")
        kala.go(job_id)
        kala.runs(job_id, 1)
        kala.patch(f"/job/{job_id}/", {"command": "sleep 0.2"})
        kala.go(job_id)
        self.failed, self.succeeded = (run["id"] for run in kala.runs(job_id, 2))
        return browse(kala, "/jobs")

    def bar(self, page, run):
        return page.locator(f".spark a[href='/runs/{run}'] path")

    def test_tells_a_failure_by_its_place_below_the_line(self, page):
        up, down = (
            self.bar(page, run).evaluate("(bar) => ({top: bar.getBBox().y, height: bar.getBBox().height})")
            for run in (self.succeeded, self.failed)
        )
        assert up["top"] + up["height"] <= 15 < down["top"]
        assert up["height"] > down["height"]

    def test_leads_from_each_bar_to_its_run(self, page):
        self.bar(page, self.failed).click()
        expect(page).to_have_url(re.compile(rf"/runs/{self.failed}$"))


class TestOnAPhone:
    def test_a_row_has_its_actions_behind_one_button(self, six, browse):
        page = browse(six, "/jobs", width=360, height=740)
        expect(page.get_by_role("button", name="Run now")).to_have_count(0)
        page.get_by_role("button", name="Actions for c").click()
        run = page.get_by_role("button", name="Run now")
        expect(run).to_have_count(1)
        page.keyboard.press("Escape")
        expect(run).to_have_count(0)
        expect(page.get_by_role("button", name="Actions for c")).to_be_focused()
        page.keyboard.press("Enter")
        run.click()
        expect(page).to_have_url(re.compile(r"/runs/\d+$"))
        six.runs(six.ids["c"], 1)

    def test_a_row_has_two_lines(self, six, browse):
        six.go(six.ids["a"])
        six.runs(six.ids["a"], 1)
        page = browse(six, "/jobs", width=360, height=740)
        assert row(page, "a").bounding_box()["height"] < 64


class TestWithoutJavaScript:
    @pytest.fixture
    def page(self, six, browse):
        return browse(six, "/jobs", java_script_enabled=False)

    def test_the_list_is_searched_sorted_and_paged(self, six, page):
        for number in range(50):
            six.create(name=f"more {number}", schedule="manual")
        page.get_by_role("searchbox").fill("more")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1–50 of 50")).to_be_visible()
        page.goto("/jobs")
        page.get_by_role("columnheader", name="Name").get_by_role("link").click()
        expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "descending")
        page.get_by_role("link", name="Next page").click()
        expect(page.get_by_text("51–56 of 56")).to_be_visible()
        page.get_by_role("link", name="First page").click()
        expect(page.get_by_text("1–50 of 56")).to_be_visible()

    def test_ticked_jobs_are_changed(self, six, page):
        tick(page, "a").check()
        page.get_by_role("button", name="Disable ticked jobs").click()
        page.get_by_role("button", name="Disable 1 job").click()
        expect(row(page, "a")).to_contain_text("disabled")

    def test_a_job_is_run_and_deleted(self, six, page):
        row(page, "b").get_by_role("button", name="Run now").click()
        six.runs(six.ids["b"], 1)
        page.goto(f"/jobs/{six.ids['b']}")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete").click()
        expect(page).to_have_url(re.compile(r"/jobs$"))
        assert six.get(f"/job/{six.ids['b']}/").status == 404


def test_times_are_those_of_the_chosen_clock_and_of_the_schedule(serve, make, browse):
    kala = make(environ={"TZ": "Europe/Berlin"}).start()
    job_id = kala.create(name="far", schedule="R/2099-06-01T02:30:00/P1D", timezone="Asia/Tokyo")
    page = browse(kala, f"/jobs/{job_id}", timezone_id="America/New_York")
    slot = page.locator(".slots li").first
    expect(slot).to_contain_text("2099-06-01 02:30 Asia/Tokyo")
    expect(slot.locator("time.exact")).to_have_text("2099-05-31 19:30:00 +02:00")
    page.get_by_label("Display").click()
    page.get_by_label("Mine").check()
    expect(slot.locator("time.exact")).to_have_text("2099-05-31 13:30:00 -04:00")
