"""Cron, time zones and jitter over HTTP, and previews of schedules."""

from zoneinfo import ZoneInfo

import pytest

PREVIEW = "/api/v1/schedule/preview/"


@pytest.fixture
def preview(idle_api):
    return lambda **given: idle_api.ask("POST", PREVIEW, given)


class TestAJobWithACronExpression:
    def test_shows_what_its_h_stands_for_and_its_next_run_in_its_zone(self, idle_api):
        job = idle_api.job(idle_api.create(name="backup", schedule="H H(1-4) 1 1 *", timezone="Asia/Tokyo"))
        assert (job["schedule"], job["timezone"]) == ("H H(1-4) 1 1 *", "Asia/Tokyo")
        minute, hour, *days = job["schedule_resolved"].split()
        assert days == ["1", "1", "*"]
        assert job["next_run_local"][4:] == f"-01-01T{int(hour):02}:{int(minute):02}:00+09:00"

    @pytest.mark.parametrize("prefix", ["CRON_TZ=", "TZ="])
    def test_has_the_zone_of_a_prefix_as_its_timezone(self, idle_api, prefix):
        job = idle_api.job(idle_api.create(schedule=f"{prefix}Europe/Berlin 30 2 1 1 *"))
        assert (job["schedule"], job["timezone"]) == ("30 2 1 1 *", "Europe/Berlin")

    def test_takes_the_zone_of_a_prefix_in_a_patch_in_place_of_its_own(self, idle_api):
        job_id = idle_api.create(schedule="30 2 1 1 *", timezone="Europe/Berlin")
        job = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"schedule": "TZ=Asia/Tokyo 30 2 1 1 *"}).json["job"]
        assert (job["schedule"], job["timezone"]) == ("30 2 1 1 *", "Asia/Tokyo")

    def test_can_be_sent_back_as_it_was_read(self, idle_api):
        job = idle_api.job(idle_api.create(schedule="30 2 1 1 *", timezone="Europe/Berlin", jitter="PT5M"))
        assert idle_api.ask("PUT", f"/api/v1/job/{job['id']}/", job).json["job"] == job

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"schedule": "@every 5m"}, "schedule: '@every 5m' is not a schedule here; use R/START/PT5M"),
            (
                {"schedule": "TZ=Asia/Tokyo 0 2 * * *", "timezone": "Europe/Berlin"},
                "timezone: 'Europe/Berlin', but schedule begins with the zone 'Asia/Tokyo'; use one of them",
            ),
            (
                {"schedule": "TZ=Tokio 0 2 * * *"},
                "schedule: there is no time zone 'Tokio'; use Asia/Tokyo",
            ),
            (
                {"schedule": "0 2 * * *", "timezone": "berlin"},
                "timezone: there is no time zone 'berlin'; use Europe/Berlin",
            ),
            ({"schedule": "0 2 * * *", "jitter": "P2D"}, "jitter: must be at most a day (P1D), not 'P2D'"),
            (
                {"schedule": None, "jitter": "PT5M"},
                "jitter: a job without a schedule has no slots to delay; remove jitter, or add a schedule",
            ),
        ],
    )
    def test_that_is_wrong_is_refused_with_what_to_write_instead(self, idle_api, fields, sentence):
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | fields)
        assert (response.status, response.error) == (400, sentence)


class TestAPreview:
    def test_says_what_a_schedule_means_and_what_clock_changes_do(self, preview):
        asked = {"timezone": "Europe/Berlin", "count": 2, "after": "2030-01-01T00:00:00Z"}
        assert preview(schedule="30 2 * * *", **asked).json == {
            "slots": ["2030-01-01T01:30:00Z", "2030-01-02T01:30:00Z"],
            "local": ["2030-01-01T02:30:00+01:00", "2030-01-02T02:30:00+01:00"],
            "sentence": "At 02:30 every day (Europe/Berlin)",
            "timezone": "Europe/Berlin",
            "resolved": "30 2 * * *",
            "clock_changes": [
                {"at": "2030-03-31T01:00:00Z", "effect": "02:30 does not exist on 31 March 2030; runs at 03:00"},
                {
                    "at": "2030-10-27T01:00:00Z",
                    "effect": "02:30 comes twice on 27 October 2030; runs the first time only",
                },
            ],
        }

    def test_is_in_the_servers_zone_without_another(self, idle_api, preview, monkeypatch):
        monkeypatch.setattr(idle_api.app._zone, "current", ZoneInfo("Asia/Tokyo"))
        found = preview(schedule="0 9 * * *", count=1).json
        assert found["timezone"] == "Asia/Tokyo"
        assert found["local"][0].endswith("T09:00:00+09:00")

    @pytest.mark.parametrize("schedule", ["@reboot", "manual"])
    def test_has_no_slots_where_none_are_known(self, preview, schedule):
        found = preview(schedule=schedule).json
        assert (found["slots"], found["local"], found["clock_changes"]) == ([], [], [])
        assert found["sentence"]

    def test_goes_by_the_name_for_each_h(self, preview):
        one, two = (preview(schedule="H H * * *", name=name).json["resolved"] for name in ("one", "two"))
        assert one != two

    def test_says_how_much_later_a_job_with_jitter_can_run(self, preview):
        assert preview(schedule="@daily", timezone="UTC", jitter="PT10M").json["sentence"] == (
            "At 00:00 every day (UTC), up to 10 minutes later"
        )

    @pytest.mark.parametrize("after", ["-P9999Y", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    @pytest.mark.parametrize("schedule", ["*/7 * * * *", "30 2 * * *", "R/2030-01-01T02:30:00/P1D"])
    def test_after_any_time_is_an_answer(self, preview, schedule, after):
        assert preview(schedule=schedule, timezone="Australia/Lord_Howe", after=after).status == 200

    @pytest.mark.parametrize(
        "fields",
        [
            {"schedule": "R9/2015-06-04T19:25:16Z/PT10S"},
            {"schedule": "0 0 31 2 *"},
            {"schedule": "*/60 * * * *"},
            {"schedule": "0 2 * * *", "timezone": "../etc/passwd"},
            {"schedule": "0 2 * * *", "jitter": "soon"},
        ],
    )
    def test_refuses_what_creation_refuses_in_the_same_words(self, idle_api, preview, fields):
        refused = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | fields)
        assert refused.status == 400
        assert preview(**fields).error == refused.error


def test_a_list_shows_next_runs_in_the_servers_zone_also_after_that_has_changed(idle_api, monkeypatch):
    job_id = idle_api.create(schedule="R/2099-01-01T00:00:00Z/PT1H")
    for zone, shown in (("Asia/Tokyo", "2099-01-01T09:00:00+09:00"), ("UTC", "2099-01-01T00:00:00+00:00")):
        monkeypatch.setattr(idle_api.app._zone, "current", ZoneInfo(zone))
        for query in ("", "?disabled=false"):
            jobs = idle_api.ask("GET", f"/api/v1/job/{query}").json["jobs"]
            assert jobs[job_id]["next_run_local"] == shown
