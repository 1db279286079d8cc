"""Statistics: the totals over all jobs, and the runs of one job."""

from datetime import UTC, datetime, timedelta

import pytest
from samples import NEVER


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestTotals:
    def test_without_jobs_they_are_zero_and_their_times_are_never(self, idle_api):
        stats = idle_api.ask("GET", "/api/v1/stats/").json
        created = stats["Stats"].pop("created")
        assert stats == {
            "Stats": {
                "active_jobs": 0,
                "disabled_jobs": 0,
                "jobs": 0,
                "error_count": 0,
                "success_count": 0,
                "next_run_at": NEVER,
                "last_attempted_run": NEVER,
            }
        }
        assert abs(datetime.now(UTC) - instant(created)) < timedelta(seconds=5)

    def test_they_count_disabled_jobs_separately(self, idle_api):
        idle_api.create()
        idle_api.create()
        idle_api.create(disabled=True)
        totals = idle_api.totals()
        assert (totals["jobs"], totals["active_jobs"], totals["disabled_jobs"]) == (3, 2, 1)

    def test_the_next_run_is_the_earliest_of_the_jobs_that_are_not_disabled(self, idle_api):
        idle_api.create(schedule="R/2098-01-01T00:00:00Z/PT1H", disabled=True)
        idle_api.create(schedule="R/2099-03-01T00:00:00Z/PT1H")
        idle_api.create(schedule="R/2099-02-01T00:00:00Z/PT1H")
        assert idle_api.totals()["next_run_at"] == "2099-02-01T00:00:00Z"

    def test_they_count_successful_runs_and_every_failed_attempt(self, api):
        good = api.create(schedule=None)
        bad = api.create(schedule=None, command="false", retries=2)
        api.await_job(good, is_done=True)
        job = api.await_job(bad, is_done=True)
        totals = api.totals()
        assert (totals["success_count"], totals["error_count"]) == (1, 3)
        assert instant(totals["last_attempted_run"]) >= instant(job["last_attempted_run"])

    def test_a_deleted_job_takes_its_counts_with_it(self, api):
        job_id = api.create(schedule=None)
        api.await_job(job_id, is_done=True)
        api.ask("DELETE", f"/api/v1/job/{job_id}/")
        assert api.totals() | {"last_attempted_run": ""} == {
            "active_jobs": 0,
            "disabled_jobs": 0,
            "jobs": 0,
            "error_count": 0,
            "success_count": 0,
            "next_run_at": NEVER,
            "last_attempted_run": "",
        }


class TestTheRunsOfAJob:
    def test_a_job_that_never_ran_has_null(self, idle_api):
        assert idle_api.ask("GET", f"/api/v1/job/stats/{idle_api.create()}/").json == {"job_stats": None}

    def test_a_run_has_its_job_time_attempt_end_and_duration_in_nanoseconds(self, api):
        before = datetime.now(UTC)
        job_id = api.create(schedule=None, command="sleep 0.05")
        job = api.await_job(job_id, is_done=True)
        stats = api.ask("GET", f"/api/v1/job/stats/{job_id}/").json
        (run,) = stats["job_stats"]
        ran_at, duration, run_id = run.pop("ran_at"), run.pop("execution_duration"), run.pop("run_id")
        assert stats == {"job_stats": [{"job_id": job_id, "number_of_retries": 0, "success": True}]}
        assert before <= instant(job["last_attempted_run"]) <= instant(ran_at) <= instant(job["last_success"])
        assert ran_at.endswith("Z")
        assert type(duration) is int
        assert 50_000_000 <= duration < 5_000_000_000
        assert run_id > 0

    def test_a_retried_slot_is_one_entry_with_its_retries_and_last_attempt(self, api):
        job_id = api.create(schedule=None, command="false", retries=2)
        api.await_job(job_id, is_done=True)
        [stat] = api.ask("GET", f"/api/v1/job/stats/{job_id}").json["job_stats"]
        runs = api.ask("GET", f"/api/v1/job/{job_id}/runs").json["runs"]
        assert [run["attempt"] for run in runs] == [2, 1, 0]
        assert (stat["number_of_retries"], stat["success"], stat["run_id"]) == (2, False, runs[0]["id"])
        assert (stat["ran_at"], stat["execution_duration"]) == (runs[0]["started_at"], round(runs[0]["duration"] * 1e9))

    def test_each_start_is_one_entry_oldest_first(self, api):
        job_id = api.create()
        started = [api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"] for _ in range(3)]
        api.await_job(job_id, success_count=3)
        stats = api.ask("GET", f"/api/v1/job/stats/{job_id}").json["job_stats"]
        assert [stat["run_id"] for stat in stats] == started
        assert api.job(job_id)["metadata"]["number_of_finished_runs"] == 3

    def test_a_job_in_a_list_has_none(self, api):
        job_id = api.create(schedule=None)
        api.await_job(job_id, is_done=True)
        assert api.job(job_id)["stats"]
        assert api.ask("GET", "/api/v1/job/").json["jobs"][job_id]["stats"] is None

    def test_a_run_that_is_running_is_not_among_them(self, api):
        job_id = api.create(schedule=None, command="sleep 5")
        running = api.await_job(job_id, is_done=False)
        assert (running["stats"], running["success_count"]) == (None, 0)
        assert api.ask("GET", f"/api/v1/job/stats/{job_id}/").json == {"job_stats": None}


@pytest.fixture(scope="class")
def often(live_kala):
    """A Kala, a job in it that was started 105 times, and the ids of its runs."""
    api = live_kala.renew()
    job_id = api.create()
    runs = [api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"] for _ in range(105)]
    api.await_job(job_id, success_count=105)
    return api, job_id, runs


class TestALongHistory:
    def test_a_job_has_its_newest_100_and_its_stats_have_all(self, often):
        api, job_id, runs = often
        every = api.ask("GET", f"/api/v1/job/stats/{job_id}/").json["job_stats"]
        assert [stat["run_id"] for stat in every] == runs
        assert api.job(job_id)["stats"] == every[5:]

    def test_limit_returns_the_newest_and_before_the_earlier_ones(self, often):
        api, job_id, runs = often
        found, query = [], "?limit=20"
        while page := api.ask("GET", f"/api/v1/job/stats/{job_id}/{query}").json["job_stats"]:
            assert len(page) <= 20
            found = [stat["run_id"] for stat in page] + found
            query = f"?limit=20&before={page[0]['run_id']}"
        assert found == runs
