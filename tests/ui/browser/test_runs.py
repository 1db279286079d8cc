"""The list of runs in a browser: it stays up to date, and what a person reads or ticks stays where it is."""

import re

import pytest
from playwright.sync_api import expect


@pytest.fixture
def waiting(kala, gate):
    """A job with a run in progress and two that wait for it: the ids of its runs, the oldest first."""
    job_id = kala.create(name="Copy", command=gate.wait, schedule="manual")
    for _ in range(3):
        kala.go(job_id)
    return sorted(run["id"] for run in kala.history(f"job={job_id}"))


def row(page, run_id):
    return page.locator(f"#run-{run_id}")


def test_new_runs_are_announced_and_not_pushed_in(kala, browse, waiting, gate):
    page = browse(kala, "/runs")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.get_by_role("checkbox", name=f"Select run {waiting[1]}", exact=True).check()
    page.evaluate("(id) => { window.before = document.getElementById(id); }", f"run-{waiting[1]}")
    other = kala.create(name="Other", schedule="manual")
    for number in (1, 2, 3):
        kala.go(other)
        kala.runs(other, number)
    expect(page.get_by_role("link", name="3 new runs")).to_be_visible()
    assert page.locator("tbody tr").count() == 3
    assert page.get_by_role("checkbox", name=f"Select run {waiting[1]}", exact=True).is_checked()
    assert page.evaluate("window.before.isConnected")
    gate.open()
    expect(row(page, waiting[0])).to_contain_text("succeeded")
    page.get_by_role("link", name="3 new runs").click()
    expect(page.locator("tbody tr")).to_have_count(6)
    expect(page.get_by_role("link", name="new run")).to_have_count(0)


def test_ticked_runs_are_cancelled(kala, browse, waiting):
    page = browse(kala, "/runs?q=copy")
    for run_id in waiting[1:]:
        page.get_by_role("checkbox", name=f"Select run {run_id}", exact=True).check()
    page.get_by_role("button", name="Cancel selected runs").click()
    page.wait_for_url("**/runs?q=copy")
    for run_id in waiting[1:]:
        expect(row(page, run_id)).to_contain_text("cancelled")
    expect(row(page, waiting[0])).to_contain_text("running")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_failed_runs_of_the_last_hour_are_found_by_keyboard(busy, browse, has_scripts):
    page = browse(busy, "/runs", java_script_enabled=has_scripts)
    page.get_by_label("Period").focus()
    page.keyboard.type("Last hour")
    page.get_by_role("checkbox", name="failed").focus()
    page.keyboard.press("Space")
    page.get_by_role("checkbox", name="timed out").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Filter").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("since=-1h.*state=failed"))
    expect(page.locator("tbody tr").first).to_contain_text("failed")
    states = page.locator("tbody tr .state").all_text_contents()
    assert set(states) == {"failed"}
    page.get_by_role("link", name="Failing <b>import</b>").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Failing <b>import</b>")


def test_an_empty_result_offers_to_remove_each_filter(busy, browse):
    page = browse(busy, "/runs?state=lost&q=import")
    page.get_by_role("link", name="Remove state lost").click()
    expect(page.locator("tbody tr").first).to_contain_text("Failing <b>import</b>")
