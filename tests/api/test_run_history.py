"""Runs are found by their jobs, pools, causes and lengths, counted by the time of their ends, and explained."""

from datetime import UTC, datetime, timedelta

import pytest
from samples import FAR


def start(api, job):
    return api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]


def runs(api, query):
    response = api.ask("GET", f"/api/v1/run/{query}")
    assert response.status == 200, response.body
    return [run["id"] for run in response.json["runs"]]


@pytest.fixture
def failed(api):
    """A job whose run failed, led to a run of its on-failure job, and that to a run of a child."""
    alarm = api.create(name="alarm", owner="ops@x")
    child = api.create(name="child", parent_jobs=[alarm])
    job = api.create(name="Fragile", command="exit 2", on_failure_job=alarm)
    first = start(api, job)
    api.await_job(child, success_count=1)
    [second] = api.ask("GET", f"/api/v1/job/{alarm}/runs/").json["runs"]
    [third] = api.ask("GET", f"/api/v1/job/{child}/runs/").json["runs"]
    return first, second["id"], third["id"]


# Retries by request


def test_a_run_that_has_ended_is_retried(api, failed):
    response = api.ask("POST", f"/api/v1/run/{failed[0]}/retry/")
    run = response.json["run"]
    assert (response.status, response.headers["Location"]) == (201, f"/api/v1/run/{run['id']}/")
    assert (run["cause"], run["cause_run_id"], run["attempt"]) == ("manual", failed[0], 0)


def test_a_run_that_has_not_ended_is_not_retried(idle_api):
    run = start(idle_api, idle_api.create())
    response = idle_api.ask("POST", f"/api/v1/run/{run}/retry/")
    assert (response.status, response.error) == (409, f"run {run} is queued; only runs that have ended can be retried")


def test_a_repeated_retry_starts_one_run(api, failed):
    both = [api.ask("POST", f"/api/v1/run/{failed[0]}/retry/", Idempotency_Key="retry once") for _ in range(1)]
    assert both[0].status == 400
    first, again = (api.ask("POST", f"/api/v1/run/{failed[0]}/retry/", Idempotency_Key="retry-once") for _ in range(2))
    assert (first.status, first.body, again.headers["Idempotent-Replayed"]) == (201, again.body, "true")


# Filters


def test_runs_are_filtered_by_their_jobs(api, failed):
    assert runs(api, "?q=fragi") == [failed[0]]
    assert runs(api, "?owner=ops@x") == [failed[1]]
    assert runs(api, "?owner=ops@x&q=fragi") == []
    assert runs(api, "?q=alarm&state=succeeded") == [failed[1]]
    api.ask("PATCH", "/api/v1/job/child/", {"tags": ["a", "b"]})
    assert runs(api, "?tag=a,b") == [failed[2]]
    assert runs(api, "?tag=a,c") == []


def test_runs_are_filtered_by_what_caused_them(api, failed):
    assert runs(api, f"?cause_run={failed[0]}") == [failed[1]]
    assert runs(api, f"?cause_run={failed[2]}") == []


def test_runs_are_filtered_by_their_pool(api):
    with api.configured(pools={"web": 1}):
        run = start(api, api.create(pool="web"))
        start(api, api.create())
        assert runs(api, "?pool=web") == [run]
        assert api.ask("GET", f"/api/v1/job/{api.jobs()[0]}/runs/?pool=other").json["runs"] == []


def test_runs_are_filtered_by_how_long_they_took_or_have_been_running(api):
    job = api.create(command="sleep 60", name="sleeper")
    run = start(api, job)
    assert runs(api, f"?job={job}&longer_than=1h") == []
    assert runs(api, f"?job={job}&longer_than=PT0S") == [run]
    api.ask("POST", f"/api/v1/run/{run}/cancel")


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("longer_than=x", "longer_than: must be a duration, such as PT1H or 1h, not"),
        ("cause_run=0", "cause_run: must be a whole number of at least 1, not"),
        ("pool=%00", "pool: must be"),
        ("q=%0A", "q: must be"),
    ],
)
def test_a_filter_that_means_nothing_is_an_error(untouched, query, start):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/run/?{query}"), start=start)


def test_runs_of_one_job_have_no_filter_by_job(untouched):
    response = untouched.api.ask("GET", f"/api/v1/job/{untouched.id}/runs/?owner=me")
    untouched.assert_refused(response, start='query: "owner" is not a parameter')


# The histogram


def histogram(api, query=""):
    response = api.ask("GET", f"/api/v1/run/histogram/{query}")
    assert response.status == 200, response.body
    return response.json


def test_the_runs_that_ended_are_counted_by_step_and_state(api, failed):
    before = histogram(api)
    assert before["step"] == 3600
    assert len(before["steps"]) == 25
    api.ask("POST", f"/api/v1/run/{failed[0]}/retry/")
    [job] = {run["job_id"] for run in api.ask("GET", "/api/v1/run/?q=Fragile").json["runs"]}
    api.await_job(job, error_count=2)
    after = histogram(api)
    assert sum(step["failed"] for step in after["steps"]) == sum(step["failed"] for step in before["steps"]) + 1
    of_job = histogram(api, f"?job={job}")
    assert [sum(step[state] for step in of_job["steps"]) for state in ("failed", "succeeded")] == [2, 0]


def test_the_steps_have_no_gap_and_contain_the_period(api):
    found = histogram(api, "?since=2030-01-01T00:10:00Z&until=2030-01-01T01:00:00Z&step=15m")
    starts = [step["start"] for step in found["steps"]]
    assert starts == [f"2030-01-01T{time}:00Z" for time in ("00:00", "00:15", "00:30", "00:45", "01:00")]
    assert found["step"] == 900
    assert histogram(api, "?since=2030-01-02T00:00:00Z&until=2030-01-01T00:00:00Z")["steps"] == []


