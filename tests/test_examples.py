"""The examples run against a real Kala, and print what they promise."""

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 30  # seconds; a test that passes does not wait for it
# No settings of the person who runs the tests, and no proxy between an example and its server.
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("KALA_")} | {"no_proxy": "*"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    settings = ["--config", os.devnull, "--port", "0", "--data-dir", tmp_path_factory.mktemp("kala")]
    command = [sys.executable, "-m", "kala", "serve", *settings]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRON, stderr=subprocess.PIPE) as server:
        try:
            yield address(server.stderr)
        finally:
            server.terminate()


@pytest.fixture
def server():
    """A server that answers 200 at / and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def address(log):
    for line in log:
        if found := re.search(rb"answers on (\S+)", line):
            return found[1].decode()
    raise AssertionError("Kala did not start")


def run(*command, **variables):
    done = subprocess.run(
        command,
        env=ENVIRON | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_the_first_job_runs_once_and_shows_its_stats(url):
    created, runs, deleted = run("sh", EXAMPLES / "first_job.sh", KALA_URL=url)
    assert re.fullmatch(r"created: [0-9a-f-]{36}", created)
    [stat] = json.loads(runs.removeprefix("its runs: "))["job_stats"]
    assert stat["success"]
    assert deleted == "deleted"


def test_the_python_client_creates_changes_and_starts_a_job_and_handles_an_error(url):
    next_run, retries, outcome, refused = run(sys.executable, EXAMPLES / "python_client.py", KALA_URL=url)
    assert (next_run, retries) == ("next run: 2040-01-01 00:00:00+00:00", "retries: 3")
    assert re.fullmatch(r"run \d+ succeeded after 0\.\d s", outcome)
    assert refused.startswith("refused: schedule: must have five fields")
    assert "not 2: 'every hour'" in refused


def test_a_job_lives_on_the_command_line(url):
    path = f"{Path(sys.executable).parent}:{ENVIRON['PATH']}"
    greeting, status, reason, listed, deleted = run("sh", EXAMPLES / "command_line.sh", KALA_URL=url, PATH=path)
    assert (greeting, status, listed, deleted) == ("hello, world", "exit status 3", "greet  failing", "greet")
    assert reason.endswith(" failed: exit status 1; it is not retried, as its job has no retries")


def test_a_child_that_fails_is_retried_and_then_starts_its_on_failure_job(url):
    lines = run(sys.executable, EXAMPLES / "dependent_jobs.py", KALA_URL=url)
    assert lines == ["fetch: succeeded", "check: failed, failed", "alarm: succeeded", "deleted: True"]


def test_a_remote_job_succeeds_or_fails_by_the_response_code(url, server):
    lines = run("sh", EXAMPLES / "remote_job.sh", KALA_URL=url, SERVER_URL=server)
    assert lines == ["there: succeeded", "missing: failed"]


def test_the_script_that_copies_jobs_keeps_schedules_and_dependencies(url):
    api = f"{url}/api/v1/job/"

    def create(name, **job):
        answer = requests.post(api, json={"name": name, "command": "true"} | job, timeout=PATIENCE)
        return answer.json()["id"]

    assert requests.get(api, timeout=PATIENCE).json()["jobs"] == {}, "the examples left jobs behind"
    alarm = create("alarm", schedule="R0/2031-01-01T00:00:00Z")
    parent = create("parent", schedule="R5/2030-01-01T00:00:00Z/P1D", on_failure_job=alarm)
    create("child", parent_jobs=[parent])
    create("resting", schedule="R/2030-01-01T00:00:00Z/P1D", disabled=True)

    page = (ROOT / "docs/compatibility.md").read_text()
    script = re.search(r"^```python\n(.+?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    *copied, left = run(sys.executable, "-c", script, OLD=url, NEW=url)
    ids = {name: json.loads(answer)["id"] for name, answer in (line.split(" ", 1) for line in copied)}
    assert left == "not copied: resting"
    jobs = requests.get(api, timeout=PATIENCE).json()["jobs"]
    assert jobs[ids["parent"]]["schedule"] == "R5/2030-01-01T00:00:00Z/P1D"
    assert jobs[ids["parent"]]["on_failure_job"] == ids["alarm"] != alarm
    assert jobs[ids["child"]]["parent_jobs"] == [ids["parent"]]
