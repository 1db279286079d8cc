"""The overview: what fails, what runs, what waits and what comes."""

import html
import re

import pytest

from kala.core.caller import Role


def overview(api) -> str:
    response = api.ask("GET", "/")
    assert response.status == 200, response.body
    return response.body.decode()


def section(page: str, name: str) -> str:
    """Return the text of a section with its markup, such as that of the jobs that fail."""
    return page.partition(f'<section aria-labelledby="{name}">')[2].partition("</section>")[0]


def text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def verdict(page: str) -> str:
    return text(page.partition('<div class="verdict')[2].partition(">")[2].partition("<ul")[0])


def run_now(api, job_id: str) -> int:
    return api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]


class TestWithoutJobs:
    def test_it_says_how_to_create_one(self, api):
        page = overview(api)
        assert "There are no jobs yet" in page
        assert 'href="/jobs/new">Create a job</a>' in page

    def test_the_command_to_copy_creates_a_job(self, api):
        command = text(overview(api).partition('id="example"')[2].partition("data-keep>")[2].partition("</pre>")[0])
        url, _, body = command.removeprefix("curl ").partition(" -d ")
        assert url == f"http://{api.host}:{api.port}/api/v1/job/"
        assert api.ask("POST", "/api/v1/job/", body.strip("'").encode()).status == 201

    def test_the_command_uses_https_behind_a_proxy_that_does(self, api):
        login = {"Authorization": f"Bearer {api.token(Role.ADMIN)}"}
        assert b"curl https://" in api.ask("GET", "/", X_Forwarded_Proto="https", **login).body


class TestAFailingJob:
    @pytest.fixture
    def failed(self, api):
        command = r"printf 'loading\n\033[31mno such table: <b>users</b>\033[0m\n\n'; exit 3"
        job_id = api.create(name="Import <b>users</b>", command=command, owner="ann@example.org")
        runs = [run_now(api, job_id) for _ in range(2)]
        api.await_job(job_id, error_count=2)
        return job_id, runs[-1]

    def test_is_a_link_to_its_run(self, api, failed):
        _, run_id = failed
        assert f'<a href="/runs/{run_id}">Import &lt;b&gt;users&lt;/b&gt;</a>' in section(overview(api), "failing")

    def test_says_how_often_and_why_it_failed(self, api, failed):
        told = text(section(overview(api), "failing"))
        assert "2 times in a row, never succeeded" in told
        assert "exit status 3 no such table: <b>users</b> Output Retry" in told

    def test_can_be_run_again_there(self, api, failed):
        _, run_id = failed
        page = section(overview(api), "failing")
        assert f'<form class="inline" method="post" action="/runs/{run_id}/retry">' in page
        assert f'href="/runs/{run_id}#output"' in page

    def test_is_counted_in_the_heading_and_the_title(self, api, failed):
        page = overview(api)
        assert verdict(page) == "1 job is failing"
        assert "<title>(1 failing) Overview" in page

    def test_says_when_it_last_succeeded(self, api, failed):
        job_id, _ = failed
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "true"})
        run_now(api, job_id)
        api.await_job(job_id, success_count=1)
        assert section(overview(api), "failing") == ""
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "false"})
        run_now(api, job_id)
        api.await_job(job_id, error_count=3)
        assert re.search(r"last success (now|\d+ s ago)", text(section(overview(api), "failing")))

    def test_can_only_be_started_anew_when_its_run_is_deleted(self, api, failed):
        job_id, run_id = failed
        assert api.ask("DELETE", f"/api/v1/run/{run_id}/").status == 204
        page = section(overview(api), "failing")
        assert f'action="/jobs/{job_id}/start"' in page
        assert "retry" not in page


def test_only_the_first_20_of_many_failing_jobs_are_shown(api):
    ids = [api.create(name=f"job {n}", command="false", schedule=None) for n in range(21)]
    for job_id in ids:
        api.await_job(job_id, error_count=1)
    page = section(overview(api), "failing")
    assert page.count('<tr id="failing-') == 20
    assert re.search(r'href="/jobs\?state=failing%2Clost&amp;sort=-last">All 21 failing jobs<', page)


