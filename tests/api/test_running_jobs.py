"""How jobs run: when they are due, when they are started, and what they call."""

import http.client
import http.server
import threading
from datetime import datetime

import pytest
from samples import NEVER, NO_COUNTS, REMOTE


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestRunningAJob:
    def test_a_job_without_a_schedule_runs_once_immediately_and_is_done(self, api):
        job = api.await_job(api.create(schedule=None), is_done=True)
        (run,) = job["stats"]
        assert run["success"] is True
        assert (job["success_count"], job["error_count"], job["next_run_at"]) == (1, 0, NEVER)

    def test_its_counts_are_at_the_top_level_and_in_its_metadata(self, api):
        job = api.await_job(api.create(schedule=None, command="false", retries=1), is_done=True)
        counts = {name: job[name] for name in NO_COUNTS}
        assert job["metadata"] == counts | {"number_of_finished_runs": 1}
        assert (counts["success_count"], counts["error_count"], counts["last_success"]) == (0, 2, NEVER)
        assert instant(counts["last_attempted_run"]) <= instant(counts["last_error"])

    def test_a_due_job_runs(self, api):
        job = api.await_job(api.create_soon(), is_done=True)
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

    def test_the_login_in_its_url_is_shown_only_in_the_job(self, api, caplog):
        caplog.set_level("INFO", "kala.runs")
        url = "http://user:TopSecret@127.0.0.1:9/x"
        job_id = api.create(type=1, schedule=None, remote_properties={"url": url})
        api.await_job(job_id, is_done=True)
        api.create()  # the engine has logged the step before
        responses = [api.ask("GET", path).body for path in ("/api/v1/run/", f"/api/v1/job/{job_id}/runs/")]
        assert all(b"GET http://127.0.0.1:9/x: Connection refused" in response for response in responses)
        assert "GET http://127.0.0.1:9/***: Connection refused" in caplog.text
        assert "TopSecret" not in f"{responses}{caplog.text}{api.app.feed.after(0, 0)}"
        assert api.job(job_id)["remote_properties"]["url"] == url

    def test_its_url_and_body_may_be_templates(self, api, hook):
        properties = {"url": hook.url + "/{{ .Retries }}", "method": "POST", "body": "{{ name }}"}
        fields = {"type": 1, "schedule": None, "retries": 200, "TemplateDelimiters": "{{ }}"}
        job = api.await_job(api.create(**fields, name="hello", remote_properties=properties), is_done=True)
        assert job["success_count"] == 1
        assert [(path, body) for _, path, _, body in hook.got] == [("/200", b"hello")]
