"""Jobs over HTTP: how they are created, shown, changed, listed, started and deleted."""

import gzip
import http.client
import http.server
import json
import os
import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kala.api import jobs as job_routes
from kala.api import paging
from kala.api.http import Request
from kala.runner.cgroup import Groups

NEVER = "0001-01-01T00:00:00Z"
FAR = "R/2099-01-01T00:00:00Z/PT1H"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
COUNTS = {
    "success_count": 0,
    "last_success": NEVER,
    "error_count": 0,
    "last_error": NEVER,
    "last_attempted_run": NEVER,
}
REMOTE = {
    "url": "https://example.org/hook",
    "method": "POST",
    "body": "hello",
    "headers": {"Accept": ["text/plain", "text/html"], "X-Key": ["1"]},
    "timeout": 5,
    "expected_response_codes": [201, 204],
}


def soon(ask):
    """Return the response to `ask(schedule)` with a start in a moment, or later if that start has passed meanwhile."""
    for seconds in (0.05, 0.5, 3):
        response = ask(f"R0/{(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}")
        if response.status < 400:
            break
    return response


def create_soon(api) -> str:
    """Create a job that is due in a moment, and return its id."""
    return soon(
        lambda start: api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true", "schedule": start})
    ).json["id"]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestCreatingAJob:
    def test_the_response_is_its_id_a_uuid(self, idle_api):
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"})
        assert response.status == 201
        assert list(response.json) == ["id"]
        assert str(uuid.UUID(response.json["id"])) == response.json["id"]

    def test_a_field_that_is_not_given_has_its_default(self, idle_api):
        job_id = idle_api.create(name="backup", command="tar cf b.tar data")
        assert idle_api.ask("GET", f"/api/v1/job/{job_id}/").json == {
            "job": {
                "id": job_id,
                "name": "backup",
                "command": "tar cf b.tar data",
                "owner": "",
                "disabled": False,
                "dependent_jobs": None,
                "parent_jobs": None,
                "on_failure_job": "",
                "schedule": FAR,
                "retries": 0,
                "epsilon": "",
                "next_run_at": "2099-01-01T00:00:00Z",
                "retry_on": None,
                "retry_delay": "",
                "retry_backoff": 1.0,
                "retry_max_delay": "",
                "timeout": "",
                "overlap": "wait",
                "missed": "once",
                "missed_limit": 100,
                "start_deadline": "",
                "parents_mode": "any",
                "pool": "",
                "priority": 0,
                "env": None,
                "working_directory": "",
                "shell": "",
                "umask": "",
                "user": "",
                "memory_max": 0,
                "cpu_quota": 0,
                "tasks_max": 0,
                "keep_for": "",
                "keep_runs": 0,
                "keep_bytes": 0,
                "resume_at_next_scheduled_time": False,
                "type": 0,
                "remote_properties": {
                    "url": "",
                    "method": "",
                    "body": "",
                    "headers": None,
                    "timeout": 0,
                    "expected_response_codes": None,
                },
                "TemplateDelimiters": "",
                **COUNTS,
                "metadata": {**COUNTS, "number_of_finished_runs": 0},
                "stats": None,
                "is_done": False,
            }
        }

    def test_every_field_is_kept(self, idle_api):
        first, second, third = idle_api.create(), idle_api.create(), idle_api.create()
        given = {
            "name": "päckchen \N{SNOWMAN}",
            "command": "echo {{ .Name }}",
            "owner": "me@example.org",
            "disabled": True,
            "parent_jobs": [second, first],
            "on_failure_job": third,
            "retries": 3,
            "epsilon": "PT1H",
            "TemplateDelimiters": "{{ }}",
            "resume_at_next_scheduled_time": True,
            "type": 0,
        }
        job = idle_api.job(idle_api.create(**given))
        assert given.items() <= job.items()

    def test_a_remote_job_keeps_its_properties(self, idle_api):
        job = idle_api.job(idle_api.create(type=1, command=None, remote_properties=REMOTE))
        assert (job["type"], job["command"], job["remote_properties"]) == (1, "", REMOTE)

    def test_a_remote_job_by_default_gets_30_seconds_and_expects_200(self, idle_api):
        for empty in ({}, {"method": "", "timeout": 0, "expected_response_codes": []}):
            job = idle_api.job(idle_api.create(type=1, remote_properties={"url": "http://example.org", **empty}))
            assert job["remote_properties"] == {
                "url": "http://example.org",
                "method": "GET",
                "body": "",
                "headers": None,
                "timeout": 30,
                "expected_response_codes": [200],
            }

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "text/plain; charset=latin-1",
            "text/plain; charset=nonsense",
            "nonsense",
            ";;;",
            "",
        ],
    )
    def test_any_content_type_is_accepted(self, idle_api, content_type):
        body = {"name": "ä", "command": "true", "schedule": FAR}
        response = idle_api.ask("POST", "/api/v1/job/", body, Content_Type=content_type)
        assert response.status == 201
        assert idle_api.job(response.json["id"])["name"] == "ä"

    def test_a_chunked_body_is_accepted(self, idle_api):
        body = json.dumps({"name": "a", "command": "true", "schedule": FAR}).encode()
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        head = b"POST /api/v1/job/ HTTP/1.1\r\nHost: %HOST%\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert idle_api.send(head + chunks).status == 201

    def test_field_names_match_in_any_case(self, idle_api):
        given = {"NAME": "a", "Command": "true", "sChEdUlE": FAR, "templatedelimiters": "[[ ]]", "RETRIES": 2}
        job = idle_api.job(idle_api.ask("POST", "/api/v1/job/", given).json["id"])
        assert (job["name"], job["schedule"], job["TemplateDelimiters"], job["retries"]) == ("a", FAR, "[[ ]]", 2)

    def test_remote_field_names_match_in_any_case(self, idle_api):
        given = {name.upper(): value for name, value in REMOTE.items()}
        job = idle_api.job(idle_api.create(type=1, REMOTE_PROPERTIES=given))
        assert job["remote_properties"] == REMOTE

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (
                b'{"name": "a", "command": "true", "name": "b"}',
                "name: appears more than once in an object; use it once",
            ),
            (b'{"name": "a", "command": "true", "COMMAND": "b"}', "COMMAND: also given as command; use it once"),
        ],
    )
    def test_a_field_given_twice_is_refused(self, idle_api, body, sentence):
        assert idle_api.ask("POST", "/api/v1/job/", body).error == sentence
        assert idle_api.jobs() == []

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            (rb'"owner": "\ud800"', r'owner: must be a string without NUL characters or lone surrogates, not "\ud800"'),
            (b'"Retries": 1e400', "Retries: must be a whole number between 0 and 1000000, not 1e400"),
            (
                b'"retries": 1.0',
                "retries: must be a whole number between 0 and 1000000, written in digits only, not 1.0",
            ),
            (b'"retry_backoff": 1e400', "retry_backoff: must be a number between 1 and 1000, not 1e400"),
            (b'"epsilon": "P0.5D"', "epsilon: 'P0.5D' has a fraction of a day or month, "),
        ],
    )
    def test_an_invalid_value_is_shown_as_it_was_written(self, idle_api, given, sentence):
        response = idle_api.ask("POST", "/api/v1/job/", b'{"name": "a", "command": "true", %s}' % given)
        assert (response.status, response.error[: len(sentence)]) == (400, sentence)

    def test_null_means_not_given(self, idle_api):
        job = idle_api.job(idle_api.create())
        unset = idle_api.job(idle_api.create(**dict.fromkeys(set(job) - {"name", "command", "schedule"})))
        assert unset == job | {"id": unset["id"]}

    def test_null_means_not_given_within_remote_properties(self, idle_api):
        given = dict.fromkeys(REMOTE) | {"url": "http://example.org"}
        job = idle_api.job(idle_api.create(type=1, remote_properties=given))
        assert (job["remote_properties"]["method"], job["remote_properties"]["headers"]) == ("GET", None)

    def test_a_header_that_is_null_is_not_given(self, idle_api):
        given = REMOTE | {"headers": {"Accept": None, "X-Key": ["1"]}}
        job = idle_api.job(idle_api.create(type=1, remote_properties=given))
        assert job["remote_properties"]["headers"] == {"X-Key": ["1"]}

    def test_a_header_keeps_all_of_its_values_in_their_order(self, idle_api):
        given = REMOTE | {"headers": {"X": ["b", "a", "b"]}}
        job = idle_api.job(idle_api.create(type=1, remote_properties=given))
        assert job["remote_properties"]["headers"] == {"X": ["b", "a", "b"]}

    def test_a_user_unknown_to_this_machine_is_refused(self, idle_api, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true", "user": "nobody-of-this-name"})
        reason = 'user: "nobody-of-this-name" is not a user on this machine'
        assert (response.status, response.json) == (400, {"error": reason})

    @pytest.mark.parametrize(
        "given",
        [{"colour": "red"}, {"cron": None}, {"remote_properties": {"tls": {"verify": False}}}, {"command ": "false"}],
    )
    def test_an_unknown_field_is_refused_and_no_job_is_created(self, idle_api, given):
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | given)
        assert response.status == 400
        assert ": unknown field; " in response.error
        assert idle_api.jobs() == []

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"shedule": "R/2099-01-01T00:00:00Z/PT1H"}, "shedule: unknown field; did you mean schedule?"),
            ({"retryDelay": "PT1S"}, "retryDelay: unknown field; did you mean retry_delay?"),
            ({"retires": 3}, "retires: unknown field; did you mean retries?"),
            ({"Time_Out": "PT1H"}, "Time_Out: unknown field; did you mean timeout?"),
            (
                {"remote_properties": {"header": {}}},
                "remote_properties.header: unknown field; did you mean remote_properties.headers?",
            ),
        ],
    )
    def test_a_misspelt_field_is_refused_and_the_right_one_suggested(self, idle_api, given, sentence):
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | given)
        assert (response.status, response.json) == (400, {"error": sentence})

    def test_fields_that_only_kala_sets_are_ignored(self, idle_api):
        own = {
            "id": UNKNOWN,
            "dependent_jobs": [UNKNOWN],
            "next_run_at": "2031-01-01T00:00:00Z",
            "is_done": True,
            "stats": [{"job_id": UNKNOWN}],
            "success_count": 5,
            "error_count": "many",
            "last_success": 1,
            "last_error": {},
            "last_attempted_run": "yesterday",
            "metadata": {"success_count": 5},
        }
        plain, job = idle_api.job(idle_api.create()), idle_api.job(idle_api.create(**own))
        assert job == plain | {"id": job["id"]}

    def test_a_job_that_names_no_owner_gets_the_default_one(self, idle_api):
        with idle_api.configured(default_owner="ops@example.org"):
            owners = [
                idle_api.job(idle_api.create(**given))["owner"] for given in ({}, {"owner": None}, {"owner": "me@b"})
            ]
        assert owners == ["ops@example.org", "ops@example.org", "me@b"]

    def test_names_need_not_be_unique(self, idle_api):
        assert idle_api.create(name="a") != idle_api.create(name="a")

    def test_a_name_may_have_a_thousand_characters_and_a_command_128_kib(self, idle_api):
        name, command = "ä" * 1000, "x" * (128 * 1024 - 1)
        job = idle_api.job(idle_api.create(name=name, command=command))
        assert (job["name"], job["command"]) == (name, command)

    def test_a_command_may_have_lines_tabs_and_other_control_characters(self, idle_api):
        command = "cat <<E\n\ta\r\n\x01\x1b[0m\x7f\nE"
        assert idle_api.job(idle_api.create(command=command))["command"] == command

    @pytest.mark.parametrize(
        ("schedule", "next_run_at"),
        [
            ("R0/2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
            ("R2/2099-01-01T02:00:00+02:00/P1M", "2099-01-01T00:00:00Z"),
            ("R/2099-01-01T00:00:00.123456Z/PT1S", "2099-01-01T00:00:00.123456Z"),
            ("R/2099-W01-1T00:00:00Z/P1W", "2098-12-29T00:00:00Z"),
            ("R/9999-12-31T23:59:59Z/P1Y", "9999-12-31T23:59:59Z"),
        ],
    )
    def test_next_run_at_is_the_start_of_the_schedule_in_utc(self, idle_api, schedule, next_run_at):
        assert idle_api.job(idle_api.create(schedule=schedule))["next_run_at"] == next_run_at

    def test_a_disabled_job_has_no_next_run(self, idle_api):
        assert idle_api.job(idle_api.create(disabled=True))["next_run_at"] == NEVER


class TestRunningAJob:
    def test_a_job_without_a_schedule_runs_once_immediately_and_is_done(self, api):
        job = api.await_job(api.create(schedule=None), is_done=True)
        (run,) = job["stats"]
        assert run["success"] is True
        assert (job["success_count"], job["error_count"], job["next_run_at"]) == (1, 0, NEVER)

    def test_its_counts_are_at_the_top_level_and_in_its_metadata(self, api):
        job = api.await_job(api.create(schedule=None, command="false", retries=1), is_done=True)
        counts = {name: job[name] for name in COUNTS}
        assert job["metadata"] == counts | {"number_of_finished_runs": 1}
        assert (counts["success_count"], counts["error_count"], counts["last_success"]) == (0, 2, NEVER)
        assert instant(counts["last_attempted_run"]) <= instant(counts["last_error"])

    def test_a_due_job_runs(self, api):
        job = api.await_job(create_soon(api), is_done=True)
        assert job["success_count"] == 1

    def test_start_runs_it_now_and_keeps_its_schedule(self, api):
        job_id = api.create()
        assert api.ask("POST", f"/api/v1/job/start/{job_id}/").status == 204
        job = api.await_job(job_id, success_count=1)
        assert (job["next_run_at"], job["is_done"]) == ("2099-01-01T00:00:00Z", False)

    def test_start_responds_before_the_run_ends(self, api):
        job_id = api.create(command="sleep 5")
        assert api.ask("POST", f"/api/v1/job/start/{job_id}/").status == 204
        assert api.job(job_id)["metadata"]["number_of_finished_runs"] == 0

    def test_a_disabled_job_cannot_be_started(self, api):
        job_id = api.create(disabled=True, on_failure_job=api.create())
        response = api.ask("POST", f"/api/v1/job/start/{job_id}/")
        assert response.status == 409
        assert "is disabled; enable it" in response.error
        assert api.job(job_id)["last_attempted_run"] == NEVER

    def test_disable_and_enable_are_idempotent(self, idle_api):
        job_id = idle_api.create()
        for what, is_disabled, next_run_at in (("disable", True, NEVER), ("enable", False, "2099-01-01T00:00:00Z")):
            for _ in range(2):
                assert idle_api.ask("POST", f"/api/v1/job/{what}/{job_id}/").status == 204
                job = idle_api.job(job_id)
                assert (job["disabled"], job["next_run_at"]) == (is_disabled, next_run_at)

    def test_a_child_runs_after_its_parent(self, api):
        parent = api.create()
        child = api.create(parent_jobs=[parent])
        assert api.job(parent)["dependent_jobs"] == [child]
        api.ask("POST", f"/api/v1/job/start/{parent}/")
        assert api.await_job(child, success_count=1)["parent_jobs"] == [parent]

    def test_an_on_failure_job_runs_after_a_failure(self, api):
        cleaner = api.create()
        api.create(schedule=None, command="false", on_failure_job=cleaner)
        api.await_job(cleaner, success_count=1)

    def test_an_epsilon_beyond_the_calendar_lets_every_retry_run(self, api):
        job_id = api.create(schedule=None, command="false", retries=1, epsilon="P9999Y")
        assert api.await_job(job_id, is_done=True)["error_count"] == 2


class TestCallingAUrl:
    @pytest.fixture
    def hook(self):
        """A server that keeps its requests, and responses with the status in their path."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def response(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.server.got.append((self.command, self.path, dict(self.headers), body))
                self.send_response(int(self.path.strip("/")))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = response  # noqa: N815  the names that http.server looks for

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.got, server.url = [], f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            yield server
            server.shutdown()
            thread.join()

    def test_a_remote_job_sends_its_method_headers_and_body(self, api, hook):
        properties = REMOTE | {"url": f"{hook.url}/201"}
        job = api.await_job(api.create(type=1, schedule=None, remote_properties=properties), is_done=True)
        assert job["success_count"] == 1
        ((method, path, headers, body),) = hook.got
        assert (method, path, body) == ("POST", "/201", b"hello")
        assert (headers["Accept"], headers["X-Key"]) == ("text/plain, text/html", "1")

    def test_a_status_that_is_not_expected_is_an_error(self, api, hook):
        properties = {"url": f"{hook.url}/500"}
        job = api.await_job(api.create(type=1, schedule=None, remote_properties=properties), is_done=True)
        assert (job["success_count"], job["error_count"], len(hook.got)) == (0, 1, 1)

    def test_the_password_in_its_url_is_shown_only_in_the_job(self, api, caplog):
        caplog.set_level("INFO", "kala.runs")
        url = "http://user:TopSecret@127.0.0.1:9/x"
        job_id = api.create(type=1, schedule=None, remote_properties={"url": url})
        api.await_job(job_id, is_done=True)
        api.create()  # the engine has logged the step before
        responses = [api.ask("GET", path).body for path in ("/api/v1/run/", f"/api/v1/job/{job_id}/runs/")]
        shown = "GET http://user:***@127.0.0.1:9/x: Connection refused"
        assert all(shown.encode() in response for response in responses)
        assert shown in caplog.text
        assert "TopSecret" not in f"{responses}{caplog.text}{api.app.feed.after(0, 0)}"
        assert api.job(job_id)["remote_properties"]["url"] == url

    def test_its_url_and_body_may_be_templates(self, api, hook):
        properties = {"url": hook.url + "/{{ .Retries }}", "method": "POST", "body": "{{ name }}"}
        fields = {"type": 1, "schedule": None, "retries": 200, "TemplateDelimiters": "{{ }}"}
        job = api.await_job(api.create(**fields, name="hello", remote_properties=properties), is_done=True)
        assert job["success_count"] == 1
        assert [(path, body) for _, path, _, body in hook.got] == [("/200", b"hello")]


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
        kept = ("stats", "metadata", *COUNTS)
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
        old, new = create_soon(api), api.create()
        job = api.await_job(old, is_done=True)
        assert api.ask("PUT", f"/api/v1/job/{old}/", job | {"name": "b"}).status == 200
        assert api.ask("PATCH", f"/api/v1/job/{new}/", {"schedule": job["schedule"]}).status == 400

    def test_a_new_schedule_takes_effect_immediately(self, api):
        job_id = api.create()
        soon(lambda start: api.ask("PATCH", f"/api/v1/job/{job_id}/", {"schedule": start}))
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
            ({"disabled": True}, {"disabled": True, "next_run_at": NEVER}),
            ({"schedule": "R/2098-01-01T00:00:00Z/P1D"},) * 2,
            ({"id": UNKNOWN, "stats": 1, "is_done": True, "metadata": {"success_count": 5}}, {}),
        ],
    )
    def test_only_given_fields_change(self, idle_api, patch, changed):
        job_id = idle_api.create(owner="me@b", retries=2, epsilon="PT1H")
        before = idle_api.job(job_id)
        if "schedule" in changed:
            changed = changed | {"next_run_at": "2098-01-01T00:00:00Z"}
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


class TestDeletingJobs:
    def test_a_deleted_job_is_gone(self, idle_api):
        gone, left = idle_api.create(), idle_api.create()
        assert idle_api.ask("DELETE", f"/api/v1/job/{gone}/").status == 204
        assert idle_api.ask("GET", f"/api/v1/job/{gone}/").status == 404
        assert idle_api.ask("GET", f"/api/v1/job/stats/{gone}/").status == 404
        assert idle_api.ask("DELETE", f"/api/v1/job/{gone}/").status == 404
        assert idle_api.jobs() == [left]

    def test_a_child_without_another_parent_is_deleted_with_its_parent(self, idle_api):
        first, second = idle_api.create(), idle_api.create()
        only, both = idle_api.create(parent_jobs=[first]), idle_api.create(parent_jobs=[first, second])
        idle_api.ask("DELETE", f"/api/v1/job/{first}/")
        assert idle_api.jobs() == [second, both]
        assert idle_api.job(both)["parent_jobs"] == [second]
        assert idle_api.ask("GET", f"/api/v1/job/{only}/").status == 404

    def test_a_deleted_child_leaves_its_parent(self, idle_api):
        parent = idle_api.create()
        idle_api.ask("DELETE", f"/api/v1/job/{idle_api.create(parent_jobs=[parent])}/")
        assert idle_api.job(parent)["dependent_jobs"] is None

    def test_a_deleted_on_failure_job_is_no_longer_referenced(self, idle_api):
        cleaner = idle_api.create()
        job_id = idle_api.create(on_failure_job=cleaner)
        idle_api.ask("DELETE", f"/api/v1/job/{cleaner}/")
        assert idle_api.job(job_id)["on_failure_job"] == ""

    def test_all_jobs_can_be_deleted_at_once(self, idle_api):
        idle_api.create(parent_jobs=[idle_api.create()])
        assert idle_api.ask("DELETE", "/api/v1/job/all/").status == 204
        assert idle_api.ask("GET", "/api/v1/job/").json == {"jobs": {}}
        assert idle_api.totals()["jobs"] == 0


class TestListingJobs:
    def test_a_list_has_each_job_by_id_in_the_order_of_creation(self, idle_api):
        ids = [idle_api.create(name=name) for name in "cab"]
        assert idle_api.ask("GET", "/api/v1/job/").json == {"jobs": {job_id: idle_api.job(job_id) for job_id in ids}}
        assert idle_api.jobs() == ids

    @pytest.fixture
    def some(self, idle_api):
        """The ids of jobs by name, for the filters to find."""
        made = {
            "Nightly backup": idle_api.create(name="Nightly backup", owner="ann@example.org"),
            "backup 100%": idle_api.create(name="backup 100%", owner="bob@example.org", disabled=True),
            "report_a": idle_api.create(name="report_a", owner="ann@example.org", disabled=True),
            "report b": idle_api.create(name="report b"),
        }
        idle_api.ask("PATCH", f"/api/v1/job/{made['report b']}/", {"schedule": None})
        return made

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?q=", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?q=backup", ["Nightly backup", "backup 100%"]),
            ("?q=BACKUP", ["Nightly backup", "backup 100%"]),
            ("?q=report+b", ["report b"]),
            ("?q=report%20b", ["report b"]),
            ("?q=%25", ["backup 100%"]),
            ("?q=_", ["report_a"]),
            ("?q=%27%20OR%201=1", []),
            ("?q=\\", []),
            ("?q=*", []),
            ("?owner=ann@example.org", ["Nightly backup", "report_a"]),
            ("?owner=ann", []),
            ("?owner=", ["report b"]),
            ("?disabled=true", ["backup 100%", "report_a"]),
            ("?disabled=1", ["backup 100%", "report_a"]),
            ("?disabled=False", ["Nightly backup", "report b"]),
            ("?done=true", ["report b"]),
            ("?done=0", ["Nightly backup", "backup 100%", "report_a"]),
            ("?owner=ann@example.org&disabled=true", ["report_a"]),
            ("?q=backup&limit=1", ["Nightly backup"]),
            ("?limit=3", ["Nightly backup", "backup 100%", "report_a"]),
            ("?limit=999999999999999999", ["Nightly backup", "backup 100%", "report_a", "report b"]),
        ],
    )
    def test_filters_narrow_a_list(self, idle_api, some, query, names):
        assert idle_api.jobs(query) == [some[name] for name in names]

    def test_a_filter_by_name_ignores_case_beyond_ascii(self, idle_api):
        job_id = idle_api.create(name="Übung")
        idle_api.create(name="Uebung")
        assert idle_api.jobs("?q=%C3%9Cb") == [job_id]

    def test_after_continues_where_a_page_ended(self, idle_api):
        ids = idle_api.create_many(7)
        found, query = [], "?limit=3"
        while page := idle_api.jobs(query):
            found += page
            query = f"?limit=3&after={page[-1]}"
        assert found == ids

    def test_after_can_be_combined_with_filters(self, idle_api, some):
        assert idle_api.jobs(f"?q=report&after={some['report_a']}") == [some["report b"]]

    def test_after_an_unknown_job_is_404(self, idle_api):
        response = idle_api.ask("GET", f"/api/v1/job/?after={UNKNOWN}")
        assert response.status == 404
        assert response.error.startswith(f"after: no job has the id or name '{UNKNOWN}'")

    @pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2500])
    def test_a_long_list_is_complete_whatever_the_size_of_its_parts(self, idle_api, count):
        ids = idle_api.create_many(count)
        assert idle_api.jobs() == ids
        assert idle_api.jobs("?limit=1001") == ids[:1001]
        assert idle_api.jobs(f"?limit=1500&after={ids[0]}") == ids[1:1501]

    def test_a_long_list_reaches_a_client_without_chunked_encoding(self, idle_api):
        ids = idle_api.create_many(1500)
        response = idle_api.send(b"GET /api/v1/job/ HTTP/1.0\r\nHost: %HOST%\r\n\r\n")
        assert "Transfer-Encoding" not in response.headers
        assert list(response.json["jobs"]) == ids

    def test_head_of_a_long_list_has_no_body(self, idle_api):
        idle_api.create_many(1500)
        assert idle_api.ask("HEAD", "/api/v1/job/").body == b""
        assert idle_api.ask("GET", "/api/v1/stats/").status == 200

    def test_a_client_that_disconnects_within_a_long_list_leaks_nothing(self, idle_api):
        ids = idle_api.create_many(2500)
        for _ in range(5):
            connection = http.client.HTTPConnection(idle_api.host, idle_api.port, timeout=5)
            connection.request("GET", "/api/v1/job/")
            assert connection.getresponse().read(10) == b'{"jobs":{"'
            connection.close()
        assert idle_api.jobs("?limit=3") == ids[:3]

    def test_a_list_stays_valid_when_jobs_are_deleted_while_it_is_sent(self, idle_api, monkeypatch):
        monkeypatch.setattr(paging, "PART_BYTES", 2000)  # less than the length of two jobs
        monkeypatch.setattr(paging, "_MIN_ROWS", 1)
        ids = idle_api.create_many(7)
        routes = job_routes.JobRoutes(idle_api.app._engine, idle_api.app._store, idle_api.app._config, Groups(Path()))
        parts = routes.search(Request(path={}, query={}, body=b"")).body
        sent = next(parts) + next(parts)
        for job_id in ids[2:4]:
            idle_api.ask("DELETE", f"/api/v1/job/{job_id}/")
        assert list(json.loads(sent + b"".join(parts))["jobs"]) == ids
        assert idle_api.jobs() == ids[:2] + ids[4:]


def test_a_compressed_body_is_refused(idle_api):
    response = idle_api.ask("POST", "/api/v1/job/", gzip.compress(b"{}"), Content_Encoding="gzip")
    assert response.status == 400


class TestStartingAJob:
    def test_returns_the_location_of_its_run(self, idle_api):
        job_id = idle_api.create()
        places = [idle_api.ask("POST", f"/api/v1/job/start/{job_id}/").headers["Location"] for _ in range(2)]
        runs = [idle_api.ask("GET", place).json["run"] for place in places]
        assert [run["cause"] for run in runs] == ["manual", "manual"]
        assert [f"/api/v1/run/{run['id']}/" for run in runs] == places

    def test_returns_the_run_on_request(self, idle_api):
        job_id = idle_api.create()
        response = idle_api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run")
        run = response.json["run"]
        assert (response.status, run["job_id"], run["cause"]) == (201, job_id, "manual")
        assert response.headers["Location"] == f"/api/v1/run/{run['id']}/"

    def test_is_refused_with_any_other_value_of_return(self, idle_api):
        job_id = idle_api.create()
        response = idle_api.ask("POST", f"/api/v1/job/start/{job_id}/?return=job")
        assert (response.status, response.error) == (400, 'return: must be run, not "job"')
        assert idle_api.ask("GET", f"/api/v1/run/?job={job_id}").json["runs"] == []


class TestDeletingAParent:
    @pytest.fixture
    def family(self, idle_api) -> list[str]:
        """A parent, its child and grandchild; and a job that has another parent, too."""
        parent = idle_api.create(name="parent")
        child = idle_api.create(name="child", parent_jobs=[parent])
        grandchild = idle_api.create(name="grandchild", parent_jobs=[child])
        idle_api.create(name="nephew", parent_jobs=[parent, idle_api.create(name="other")])
        return [parent, child, grandchild]

    def test_returns_the_deleted_jobs_on_request(self, idle_api, family):
        response = idle_api.ask("DELETE", f"/api/v1/job/{family[0]}/?return=deleted")
        names = ["parent", "child", "grandchild"]
        assert response.status == 200
        assert response.json == {
            "deleted": [{"id": job_id, "name": name} for job_id, name in zip(family, names, strict=True)]
        }

    def test_logs_the_jobs_deleted_with_it(self, idle_api, family, caplog):
        caplog.set_level("INFO", "kala.api")
        assert idle_api.ask("DELETE", f"/api/v1/job/{family[0]}/").status == 204
        assert [record.message for record in caplog.records] == [
            "parent deleted, with 2 descendants that had no other parent: child, grandchild"
        ]

    def test_logs_the_names_of_only_some_of_many(self, idle_api, caplog):
        parent = idle_api.create(name="parent")
        for number in range(21):
            idle_api.create(name=f"child {number}", parent_jobs=[parent])
        caplog.set_level("INFO", "kala.api")
        idle_api.ask("DELETE", f"/api/v1/job/{parent}/")
        assert caplog.records[0].message.endswith("child 18, child 19, …")
        assert "with 21 descendants that" in caplog.records[0].message

    def test_logs_only_its_name_if_nothing_was_deleted_with_it(self, idle_api, family, caplog):
        caplog.set_level("INFO", "kala.api")
        response = idle_api.ask("DELETE", f"/api/v1/job/{family[2]}/?return=deleted")
        assert response.json == {"deleted": [{"id": family[2], "name": "grandchild"}]}
        assert [record.message for record in caplog.records] == ["grandchild deleted"]
