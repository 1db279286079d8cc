"""Lists of summaries over HTTP."""

import pytest
from samples import FAR

from kala.core.errors import Busy

ALL = "/api/v1/job/?fields=summary"


def names(response) -> list[str]:
    assert response.status == 200, response.body
    return [job["name"] for job in response.json["jobs"]]


class TestAListOfSummaries:
    def test_shows_what_a_job_is_and_when_it_is_due(self, idle_api):
        job_id = idle_api.create(name="backup", owner="ann@example.org", tags=["nightly", "db"])
        assert idle_api.ask("GET", ALL).json == {
            "jobs": [
                {
                    "id": job_id,
                    "name": "backup",
                    "owner": "ann@example.org",
                    "tags": ["nightly", "db"],
                    "schedule": FAR,
                    "sentence": "Every hour from 1 January 2099 at 00:00 (UTC)",
                    "next_run_at": "2099-01-01T00:00:00Z",
                    "disabled": False,
                    "is_done": False,
                    "state": ["new"],
                    "error_count": 0,
                    "last_success": None,
                    "last_run": None,
                    "recent": [],
                }
            ],
            "next_after": None,
        }

    def test_says_when_each_job_runs(self, idle_api):
        nightly = {"schedule": "30 2 * * 1-5", "timezone": "Europe/Berlin", "jitter": "PT10M"}
        first, second = idle_api.create(name="backup", **nightly), idle_api.create(name="by hand", schedule="manual")
        idle_api.create(name="one parent", schedule=None, parent_jobs=[first])
        idle_api.create(name="any parent", schedule=None, parent_jobs=[first, second])
        idle_api.create(name="all parents", schedule=None, parent_jobs=[first, second], parents_mode="all")
        idle_api.create(name="at once", schedule=None)
        assert {job["name"]: job["sentence"] for job in idle_api.ask("GET", ALL).json["jobs"]} == {
            "backup": "At 02:30 on weekdays (Europe/Berlin), up to 10 minutes later",
            "by hand": "By hand or by another job",
            "one parent": "After its parent succeeds",
            "any parent": "After any of its parents succeeds",
            "all parents": "After all of its parents succeed",
            "at once": "Once, when it is created",
        }

    def test_says_the_minute_that_an_h_stands_for(self, idle_api):
        for name in ("backup", "report"):
            idle_api.create(name=name, schedule="H H * * *", timezone="UTC")
        sentences = {job["sentence"] for job in idle_api.ask("GET", ALL).json["jobs"]}
        assert sentences == {"At 20:38 every day (UTC)", "At 03:24 every day (UTC)"}

    def test_shows_how_the_last_runs_ended(self, api):
        job_id = api.create(schedule=None, command="false")
        api.await_job(job_id, is_done=True)
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"command": "true"})
        api.ask("POST", f"/api/v1/job/start/{job_id}/")
        [run, _] = api.await_job(job_id, success_count=1)["stats"][::-1]
        [job] = api.ask("GET", f"{ALL}&recent=5").json["jobs"]
        assert job["recent"] == ["succeeded", "failed"]
        assert job["state"] == ["ok", "done"]
        assert (job["last_run"]["id"], job["last_run"]["state"]) == (run["run_id"], "succeeded")
        assert job["last_run"]["duration"] == run["execution_duration"] / 1e9

    def test_shows_the_newest_runs_whatever_their_state(self, api):
        job_id = api.create(command="exit 3", schedule="manual", retries=1)
        [first] = [api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]]
        api.await_job(job_id, error_count=2)
        api.ask("POST", f"/api/v1/job/disable/{job_id}/")
        [job] = api.ask("GET", f"{ALL}&runs=20").json["jobs"]
        assert [(run["id"], run["state"]) for run in job["runs"]] == [(first + 1, "failed"), (first, "failed")]
        stored = api.ask("GET", f"/api/v1/job/{job_id}/runs/").json["runs"]
        assert [run["duration"] for run in job["runs"]] == [run["duration"] for run in stored]
        [job] = api.ask("GET", f"{ALL}&runs=1").json["jobs"]
        assert [run["id"] for run in job["runs"]] == [first + 1]

    def test_a_job_without_runs_has_an_empty_list_of_them(self, idle_api):
        idle_api.create()
        [job] = idle_api.ask("GET", f"{ALL}&runs=20").json["jobs"]
        assert job["runs"] == []

    def test_a_run_that_has_not_ended_has_no_duration(self, idle_api):
        job_id = idle_api.create(schedule="manual")
        idle_api.ask("POST", f"/api/v1/job/start/{job_id}/")
        [job] = idle_api.ask("GET", f"{ALL}&runs=20").json["jobs"]
        assert [(run["state"], run["duration"]) for run in job["runs"]] == [("queued", None)]

    def test_can_be_limited_to_some_ids(self, some):
        by_name = {job["name"]: job["id"] for job in some.ask("GET", ALL).json["jobs"]}
        found = some.ask("GET", f"{ALL}&sort=name&ids={by_name['D']},unknown,{by_name['a']}")
        assert names(found) == ["a", "D"]
        assert names(some.ask("GET", f"{ALL}&q={by_name['C']}")) == ["C"]
        assert names(some.ask("GET", f"{ALL}&q={by_name['C'][:-1]}")) == []

    def test_can_be_limited_to_jobs_with_a_slot_to_come(self, some):
        some.create(name="by hand", schedule="manual")
        assert names(some.ask("GET", f"{ALL}&sort=name&planned=true")) == ["a", "b", "C", "D"]
        assert names(some.ask("GET", f"{ALL}&planned=false")) == ["by hand"]

    def test_a_disabled_job_is_not_due(self, idle_api):
        idle_api.create(disabled=True)
        [job] = idle_api.ask("GET", ALL).json["jobs"]
        assert (job["next_run_at"], job["state"]) == (None, ["new", "disabled"])

    @pytest.fixture
    def some(self, idle_api):
        for name in ("b", "C", "a", "D"):
            idle_api.create(name=name, disabled=name == "C", owner="ann" if name > "a" else "")
        return idle_api

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", "bCaD"),
            ("&sort=created", "bCaD"),
            ("&sort=-created", "DaCb"),
            ("&sort=name", "abCD"),
            ("&sort=-name", "DCba"),
            ("&sort=next,name", "abDC"),
            ("&sort=-next,-name", "DbaC"),
            ("&sort=last,name", "abCD"),
            ("&sort=failures,-name", "DCba"),
            ("&sort=name&limit=2", "ab"),
            ("&sort=name&q=c", "C"),
            ("&sort=name&disabled=false", "abD"),
            ("&sort=name&state=disabled", "C"),
            ("&sort=name&owner=ann", "b"),
            ("&state=running,queued", ""),
        ],
    )
    def test_can_be_sorted_and_filtered(self, some, query, expected):
        assert "".join(names(some.ask("GET", ALL + query))) == expected

    @pytest.mark.parametrize("sort", ["created", "-name", "next,name", "-last,-name", "state,-created"])
    def test_has_pages_that_follow_each_other(self, idle_api, sort):
        idle_api.create_many(7)
        expected = names(idle_api.ask("GET", f"{ALL}&sort={sort}"))
        found, after = [], ""
        while after is not None:
            response = idle_api.ask("GET", f"{ALL}&sort={sort}&limit=2{after and f'&after={after}'}")
            found += names(response)
            after = response.json["next_after"]
        assert found == expected

    def test_a_page_begins_after_the_last_job_even_if_that_was_deleted(self, some):
        first = some.ask("GET", f"{ALL}&sort=name&limit=2").json
        some.ask("DELETE", f"/api/v1/job/{first['jobs'][1]['id']}/")
        assert names(some.ask("GET", f"{ALL}&sort=name&after={first['next_after']}")) == ["C", "D"]

    @pytest.mark.parametrize(("query", "total"), [("", 4), ("&limit=1", 4), ("&q=a", 1), ("&disabled=0", 3)])
    def test_counts_all_jobs_that_match_on_request(self, some, query, total):
        found = some.ask("GET", f"{ALL}&count=1{query}").json
        assert (found["total"], found["is_total_capped"]) == (total, False)

    def test_counts_up_to_a_limit(self, some, monkeypatch):
        monkeypatch.setattr("kala.api.job_lists._MOST_COUNTED", 2)
        found = some.ask("GET", f"{ALL}&count=1&disabled=false").json
        assert (found["total"], found["is_total_capped"]) == (2, True)
        assert some.ask("GET", f"{ALL}&count=1").json["total"] == 4

    def test_the_other_list_can_be_filtered_by_state_as_well(self, some):
        assert len(some.jobs("?state=disabled")) == 1

    @pytest.mark.parametrize(
        ("query", "start"),
        [
            ("?fields=all", "fields: must be summary, not "),
            ("?fields=summary&sort=size", "sort: must be "),
            ("?fields=summary&sort=", "sort: must be "),
            ("?fields=summary&sort=name,-name", "sort: must be "),
            ("?fields=summary&sort=name;drop", "sort: must be "),
            ("?fields=summary&recent=21", "recent: must be "),
            ("?fields=summary&limit=1001", "limit: must be between 1 and 1000 with fields=summary, not 1001"),
            ("?fields=summary&state=bad", "state: must be "),
            ("?fields=summary&count=many", "count: must be "),
            ("?fields=summary&after=x", "after: must be the next_after of a page with the same sort, not "),
            ("?fields=summary&after=%C3%A9", "after: must be "),
            ("?fields=summary&sort=name&after=WyIiLFsxXV0", "after: must be "),
            ("?fields=summary&after=WyIiLFs5OTk5OTk5OTk5OTk5OTk5OTk5OTldXQ", "after: must be "),
            ("?sort=name", "sort: only possible with fields=summary; "),
            ("?fields=summary&runs=21", "runs: must be "),
            ("?fields=summary&ids=a,,b", "ids: must be up to 100 ids of jobs, "),
            ("?fields=summary&planned=soon", "planned: must be "),
            ("?runs=3", "runs: only possible with fields=summary; "),
            ("?recent=3", "recent: only possible with fields=summary; "),
            ("?count=1", "count: only possible with fields=summary; "),
        ],
    )
    def test_refuses_bad_parameters(self, untouched, query, start):
        untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/job/{query}"), start=start)


