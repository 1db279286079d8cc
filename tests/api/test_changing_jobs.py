"""How jobs are changed over HTTP: replaced and patched."""

import http.client
import http.server
import json
import threading
from contextlib import closing

import pytest
from samples import FAR, NEVER, NO_COUNTS, REMOTE, UNKNOWN, local


class TestReplacingAJob:
    def test_put_responds_with_the_new_state_of_the_job(self, idle_api):
        job_id = idle_api.create()
        response = idle_api.ask("PUT", f"/api/v1/job/{job_id}/", {"name": "b", "command": "false", "schedule": FAR})
        assert response.status == 200
        assert response.json == idle_api.ask("GET", f"/api/v1/job/{job_id}/").json
        assert (response.json["job"]["id"], response.json["job"]["name"]) == (job_id, "b")

    def test_put_resets_fields_that_are_not_given(self, idle_api):
        plain = idle_api.job(idle_api.create())
        job_id = idle_api.create(name="b", owner="me@b", retries=3, epsilon="PT1H", disabled=True)
        idle_api.ask("PUT", f"/api/v1/job/{job_id}/", {"name": "job", "command": "true", "schedule": FAR})
        assert idle_api.job(job_id) == plain | {"id": job_id}

    def test_put_gives_the_default_owner_to_a_job_that_names_none(self, idle_api):
        job_id = idle_api.create(owner="me@b")
        with idle_api.configured(default_owner="ops@example.org"):
            idle_api.ask("PUT", f"/api/v1/job/{job_id}/", {"name": "job", "command": "true", "schedule": FAR})
        assert idle_api.job(job_id)["owner"] == "ops@example.org"

    def test_put_keeps_history_and_counts(self, api):
        job_id = api.create(schedule=None, command="false")
        before = api.await_job(job_id, is_done=True)
        after = api.ask("PUT", f"/api/v1/job/{job_id}/", {"name": "b", "command": "true", "schedule": FAR}).json["job"]
        kept = ("stats", "metadata", *NO_COUNTS)
        assert [after[name] for name in kept] == [before[name] for name in kept]
        assert (after["is_done"], after["next_run_at"]) == (False, "2099-01-01T00:00:00Z")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_putting_back_what_get_returned_changes_nothing(self, api, method):
        first = api.create()
        last = api.create(schedule=None, command="false", retries=1, on_failure_job=first)
        api.await_job(last, is_done=True)
        api.await_job(first, success_count=1)
        ids = [
            first,
            last,
            api.create(parent_jobs=[first], owner="me@b", disabled=True),
            api.create(type=1, remote_properties=REMOTE, TemplateDelimiters="{{ }}", epsilon="PT1H", retries=2),
            api.create(schedule="R2/2099-01-31T08:00:00/P1M", resume_at_next_scheduled_time=True),
        ]
        for job_id in ids:
            before = api.ask("GET", f"/api/v1/job/{job_id}/").body
            assert api.ask(method, f"/api/v1/job/{job_id}/", json.loads(before)["job"]).body == before
            assert api.ask("GET", f"/api/v1/job/{job_id}/").body == before

    def test_a_start_in_the_past_may_stay_but_not_be_set(self, api):
        old, new = api.create_soon(), api.create()
        job = api.await_job(old, is_done=True)
        assert api.ask("PUT", f"/api/v1/job/{old}/", job | {"name": "b"}).status == 200
        assert api.ask("PATCH", f"/api/v1/job/{new}/", {"schedule": job["schedule"]}).status == 400

    def test_a_new_schedule_takes_effect_immediately(self, api):
        job_id = api.create()
        api.soon(lambda start: api.ask("PATCH", f"/api/v1/job/{job_id}/", {"schedule": start}))
        assert api.await_job(job_id, is_done=True)["success_count"] == 1

    def test_a_job_that_loses_its_schedule_is_no_longer_due(self, idle_api):
        job_id = idle_api.create()
        job = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"schedule": None}).json["job"]
        assert (job["schedule"], job["next_run_at"]) == ("", NEVER)

    def test_a_child_may_change_its_parents(self, idle_api):
        first, second = idle_api.create(), idle_api.create()
        child = idle_api.create(parent_jobs=[first])
        idle_api.ask("PATCH", f"/api/v1/job/{child}/", {"parent_jobs": [second]})
        assert [idle_api.job(job_id)["dependent_jobs"] for job_id in (first, second)] == [None, [child]]
        idle_api.ask("PATCH", f"/api/v1/job/{child}/", {"parent_jobs": None, "schedule": FAR})
        assert idle_api.job(second)["dependent_jobs"] is None

    def test_put_may_disable_and_enable(self, idle_api):
        job_id = idle_api.create()
        for is_disabled in (True, False):
            given = {"name": "a", "command": "true", "schedule": FAR, "disabled": is_disabled}
            job = idle_api.ask("PUT", f"/api/v1/job/{job_id}/", given).json["job"]
            assert job["disabled"] is is_disabled
            assert idle_api.totals()["disabled_jobs"] == is_disabled


