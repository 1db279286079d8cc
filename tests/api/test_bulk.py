"""Actions on many jobs in one request."""

import pytest
from samples import UNKNOWN

PATH = "/api/v1/job/bulk/"


def bulk(api, action, **fields):
    return api.ask("POST", PATH, {"action": action} | fields)


def test_disables_and_enables_the_jobs_with_these_ids_or_names(idle_api):
    ids = [idle_api.create(name=name) for name in "abc"]
    for action, is_disabled in (("disable", True), ("enable", False)):
        response = bulk(idle_api, action, ids=[ids[0], "c"])
        assert (response.status, response.json) == (200, {"action": action, "done": 2, "failed": []})
        assert [idle_api.job(one)["disabled"] for one in ids] == [is_disabled, False, is_disabled]


def test_selects_jobs_with_a_slot_to_come(idle_api):
    idle_api.create()
    by_hand = idle_api.create(schedule="manual")
    wanted = {"action": "delete", "filter": {"planned": False}, "expect": 1}
    assert idle_api.ask("POST", "/api/v1/job/bulk/", wanted).json["done"] == 1
    assert idle_api.ask("GET", f"/api/v1/job/{by_hand}/").status == 404
    assert len(idle_api.jobs()) == 1


def test_deletes_the_jobs_that_match_a_filter(idle_api):
    for name in ("old 1", "old 2", "new"):
        idle_api.create(name=name, owner="ann", tags=["nightly"])
    given = {"q": "OLD", "owner": "ann", "tag": ["nightly"], "state": ["new"]}
    response = bulk(idle_api, "delete", filter=given, expect=2)
    assert response.json == {"action": "delete", "done": 2, "failed": []}
    assert [idle_api.job(one)["name"] for one in idle_api.jobs()] == ["new"]


def test_changes_more_jobs_than_the_engine_takes_at_a_time(idle_api):
    idle_api.create_many(450)
    assert bulk(idle_api, "disable", filter={}, expect=450).json["done"] == 450
    assert idle_api.totals()["disabled_jobs"] == 450


def test_a_job_that_another_one_takes_along_counts_as_deleted(idle_api):
    parent = idle_api.create(name="parent")
    idle_api.create(name="child", parent_jobs=[parent])
    assert bulk(idle_api, "delete", filter={}, expect=2).json == {"action": "delete", "done": 2, "failed": []}


def test_a_child_in_a_later_part_counts_as_deleted_with_its_parent(idle_api):
    parent = idle_api.create(name="parent")
    idle_api.create_many(150)
    idle_api.create(name="child", parent_jobs=[parent])
    assert bulk(idle_api, "delete", filter={}, expect=152).json["done"] == 152


def test_reports_each_job_that_it_is_impossible_for(idle_api):
    off = idle_api.create(name="off", disabled=True)
    on = idle_api.create(name="on")
    found = bulk(idle_api, "start", ids=[off, UNKNOWN, on]).json
    assert found == {
        "action": "start",
        "done": 1,
        "failed": [
            {"id": UNKNOWN, "error": f"no job has the id or name '{UNKNOWN}'"},
            {"id": off, "error": f"job {off} (off) is disabled; enable it before starting it"},
        ],
    }


def test_cancels_the_runs_of_jobs(api):
    busy, idle = api.create(command="sleep 60"), api.create()
    for _ in range(2):
        api.ask("POST", f"/api/v1/job/start/{busy}/")
    found = bulk(api, "cancel", ids=[busy, idle]).json
    assert (found["done"], [failure["id"] for failure in found["failed"]]) == (1, [idle])
    assert "has no queued or running run; there is nothing to cancel" in found["failed"][0]["error"]
    runs = api.ask("GET", f"/api/v1/job/{busy}/runs/?state=queued").json["runs"]
    assert runs == []


@pytest.mark.parametrize("given", [{"filter": {}}, {"ids": ["job", "other", "job"]}])
@pytest.mark.parametrize("expect", [0, 1, 3])
def test_another_number_of_jobs_than_expected_is_409_and_changes_nothing(untouched, given, expect):
    response = bulk(untouched.api, "delete", expect=expect, **given)
    untouched.assert_refused(response, status=409, start=f"expect: 2 jobs are selected, not {expect}; ")


def test_too_many_jobs_for_one_request_are_refused(untouched, monkeypatch):
    monkeypatch.setattr("kala.api.bulk.BULK", 1)
    untouched.assert_refused(
        bulk(untouched.api, "delete", filter={}, expect=1), status=409, start="filter: more than 1 jobs match, "
    )


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({}, "action: must be one of enable, disable, start, cancel, delete, not null"),
        ({"action": ""}, "action: must be one of "),
        ({"action": ["delete"]}, "action: must be one of "),
        ({"action": "destroy", "ids": []}, "action: must be one of "),
        ({"action": "delete"}, "ids: give either ids or filter, "),
        ({"action": "delete", "ids": ["job"], "filter": {}}, "ids: give either ids or filter, "),
        ({"action": "delete", "ids": "job"}, "ids: must be a list, "),
        ({"action": "delete", "ids": [1]}, "ids[0]: must be a string, "),
        ({"action": "delete", "filter": {}}, "expect: required with filter; "),
        ({"action": "delete", "filter": {}, "expect": None}, "expect: required with filter; "),
        ({"action": "delete", "filter": {}, "expect": -1}, "expect: must be a whole number "),
        ({"action": "delete", "filter": {}, "expect": True}, "expect: must be a whole number "),
        ({"action": "delete", "filter": [], "expect": 2}, "filter: must be a JSON object, "),
        ({"action": "delete", "filter": {"name": "job"}, "expect": 2}, "filter.name: unknown field; "),
        ({"action": "delete", "filter": {"state": "ok"}, "expect": 2}, "filter.state: must be a list, "),
        ({"action": "delete", "filter": {"state": ["up"]}, "expect": 2}, "filter.state[0]: must be one of running, "),
        ({"action": "delete", "filter": {"disabled": "no"}, "expect": 2}, "filter.disabled: must be true or false, "),
        ({"action": "delete", "filter": {"q": "\n"}, "expect": 2}, "filter.q: must be one line "),
        ({"action": "delete", "filter": {"tag": ["a,b"]}, "expect": 2}, "filter.tag[0]: must be "),
        ({"action": "delete", "all": True}, "all: unknown field; "),
    ],
)
def test_refuses_bad_requests(untouched, body, start):
    untouched.assert_refused(untouched.api.ask("POST", PATH, body), start=start)
