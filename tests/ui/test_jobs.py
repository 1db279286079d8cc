"""The list of jobs, as HTML."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest


def text(response) -> str:
    assert response.status == 200, response.body
    return response.body.decode()


def names(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'<th scope="row"><a href="[^"]+">(.*?)</a>', page)]


def row(page: str, job_id: str) -> str:
    return re.search(rf'<tr id="job-{job_id}".*?</tr>', page, re.DOTALL)[0]


def link(page: str, label: str) -> str:
    return unescape(re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{label}</a>', page)[1])


class TestAList:
    def test_shows_what_a_job_is_and_when_it_runs(self, api):
        job_id = api.create(
            name="backup", owner="ann@example.org", tags=["db"], schedule="30 2 * * *", timezone="Europe/Berlin"
        )
        shown = row(text(api.ask("GET", "/jobs")), job_id)
        assert "At 02:30 every day (Europe/Berlin)" in shown
        assert "ann@example.org" in shown
        assert "/jobs?tag=db" in shown
        assert re.search(r'<td data-label="next"><time datetime="[^"]+" title="[^"]+">in \d+ ', shown)

    def test_shows_what_a_job_is_called_as_text(self, api):
        api.create(name="<script>alert(1)</script>", owner="<i>")
        page = text(api.ask("GET", "/jobs"))
        assert "<script>alert" not in page
        assert "<i>" not in page
        assert names(page) == ["<script>alert(1)</script>"]

    def test_says_how_many_of_the_latest_runs_failed_with_a_link_to_each(self, api):
        job_id = api.create(command="exit 3", schedule="manual")
        run = api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]
        api.await_job(job_id, error_count=1)
        shown = row(text(api.ask("GET", "/jobs")), job_id)
        assert "1 of the last 1 failed" in shown
        assert f"<a href=/runs/{run} tabindex=-1><path class=failed " in shown

    def test_has_pages_of_fifty(self, api):
        api.create_many(60)
        first = text(api.ask("GET", "/jobs?sort=created"))
        assert "1–50 of 60" in first
        assert "First page" not in first
        second = text(api.ask("GET", link(first, "Next page")))
        assert "51–60 of 60" in second
        assert "Next page" not in second
        assert names(first) + names(second) == [f"job {number}" for number in range(60)]
        assert names(text(api.ask("GET", link(second, "First page")))) == names(first)

    def test_is_small_and_has_few_elements(self, api):
        api.create_many(50, tags=("nightly", "db"), owner="ops@example.org")
        page = text(api.ask("GET", "/jobs"))
        # Up to a thousand bars come on top, with about 75 bytes and two elements each.
        assert len(page) < 75_000
        assert len(re.findall("<[a-z]", page)) < 1_450

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", "abCd"),
            ("?sort=-name", "dCba"),
            ("?sort=created", "daCb"),
            ("?q=c", "C"),
            ("?owner=ann", "b"),
            ("?tag=x", "ad"),
            ("?state=disabled", "a"),
            ("?planned=false", "C"),
            ("?planned=true&tag=x&q=", "ad"),
        ],
    )
    def test_can_be_sorted_and_filtered(self, api, query, expected):
        api.create(name="d", tags=["x"])
        api.create(name="a", tags=["x", "y"], disabled=True)
        api.create(name="C", schedule="manual")
        api.create(name="b", owner="ann")
        assert "".join(names(text(api.ask("GET", f"/jobs{query}")))) == expected

    def test_finds_a_job_by_its_id(self, api):
        api.create(name="other")
        job_id = api.create(name="mine")
        assert names(text(api.ask("GET", f"/jobs?q={job_id}"))) == ["mine"]

    def test_says_by_which_column_it_is_sorted(self, api):
        api.create()
        page = text(api.ask("GET", "/jobs?owner=&tag=&sort=-failures"))
        assert re.findall(r'aria-sort="(\w+)"><a href="([^"]+)">([^<]+)', page) == [
            ("descending", "/jobs?sort=failures", "Latest runs")
        ]
        assert link(page, "Name") == "/jobs?sort=name"
        assert link(page, "Last") == "/jobs?sort=-last"

    def test_keeps_filters_when_it_is_sorted_or_filtered_again(self, api):
        api.create(name="a", owner="ann", disabled=True)
        page = text(api.ask("GET", "/jobs?owner=ann&disabled=true"))
        assert parse_qs(urlsplit(link(page, "Next")).query) == {
            "owner": ["ann"],
            "disabled": ["true"],
            "sort": ["next"],
        }
        assert '<input type="hidden" name="disabled" value="true">' in page

    def test_refuses_a_filter_that_it_does_not_know(self, api):
        for query in ("colour=red", "limit=1", "fields=summary", "after=x", "state=odd"):
            response = api.ask("GET", f"/jobs?{query}")
            assert response.status == 400
            assert 'role="alert"' in response.body.decode()


class TestAnEmptyList:
    def test_says_how_to_create_a_job(self, api):
        page = text(api.ask("GET", "/jobs"))
        assert "There are no jobs yet." in page
        assert link(page, "Create a job") == "/jobs/new"
        assert f"curl http://{api.host}:{api.port}/api/v1/job/" in page

    def test_has_a_button_that_removes_each_filter(self, api):
        api.create()
        page = text(api.ask("GET", "/jobs?state=failing&owner=ann"))
        assert "No job matches" in page
        assert link(page, "Remove state=failing") == "/jobs?owner=ann&sort=name"
        assert link(page, "Remove owner=ann") == "/jobs?state=failing&sort=name"
