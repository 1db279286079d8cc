"""The jobs that are due next, and how many slots there are."""

from datetime import UTC, datetime, timedelta

import pytest

from kala.core.instants import rfc3339

HOUR = timedelta(hours=1)


def hour(number: int) -> str:
    """Return the start of an hour, counted from the current one."""
    return rfc3339(datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + number * HOUR)


def upcoming(api, query: str = ""):
    response = api.ask("GET", f"/api/v1/upcoming/{query}")
    assert response.status == 200, response.body
    return response.json


def test_jobs_are_listed_by_when_they_are_due(idle_api):
    hourly = idle_api.create(name="hourly", schedule=f"R/{hour(2)}/PT1H")
    once = idle_api.create(name="once", schedule=f"R0/{hour(1)}")
    idle_api.create(name="later", schedule=f"R0/{hour(30)}")
    idle_api.create(name="off", schedule=f"R0/{hour(1)}", disabled=True)
    told = upcoming(idle_api, f"?until={hour(6)}&per_job=2")
    once_said, hourly_said = [job.pop("sentence") for job in told["jobs"]]
    assert told["jobs"] == [
        {"id": once, "name": "once", "count": 1, "slots": [hour(1)]},
        {"id": hourly, "name": "hourly", "count": 4, "slots": [hour(2), hour(3)]},
    ]
    assert once_said.startswith("Once, on ")
    assert hourly_said.startswith("Every hour from ")
    assert (told["until"], told["has_more"], "histogram" in told) == (hour(6), False, False)


def test_the_sentence_of_a_job_names_its_zone_and_its_jitter(idle_api):
    idle_api.create(schedule="0 * * * *", timezone="Europe/Berlin", jitter="PT5M")
    [job] = upcoming(idle_api)["jobs"]
    assert job["sentence"] == "Every hour (Europe/Berlin), up to 5 minutes later"


def test_a_list_that_is_cut_says_so(idle_api):
    for number in range(3):
        idle_api.create(name=str(number), schedule=f"R0/{hour(number + 1)}")
    told = upcoming(idle_api, "?limit=2")
    assert ([job["name"] for job in told["jobs"]], told["has_more"]) == (["0", "1"], True)


def test_a_day_is_the_default_and_a_schedule_without_end_is_counted(idle_api):
    idle_api.create(schedule=f"R/{hour(2)}/PT1S")
    told = upcoming(idle_api)
    [job] = told["jobs"]
    length = datetime.fromisoformat(told["until"]) - datetime.fromisoformat(told["since"])
    assert length == timedelta(days=1)
    assert 22 * 3600 <= job["count"] <= 23 * 3600
    assert len(job["slots"]) == 3


def test_slots_are_counted_per_step_for_all_jobs(idle_api):
    idle_api.create(schedule=f"R/{hour(1)}/PT30M")
    idle_api.create(schedule=f"R1/{hour(2)}/PT1H")
    told = upcoming(idle_api, f"?until={hour(4)}&step=1h&limit=0")
    assert told["jobs"] == []
    histogram = told["histogram"]
    assert (histogram["step"], histogram["jobs"], histogram["has_more"]) == (3600, 2, False)
    assert histogram["steps"] == [
        {"start": hour(0), "slots": 0},
        {"start": hour(1), "slots": 2},
        {"start": hour(2), "slots": 3},
        {"start": hour(3), "slots": 3},
    ]


def test_counts_that_would_take_too_long_are_cut_and_say_so(idle_api, monkeypatch):
    monkeypatch.setattr("kala.api.upcoming._MOST_EFFORT", 10)
    for minute in range(3):
        idle_api.create(schedule=f"{minute}-59 * * * *")
    histogram = upcoming(idle_api, f"?until={hour(12)}&step=1h")["histogram"]
    assert (histogram["jobs"], histogram["has_more"]) == (1, True)


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("?until=2001-01-01T00:00:00Z", "until: must be a time within the next 31 days, not "),
        ("?until=2999-01-01T00:00:00Z", "until: must be a time within the next 31 days, not "),
        ("?step=1s", "step: must be one or more whole minutes"),
        ("?step=P1M", "step: must be one or more whole minutes"),
        (f"?step=1m&until={rfc3339(datetime.now(UTC) + timedelta(days=20))}", "step: there would be more than 1,500"),
        ("?limit=1001", "limit: must be a whole number between 0 and 1000"),
        ("?per_job=101", "per_job: must be a whole number between 0 and 100"),
    ],
)
def test_a_wrong_period_is_refused(untouched, query, start):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/upcoming/{query}"), start=start)