def test_a_histogram_ends_now(api):
    last = histogram(api, "?step=1m")["steps"][-1]
    assert datetime.now(UTC) - datetime.fromisoformat(last["start"]) < timedelta(minutes=2)


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("step=P1M", "step: must be one or more whole minutes, hours or days"),
        ("step=PT0S", "step: must be one or more whole minutes"),
        ("step=90s", "step: must be one or more whole minutes"),
        ("step=x", "step: must be a duration"),
        ("since=-60d&step=1m", "step: there would be 86,401 steps; use a longer one, for at most 1,500"),
        ("since=-9999w&step=1h", "step: there would be"),
    ],
)
def test_a_histogram_that_cannot_be_drawn_is_an_error(untouched, query, start):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/run/histogram/?{query}"), start=start)


@pytest.mark.parametrize(
    "query",
    [
        "histogram/?until=9999-12-31T23:59:59Z&step=P9999Y",
        "histogram/?until=0001-01-01T00:00:00Z",
        "histogram/?step=P3650000D&since=-9999w",
        "?longer_than=P9999Y",
    ],
)
def test_the_limits_of_the_calendar_are_no_internal_error(api, query):
    assert api.ask("GET", f"/api/v1/run/{query}").status in (200, 400)


# The chain


def chain(api, run, query=""):
    found = api.ask("GET", f"/api/v1/run/{run}/chain/{query}").json
    return [run["id"] for run in found["causes"]], found["run"]["id"], [run["id"] for run in found["caused"]]


def test_a_chain_leads_from_the_first_cause_to_the_last_consequence(api, failed):
    first, second, third = failed
    assert chain(api, first) == ([], first, [second, third])
    assert chain(api, second) == ([first], second, [third])
    assert chain(api, third) == ([first, second], third, [])


def test_a_chain_is_cut_at_the_far_ends(api, failed):
    first, second, third = failed
    assert chain(api, first, "?limit=1") == ([], first, [second])
    assert chain(api, third, "?limit=1") == ([second], third, [])
    assert api.ask("GET", f"/api/v1/run/{first}/chain/?limit=1").json["has_more"] is True
    assert api.ask("GET", f"/api/v1/run/{first}/chain/?limit=2").json["has_more"] is False


def test_the_chain_of_an_unknown_run_is_an_error(api):
    assert api.ask("GET", "/api/v1/run/4711/chain/").error == "no run has the id 4711"


# Explanations


def explained(api, run):
    return api.ask("GET", f"/api/v1/run/{run}/?explain=1").json["run"]["explain"]


def test_a_run_is_explained_if_asked_for(api, failed):
    first, second, third = failed
    plain = api.ask("GET", f"/api/v1/run/{first}/").json["run"]
    assert "explain" not in plain
    assert api.ask("GET", f"/api/v1/run/{first}/?explain=1").json["run"] == plain | {
        "explain": f"run {first} failed: exit status 2; it is not retried, as its job has no retries;"
        f" it led to run {second}"
    }
    assert explained(api, second) == f"run {second} succeeded; it led to run {third}"


def test_a_run_that_waits_for_its_job_names_the_runs_before_it(api):
    job = api.create(command="sleep 60", schedule=FAR)
    first, second, third = (start(api, job) for _ in range(3))
    assert explained(api, second) == f"run {second} waits for the runs of its job before it to end: run {first}"
    assert explained(api, third).endswith(f"to end: run {first} and run {second}")
    for run in (third, second, first):
        api.ask("POST", f"/api/v1/run/{run}/cancel")


def test_a_run_that_waits_for_its_pool_names_the_runs_in_it(api):
    with api.configured(pools={"web": 1}):
        first, second = (start(api, api.create(pool="web", command="sleep 60", name=name)) for name in "ab")
        sentence = f"run {second} waits for room in pool web, which has room for 1 run: run {first}"
        assert explained(api, second) == sentence
        for run in (second, first):
            api.ask("POST", f"/api/v1/run/{run}/cancel")


def test_a_run_that_waits_for_a_worker_says_so(idle_api):
    run = start(idle_api, idle_api.create())
    assert explained(idle_api, run) == f"run {run} waits for one of 8 workers to be free"


def test_the_runs_of_a_list_are_explained_if_asked_for(api, failed):
    first, *_ = failed
    [*_, run] = api.ask("GET", "/api/v1/run/?explain=1&limit=3").json["runs"]
    assert run["explain"] == explained(api, first)


@pytest.mark.parametrize("name", ["explain", "usual"])
def test_not_more_than_100_runs_of_a_list_are_told_about(api, name):
    response = api.ask("GET", f"/api/v1/run/?{name}=1&limit=101")
    assert (response.status, response.error) == (400, f"limit: must be between 1 and 100 with {name}, not 101")


# How long runs usually take


def test_a_run_says_how_long_its_job_usually_takes(api):
    job = api.create(command="false")
    run = start(api, job)
    api.await_job(job, error_count=1)
    assert api.ask("GET", f"/api/v1/run/{run}/?usual=1").json["run"]["usual_duration"] is None
    api.ask("PATCH", f"/api/v1/job/{job}/", {"command": "true"})
    second = start(api, job)
    api.await_job(job, success_count=1)
    took = api.ask("GET", f"/api/v1/run/{second}/").json["run"]["duration"]
    assert api.ask("GET", f"/api/v1/run/{run}/?usual=1").json["run"]["usual_duration"] == took
    assert {run["usual_duration"] for run in api.ask("GET", f"/api/v1/job/{job}/runs/?usual=1").json["runs"]} == {took}