class TestTheSummary:
    def test_has_what_goes_on_in_all_jobs(self, api):
        api.create(disabled=True)
        failing = api.create(schedule=None, command="false")
        api.await_job(failing, is_done=True)
        busy = api.create(command="sleep 60")
        for _ in range(3):
            api.ask("POST", f"/api/v1/job/start/{busy}/")
        found = api.ask("GET", "/api/v1/summary/").json["summary"]
        del found["created"]
        assert found.pop("running") + found.pop("starting") == 1
        # Earlier tests may have left skipped runs.
        assert found.pop("skipped_24h") >= 0
        assert found == {
            "jobs": 3,
            "disabled": 1,
            "failing": 1,
            "queued": {"total": 2, "worker": 0, "pool": 0, "job": 2, "retry": 0, "disabled": 0},
            "next_run_at": "2099-01-01T00:00:00Z",
        }
        assert api.ask("POST", "/api/v1/job/bulk/", {"action": "cancel", "ids": [busy]}).json["done"] == 1


class TestTheLastLine:
    @pytest.fixture
    def last_run(self, api):
        def last_run(command: str) -> dict:
            job_id = api.create(command=command)
            api.ask("POST", f"/api/v1/job/start/{job_id}/")
            api.await_job(job_id, error_count=1)
            [job] = api.ask("GET", f"{ALL}&last_line=true").json["jobs"]
            return job["last_run"]

        return last_run

    def test_comes_with_how_the_run_ended(self, last_run):
        told = last_run("echo loading; echo no such table >&2; exit 3")
        assert (told["message"], told["last_line"]) == ("exit status 3", "no such table")

    def test_is_found_in_a_large_output(self, last_run):
        assert last_run("seq 200000; exit 1")["last_line"] == "200000"

    def test_may_be_missing(self, last_run):
        assert last_run("exit 1")["last_line"] == ""

    def test_is_unknown_when_the_run_is_deleted(self, api, last_run):
        api.ask("DELETE", f"/api/v1/run/{last_run('echo gone; exit 1')['id']}/")
        [job] = api.ask("GET", f"{ALL}&last_line=true").json["jobs"]
        assert (job["last_run"]["message"], job["last_run"]["last_line"]) == (None, None)

    def test_is_unknown_when_the_output_cannot_be_read(self, api, last_run, monkeypatch):
        def refuse(_):
            raise Busy("storage: cannot read the output: I/O error")

        monkeypatch.setattr(api.app._lists._outputs, "open", refuse)
        told = last_run("echo lost; exit 1")
        assert (told["message"], told["last_line"]) == ("exit status 1", None)

    def test_is_not_there_unless_asked_for(self, api, last_run):
        last_run("exit 1")
        [job] = api.ask("GET", ALL).json["jobs"]
        assert set(job["last_run"]) == {"id", "state", "ended_at", "duration"}

    def test_is_told_of_100_jobs_at_most(self, api):
        response = api.ask("GET", f"{ALL}&last_line=true&limit=101")
        assert response.status == 400
        assert response.error == "limit: must be between 1 and 100 with last_line, not 101"
        assert api.ask("GET", "/api/v1/job/?last_line=true").error.startswith("last_line: only possible with")


def test_a_summary_says_when_the_job_last_succeeded(api):
    job_id = api.create()
    api.ask("POST", f"/api/v1/job/start/{job_id}/")
    ended = api.await_job(job_id, success_count=1)["last_success"]
    [job] = api.ask("GET", ALL).json["jobs"]
    assert job["last_success"] == ended
