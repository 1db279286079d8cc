"""An action on many jobs of the list."""

import re
from html import unescape

import pytest


def fields(response, status: int = 200) -> dict[str, list[str]]:
    """Return the hidden fields of the question's form."""
    assert response.status == status, response.body
    form = response.body.decode().partition('<section class="question">')[2]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form):
        found.setdefault(name, []).append(unescape(value))
    return found


def states(api) -> dict[str, bool]:
    return {job["name"]: job["disabled"] for job in api.ask("GET", "/api/v1/job/").json["jobs"].values()}


@pytest.fixture
def three(api):
    """The ids of three jobs, a, b and c."""
    return [api.create(name=name, owner="ann" if name != "c" else "") for name in "abc"]


def test_ticked_jobs_are_changed_after_a_question_with_their_number(api, three):
    asked = api.submit("/jobs/bulk", action="disable", ids=three[:2], back="/jobs?sort=-name")
    assert "Disable 2 jobs?" in asked.body.decode()
    assert states(api) == {"a": False, "b": False, "c": False}
    done = api.submit("/jobs/bulk", **fields(asked))
    assert (done.status, done.headers["Location"]) == (303, "/jobs?sort=-name")
    assert states(api) == {"a": True, "b": True, "c": False}


def test_all_jobs_that_match_are_changed_after_a_question_with_their_number(api, three):
    asked = api.submit("/jobs/bulk", action="delete", all="1", owner="ann", ids=three[2])
    assert "Delete 2 jobs?" in asked.body.decode()
    assert fields(asked)["owner"] == ["ann"]
    assert "ids" not in fields(asked)
    assert api.submit("/jobs/bulk", **fields(asked)).status == 303
    assert list(states(api)) == ["c"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [({}, "abcd"), ({"tag": "x,y"}, "d"), ({"state": "disabled,failing"}, "d"), ({"disabled": "false"}, "abc")],
)
def test_each_filter_of_the_list_means_the_same_jobs(api, three, filters, expected):
    api.create(name="d", tags=["y", "x"], disabled=True)
    asked = api.submit("/jobs/bulk", action="delete", all="1", **filters)
    assert f"Delete {len(expected)} job" in asked.body.decode()
    assert api.submit("/jobs/bulk", **fields(asked)).status == 303
    assert sorted(states(api)) == sorted({*"abcd"} - {*expected})


def test_it_asks_again_if_another_number_of_jobs_matches_now(api, three):
    asked = api.submit("/jobs/bulk", action="delete", all="1")
    api.create(name="d")
    again = api.submit("/jobs/bulk", **fields(asked))
    assert len(states(api)) == 4
    assert fields(again, 409)["expect"] == ["4"]
    page = again.body.decode()
    assert "Delete 4 jobs?" in page
    assert "4 jobs are selected, not 3" in page
    assert api.submit("/jobs/bulk", **fields(again, 409)).status == 303
    assert states(api) == {}


@pytest.mark.parametrize("expect", ["x", "-1", "9" * 5000])
def test_a_form_whose_number_is_none_changes_nothing(api, three, expect):
    assert api.submit("/jobs/bulk", action="delete", all="1", key="k", expect=expect).status == 400
    assert len(states(api)) == len(three)


def test_what_was_not_possible_is_listed_with_the_reason(api):
    able, unable = api.create(name="able", schedule="manual"), api.create(name="unable", disabled=True)
    asked = api.submit("/jobs/bulk", action="start", ids=[able, unable], back="/jobs?owner=")
    page = api.submit("/jobs/bulk", **fields(asked)).body.decode()
    assert "Not possible for 1 job; done for 1." in page
    [(job_id, name, why)] = re.findall(r'<th scope="row"><a href="/jobs/([^"]+)">([^<]+)</a></th><td>(.*?)</td>', page)
    assert (job_id, name) == (unable, "unable")
    assert "is disabled; enable it" in why
    api.await_job(able, success_count=1)


def test_a_question_that_is_sent_twice_is_answered_alike_and_done_once(api):
    job_id = api.create(schedule="manual")
    sent = fields(api.submit("/jobs/bulk", action="start", ids=job_id))
    assert [api.submit("/jobs/bulk", **sent).status for _ in range(2)] == [303, 303]
    api.await_job(job_id, success_count=1)
    assert len(api.ask("GET", f"/api/v1/job/{job_id}/runs/").json["runs"]) == 1


def test_a_job_that_was_deleted_meanwhile_is_reported(api, three):
    asked = api.submit("/jobs/bulk", action="enable", ids=three)
    api.ask("DELETE", f"/api/v1/job/{three[0]}/")
    page = api.submit("/jobs/bulk", **fields(asked)).body.decode()
    assert "Not possible for 1 job; done for 2." in page
    assert "no job has the id" in page


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"action": "disable"}, "no job is ticked"),
        ({"action": "explode", "all": "1"}, "action: must be one of enable, disable, start, delete"),
        ({"action": "disable", "all": "1", "expect": "many", "key": "k"}, "expect: "),
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(api, three, given, sentence):
    response = api.submit("/jobs/bulk", **given)
    assert response.status == 400
    assert sentence in unescape(response.body.decode())
    assert states(api) == {"a": False, "b": False, "c": False}