class TestPatchingAJob:
    def test_a_removed_owner_becomes_the_default_one(self, idle_api):
        job_id = idle_api.create(owner="me@b")
        with idle_api.configured(default_owner="ops@b"):
            response = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"owner": None})
        assert response.json["job"]["owner"] == "ops@b"

    @pytest.mark.parametrize(
        ("patch", "changed"),
        [
            ({}, {}),
            ({"name": "b"}, {"name": "b"}),
            ({"NAME": "b"}, {"name": "b"}),
            ({"owner": None}, {"owner": ""}),
            ({"retries": None, "epsilon": None}, {"retries": 0, "epsilon": ""}),
            ({"disabled": True}, {"disabled": True, "next_run_at": NEVER, "next_run_local": ""}),
            ({"schedule": "R/2098-01-01T00:00:00Z/P1D"},) * 2,
            ({"id": UNKNOWN, "stats": 1, "is_done": True, "metadata": {"success_count": 5}}, {}),
        ],
    )
    def test_only_given_fields_change(self, idle_api, patch, changed):
        job_id = idle_api.create(owner="me@b", retries=2, epsilon="PT1H")
        before = idle_api.job(job_id)
        if "schedule" in changed:
            changed = changed | {
                "next_run_at": "2098-01-01T00:00:00Z",
                "next_run_local": local("2098-01-01T00:00:00Z"),
            }
        response = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", patch)
        assert response.status == 200
        assert response.json["job"] == idle_api.job(job_id) == before | changed

    @pytest.mark.parametrize(
        ("patch", "changed"),
        [
            ({}, {}),
            ({"timeout": 7}, {"timeout": 7}),
            ({"Timeout": None}, {"timeout": 30}),
            ({"method": None, "body": None}, {"method": "GET", "body": ""}),
            ({"expected_response_codes": [200]}, {"expected_response_codes": [200]}),
            ({"expected_response_codes": None}, {"expected_response_codes": [200]}),
            ({"headers": None}, {"headers": None}),
            ({"headers": {"X-New": ["2"]}}, {"headers": REMOTE["headers"] | {"X-New": ["2"]}}),
            ({"headers": {"x-key": ["2"]}}, {"headers": REMOTE["headers"] | {"X-Key": ["2"]}}),
            ({"headers": {"X-Key": None}}, {"headers": {"Accept": ["text/plain", "text/html"]}}),
            ({"headers": {"X-Key": None, "accept": None}}, {"headers": None}),
            ({"headers": {"X-None": None}}, {}),
        ],
    )
    def test_remote_properties_are_merged_too(self, idle_api, patch, changed):
        job_id = idle_api.create(type=1, remote_properties=REMOTE)
        response = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"remote_properties": patch})
        assert response.status == 200, response.body
        assert response.json["job"]["remote_properties"] == REMOTE | changed

    def test_a_command_becomes_a_call_and_back(self, idle_api):
        job_id = idle_api.create()
        job = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"type": 1, "remote_properties": REMOTE}).json["job"]
        assert (job["type"], job["command"], job["remote_properties"]) == (1, "", REMOTE)
        job = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"type": 0, "command": "false"}).json["job"]
        assert (job["type"], job["command"], job["remote_properties"]["url"]) == (0, "false", "")

    def test_two_patches_at_the_same_time_are_both_kept(self, idle_api):
        job_id = idle_api.create()
        patches = [{"name": "b"}, {"owner": "me@b"}, {"retries": 5}, {"epsilon": "PT1H"}, {"command": "false"}]

        def patch(fields):
            with closing(http.client.HTTPConnection(idle_api.host, idle_api.port, timeout=5)) as connection:
                connection.request("PATCH", f"/api/v1/job/{job_id}/", json.dumps(fields))
                assert connection.getresponse().status == 200

        threads = [threading.Thread(target=patch, args=[fields]) for fields in patches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job = idle_api.job(job_id)
        assert all(fields.items() <= job.items() for fields in patches)