class TestWhenAllIsWell:
    def test_no_run_has_failed(self, api):
        api.create()
        for run in api.ask("GET", "/api/v1/run/?state=failed,timed_out,lost&limit=1000").json["runs"]:
            api.ask("DELETE", f"/api/v1/run/{run['id']}/")
        assert verdict(overview(api)) == "All is well No run has failed."

    def test_the_last_failure_is_a_link(self, api):
        job_id = api.create(name="Import", command="false")
        run_id = run_now(api, job_id)
        api.await_job(job_id, error_count=1)
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "true"})
        run_now(api, job_id)
        api.await_job(job_id, success_count=1)
        page = overview(api)
        assert re.fullmatch(r"All is well The last failure was (now|\d+ s ago) : Import\.", verdict(page))
        assert f'The last failure was <a href="/runs/{run_id}">' in page


class TestARunningRun:
    @pytest.fixture
    def run_id(self, api):
        run_id = run_now(api, api.create(name="Copy", command="sleep 600"))
        yield run_id
        api.ask("POST", f"/api/v1/run/{run_id}/cancel/")

    def test_links_to_its_output_and_can_be_cancelled(self, api, run_id):
        page = section(overview(api), "running")
        assert f'<a href="/runs/{run_id}">Copy</a>' in page
        assert f'href="/runs/{run_id}#output"' in page
        assert f'action="/runs/{run_id}/cancel"' in page
        assert "not known yet" in page

    def test_is_compared_with_how_long_the_job_usually_takes(self, api):
        job_id = api.create(command="sleep 0.1")
        run_now(api, job_id)
        api.await_job(job_id, success_count=1)
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "sleep 600"})
        run_id = run_now(api, job_id)
        told = text(section(overview(api), "running"))
        api.ask("POST", f"/api/v1/run/{run_id}/cancel/")
        assert re.search(r"\d\d\d ms|\d\.\d s", told)
        assert "longer than usual" not in told

    def test_says_why_the_next_one_waits(self, api, run_id):
        second = run_now(api, api.ask("GET", f"/api/v1/run/{run_id}/").json["run"]["job_id"])
        page = section(overview(api), "held")
        api.ask("POST", f"/api/v1/run/{second}/cancel/")
        assert "Waits for the runs of its job before it to end:" in text(page)
        assert f'<a href="/runs/{run_id}">run {run_id}</a>' in page


class TestTheNextJobs:
    def test_are_links_with_their_times_and_schedules(self, api):
        job_id = api.create(name="Nightly backup", schedule="30 2 * * *", timezone="Europe/Berlin")
        page = section(overview(api), "next")
        assert f'<a href="/jobs/{job_id}">Nightly backup</a>' in page
        assert "At 02:30 every day (Europe/Berlin)" in text(page)
        assert re.search(r'<time datetime="[^"]*" title="[^"]*">in \d+ (h|min|s)</time>', page)

    def test_may_be_none(self, api):
        api.create(schedule="manual")
        assert "Nothing is due in the next 24 hours." in section(overview(api), "next")


class TestTheStrip:
    def test_has_24_hours_on_either_side_of_now(self, api):
        api.create()
        hours = section(overview(api), "hours")
        assert hours.count('<li class="past') == 24
        assert hours.count('<li class="coming') == 24

    def test_each_bar_is_a_link_and_also_in_the_table(self, api):
        job_id = api.create(command="false", schedule="0 * * * *")
        run_now(api, job_id)
        api.await_job(job_id, error_count=1)
        hours = section(overview(api), "hours")
        bars, table = hours.partition("<details")[::2]
        assert re.search(r'<a href="/runs\?since=[^"]*&amp;until=[^"]*">', bars)
        assert re.search(r"\d+ failed", text(bars))
        # In each hour but the current one.
        assert bars.count('<a href="/jobs?sort=next">') == table.count('<a href="/jobs?sort=next">') == 23
