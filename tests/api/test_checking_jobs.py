"""What a new job or a change would be, without storing it."""

import pytest
from samples import FAR, JOB, UNKNOWN


def check(api, job, query=""):
    return api.ask("POST", f"/api/v1/job/check/{query}", job)


class TestCheckingANewJob:
    def test_the_response_is_the_job_as_it_would_be_and_its_next_slots(self, idle_api):
        given = JOB | {"retries": 2, "schedule": "R2/2099-01-01T00:00:00Z/P1D"}
        checked = check(idle_api, given)
        assert checked.status == 200
        created = idle_api.job(idle_api.create(**given))
        assert checked.json == {
            "job": created | {"id": ""},
            "slots": [f"2099-01-0{day}T00:00:00Z" for day in (1, 2, 3)],
        }

    def test_at_most_ten_slots_are_shown(self, idle_api):
        assert len(check(idle_api, JOB).json["slots"]) == 10

    def test_a_new_job_with_jitter_shows_its_slot_as_its_delay_is_not_chosen_yet(self, idle_api):
        found = check(idle_api, JOB | {"schedule": "R/2099-01-01T00:00:00Z/P1D", "jitter": "PT5H"}).json
        assert found["job"]["next_run_at"] == found["slots"][0] == "2099-01-01T00:00:00Z"

    def test_a_job_that_waits_for_its_parents_has_no_slots(self, idle_api):
        parent = idle_api.create(name="parent")
        found = check(idle_api, {"name": "a", "command": "true", "parent_jobs": ["parent"]}).json
        assert (found["job"]["parent_jobs"], found["slots"]) == ([parent], [])

    def test_a_job_without_a_schedule_has_one_slot_and_does_not_run(self, api):
        found = check(api, {"name": "a", "command": "true"}).json
        assert found["slots"] == [found["job"]["next_run_at"]]
        other = api.create(schedule=None)
        api.await_job(other, success_count=1)
        assert {run["job_id"] for run in api.ask("GET", "/api/v1/run/").json["runs"]} == {other}

    @pytest.mark.parametrize(
        ("fields", "start"),
        [
            ({"cron": "* * * * *"}, "cron: unknown field"),
            ({"retries": -1}, "retries: "),
            ({"timeout": "1h"}, "timeout: "),
            ({"pool": "nowhere"}, "pool: "),
            ({"schedule": "R9/2015-06-04T19:25:16Z/PT10S"}, "schedule: "),
            ({"schedule": None, "parent_jobs": [UNKNOWN]}, "parent_jobs: "),
            ({"on_failure_job": "nobody"}, "on_failure_job: "),
            ({"user": "nobody-here"}, "user: "),
            ({"command": "{{ nothing }}", "TemplateDelimiters": "{{ }}"}, ""),
        ],
    )
    def test_a_job_that_could_not_be_created_is_refused_with_the_same_sentence(self, untouched, fields, start):
        checked, created = check(untouched.api, JOB | fields), untouched.create(fields)
        untouched.assert_refused(checked, created, start=start)
        assert checked.error == created.error

    def test_a_cycle_is_found(self, untouched):
        # `job` runs after `other`, and would run again after each failure of the new one.
        cycle = {"name": "b", "command": "true", "parent_jobs": [untouched.id], "on_failure_job": untouched.other}
        untouched.assert_refused(check(untouched.api, cycle), start="parent_jobs, on_failure_job: ")


class TestCheckingAChange:
    def test_the_response_is_the_job_as_the_change_would_make_it(self, idle_api):
        job_id = idle_api.create(name="one", retries=1)
        for named in (job_id, "one"):
            found = check(idle_api, {"retries": 5, "tags": ["a"]}, f"?job={named}")
            assert found.status == 200
            assert found.json["job"] == idle_api.job(job_id) | {"retries": 5, "tags": ["a"]}
        assert found.json["slots"][0] == "2099-01-01T00:00:00Z"

    def test_a_change_of_jitter_shows_when_the_job_would_run(self, idle_api):
        job_id = idle_api.create(schedule="R/2099-01-01T00:00:00Z/P1D")
        shown = check(idle_api, {"jitter": "PT5H"}, f"?job={job_id}").json["job"]["next_run_at"]
        assert idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"jitter": "PT5H"}).json["job"]["next_run_at"] == shown
        assert shown > "2099-01-01T00:00:00Z"

    def test_a_change_that_would_be_refused_is_refused_with_the_same_sentence(self, untouched):
        for change in ({"retries": -1}, {"parent_jobs": [untouched.id], "schedule": None}, {"name": ""}):
            checked = check(untouched.api, change, f"?job={untouched.id}")
            patched = untouched.api.ask("PATCH", f"/api/v1/job/{untouched.id}/", change)
            untouched.assert_refused(checked, patched)
            assert checked.error == patched.error

    def test_a_change_of_an_unknown_job_is_404(self, idle_api):
        assert check(idle_api, {}, f"?job={UNKNOWN}").status == 404


def test_checks_leave_no_trace(untouched):
    assert check(untouched.api, JOB | {"tags": ["a"]}).status == 200
    assert check(untouched.api, {"schedule": FAR, "parent_jobs": None}, f"?job={untouched.id}").status == 200
    untouched.assert_refused()
    assert untouched.api.jobs("?tag=a") == []
