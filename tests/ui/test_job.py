"""The page of a job, and what people do there."""

import json
import re
import subprocess
from html import unescape

import pytest


def text(response, status: int = 200) -> str:
    assert response.status == status, response.body
    return response.body.decode()


def words(page: str) -> str:
    """Return the text of a page, with single spaces."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", page)).split())


def section(page: str, head: str) -> str:
    """Return what is below a heading, up to the next one of its level."""
    return page.partition(f">{head}</h2>")[2].partition("<h2")[0]


def show(api, job_id: str) -> str:
    return text(api.ask("GET", f"/jobs/{job_id}"))


def go(api, job_id: str, **wanted: int) -> int:
    """Run a job to its end, and return the id of the run."""
    run = api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]
    api.await_job(job_id, **wanted)
    return run


class TestTheHead:
    def test_says_what_the_job_is(self, api):
        job_id = api.create(name="<b>&", owner="ann", tags=["db"], description="First line.\nSecond <line>.")
        page = show(api, job_id)
        assert "<h1>&lt;b&gt;&amp;</h1>" in page
        assert "<title>&lt;b&gt;&amp; – Kala</title>" in page
        assert "First line.\nSecond &lt;line&gt;." in page
        assert f"new ann db {job_id}" in words(page)

    def test_can_be_found_by_a_unique_name(self, api):
        job_id = api.create(name="nightly backup")
        assert job_id in show(api, "nightly%20backup")

    def test_narrows_the_events_to_this_job(self, api):
        job_id = api.create()
        assert f'data-events="job={job_id}"' in show(api, job_id)

    def test_has_all_actions(self, api):
        job_id = api.create()
        page = show(api, job_id)
        for action in ("start", "disable"):
            assert f'<form class="inline" method="post" action="/jobs/{job_id}/{action}">' in page
        for path in (f"/jobs/{job_id}/edit", f"/jobs/new?copy={job_id}"):
            assert f'href="{path}"' in page
        assert f'<form class="inline" data-question action="/jobs/{job_id}/delete">' in page


class TestWhen:
    def test_says_the_schedule_and_the_next_slots_in_the_zone_of_the_job(self, api):
        job_id = api.create(schedule="R/2099-06-01T02:30:00/P1D", timezone="Europe/Berlin")
        shown = section(show(api, job_id), "When")
        assert "(Europe/Berlin)" in shown
        assert [slot[:16] for slot in re.findall(r"<li><span>([^<]+)</span>", shown)] == [
            f"2099-06-0{day} 02:30" for day in range(1, 6)
        ]
        assert 'datetime="2099-06-01T00:30:00Z"' in shown

    def test_of_a_disabled_job_has_no_slots(self, api):
        shown = section(show(api, api.create(disabled=True)), "When")
        assert "The job is disabled: it does not run." in shown
        assert "<li>" not in shown

    def test_says_that_nothing_is_due_any_more(self, api):
        job_id = api.create(schedule=None)
        api.await_job(job_id, is_done=True)
        assert "Nothing is due any more." in show(api, job_id)

    def test_says_why_a_run_waits(self, api):
        job_id = api.create(command="sleep 600", schedule="manual")
        first, second = (api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"] for _ in range(2))
        try:
            assert f"queued Run {second} Waits for the runs of its job before it to end: run {first} ." in words(
                show(api, job_id)
            )
        finally:
            for run in (second, first):
                api.ask("POST", f"/api/v1/run/{run}/cancel/")

    def test_names_parents_and_children_with_their_states(self, api):
        parent = api.create(name="parent", schedule="manual")
        job_id = api.create(name="middle", parent_jobs=[parent], on_failure_job=api.create(name="mender"))
        api.create(name="child", parent_jobs=[job_id], disabled=True)
        go(api, parent, success_count=1)
        api.await_job(job_id, success_count=1)
        shown = words(section(show(api, job_id), "When"))
        assert "Started by succeeded parent" in shown
        assert "disabled new child" in shown
        assert "new mender on failure" in shown


class TestRuns:
    def test_are_told_in_a_chart_and_in_a_table(self, api):
        job_id = api.create(command="exit 3", schedule="manual")
        run = go(api, job_id, error_count=1)
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "true"})
        go(api, job_id, success_count=1)
        shown = section(show(api, job_id), "Runs")
        assert "1 of the last 2 failed; median " in shown
        assert shown.count("<path class=failed") == 1
        assert f'<tr id="all-{run}">' in shown
        assert "exit status 3" in shown

    def test_of_a_new_job_say_when_the_first_one_is_due(self, api):
        assert "Not run yet; the first slot is in 7" in words(show(api, api.create()))
        assert "Not run yet." in words(show(api, api.create(schedule="manual")))


class TestTheDefinition:
    def test_shows_the_settings_that_are_not_the_default(self, api):
        page = show(api, api.create(retries=2, env={"A": "<1>"}))
        settings = words(section(page, "What"))
        assert "retries 2 how many times a failed run is retried" in settings
        assert 'env {"A": "<1>"}' in settings
        assert "overlap" not in settings
        assert "All other settings have their defaults." in show(api, api.create())

    def test_shows_an_http_call(self, api):
        remote = {"url": "http://127.0.0.1:1/x", "method": "PUT", "body": "b", "expected_response_codes": [204]}
        job_id = api.create(command="", type=1, remote_properties=remote)
        page = show(api, job_id)
        settings = words(section(page, "What"))
        assert "PUT http://127.0.0.1:1/x" in settings
        assert "expected_response_codes [204]" in settings
        definition = json.loads(unescape(re.search(r'id="definition"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]))
        assert definition["remote_properties"] == remote

    def test_creates_the_same_job_again(self, api):
        other = api.create(name="other")
        job_id = api.create(
            name='it\'s "one"', parent_jobs=None, tags=["a"], retries=1, on_failure_job=other, missed="skip"
        )
        page = show(api, job_id)
        command = unescape(re.search(r'id="curl"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
        copy = json.loads(subprocess.run(["/bin/sh", "-c", f"{command} -s"], capture_output=True, check=True).stdout)
        first, second = api.job(job_id), api.job(copy["id"])
        assert first.pop("id") != second.pop("id")
        assert first == second


class TestRunNow:
    def test_leads_to_the_page_of_the_new_run(self, api):
        job_id = api.create(schedule="manual")
        response = api.submit(f"/jobs/{job_id}/start")
        assert response.status == 303
        [run] = api.ask("GET", f"/api/v1/job/{job_id}/runs/").json["runs"]
        assert response.headers["Location"] == f"/runs/{run['id']}"

    def test_of_a_disabled_job_offers_to_enable_it(self, api):
        job_id = api.create(name="off", schedule="manual", disabled=True)
        page = text(api.submit(f"/jobs/{job_id}/start"), 409)
        assert f"Job {job_id} (off) is disabled; enable it before starting it." in page
        assert '<button class="primary">Enable and run</button>' in page
        response = api.submit(f"/jobs/{job_id}/start", enable="1")
        assert response.headers["Location"].startswith("/runs/")
        api.await_job(job_id, success_count=1, disabled=False)


class TestDisable:
    @pytest.mark.parametrize(("action", "is_disabled"), [("disable", True), ("enable", False)])
    def test_returns_to_the_page_that_it_came_from(self, api, action, is_disabled):
        job_id = api.create(disabled=not is_disabled)
        assert api.submit(f"/jobs/{job_id}/{action}", back="/jobs?q=x").headers["Location"] == "/jobs?q=x"
        assert api.job(job_id)["disabled"] is is_disabled
        assert api.submit(f"/jobs/{job_id}/{action}").headers["Location"] == f"/jobs/{job_id}"

    def test_does_not_return_to_another_site(self, api):
        job_id = api.create()
        for back in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
            assert api.submit(f"/jobs/{job_id}/disable", back=back).headers["Location"] == f"/jobs/{job_id}"


class TestDelete:
    def test_asks_first_and_names_what_goes_with_it(self, api):
        job_id, other = api.create(name="parent"), api.create(name="other")
        child = api.create(name="child", parent_jobs=[job_id])
        api.create(name="grandchild", parent_jobs=[child])
        api.create(name="nephew", parent_jobs=[job_id, other])
        asked = words(text(api.ask("GET", f"/jobs/{job_id}/delete")).partition("<section")[2])
        assert "Delete parent?" in asked
        assert "2 jobs that have no other parent are deleted with it: child grandchild Queued" in asked
        response = api.submit(f"/jobs/{job_id}/delete")
        assert (response.status, response.headers["Location"]) == (303, "/jobs")
        assert {job["name"] for job in api.ask("GET", "/api/v1/job/").json["jobs"].values()} == {"other", "nephew"}

    def test_of_a_job_without_children_names_none(self, api):
        assert "other parent" not in text(api.ask("GET", f"/jobs/{api.create()}/delete"))


class TestAJobThatIsGone:
    def test_is_named_with_a_link_to_its_runs(self, api):
        job_id = api.create(name="was here", schedule="manual")
        go(api, job_id, success_count=1)
        api.ask("DELETE", f"/api/v1/job/{job_id}/")
        page = text(api.ask("GET", f"/jobs/{job_id}"), 404)
        assert f"The job {job_id} was deleted; its runs are still here." in words(page)
        assert "<h1>was here</h1>" in page
        assert f'href="/runs?job={job_id}"' in page

    def test_without_runs_is_named(self, api):
        page = text(api.ask("GET", "/jobs/%3Cnone%3E"), 404)
        assert "No job has the id or name '<none>'." in words(page)
        assert "/runs?job=" not in page

    def test_cannot_be_started_or_deleted(self, api):
        for action in ("start", "enable", "disable", "delete"):
            assert "no job has the id or name" in words(text(api.submit(f"/jobs/gone/{action}"), 404))
        assert api.ask("GET", "/jobs/gone/delete").status == 404
