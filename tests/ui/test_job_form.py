"""The form of a job, without JavaScript: as HTML, and as what it sends."""

import json
import re
from urllib.parse import urlencode

import pytest
from form_page import FormPage
from process import eventually
from samples import FAR

from kala.api.job_fields import JOB, REMOTE


@pytest.fixture
def open_form(api):
    return lambda path="/jobs/new": FormPage(api.ask("GET", path))


@pytest.fixture
def send(api):
    """Send the form of a page with some of its fields changed, and return the response."""

    def send(page, do="save", path="/jobs/new", **fields):
        return api.submit(path, **page.values | {"do": do} | {name.replace("__", "."): v for name, v in fields.items()})

    return send


def only(api):
    [job_id] = api.jobs()
    return api.job(job_id)


def test_a_job_is_created_and_its_page_follows(api, open_form, send):
    response = send(open_form(), name="Nightly", command="echo a\r\necho b", schedule="30 2 * * *", tags="db, big")
    job = only(api)
    assert (response.status, response.headers["Location"]) == (303, f"/jobs/{job['id']}")
    assert (job["name"], job["command"], job["schedule"], job["tags"]) == (
        "Nightly",
        "echo a\necho b",
        "30 2 * * *",
        ["db", "big"],
    )


def test_the_page_of_the_new_run_follows_save_and_run(api, open_form, send):
    response = send(open_form(), do="run", name="a", command="true", schedule=FAR)
    run_id = re.fullmatch(r"/runs/(\d+)", response.headers["Location"])[1]
    assert api.ask("GET", f"/api/v1/run/{run_id}/").json["run"]["cause"] == "manual"


def test_a_job_that_runs_when_it_is_created_does_not_run_twice(api, open_form, send):
    response = send(open_form(), do="run", name="a", command="true")
    job = only(api)
    runs = api.ask("GET", f"/api/v1/job/{job['id']}/runs/").json["runs"]
    assert [f"/runs/{run['id']}" for run in runs] == [response.headers["Location"]]


@pytest.mark.parametrize("do", ["save", "run"])
def test_a_form_that_is_sent_twice_makes_one_job(api, open_form, send, do):
    page = open_form()
    first = send(page, do=do, name="a", command="true", schedule="manual")
    again = send(page, do=do, name="a", command="true", schedule="manual")
    assert first.headers["Location"] == again.headers["Location"]
    assert only(api)["name"] == "a"


def test_a_form_that_is_sent_with_another_content_makes_another_job(api, open_form, send):
    page = open_form()
    for name in ("a", "b"):
        assert send(page, name=name, command="true", schedule="manual").status == 303
    assert len(api.jobs()) == 2


def test_an_http_job_is_created(api, open_form, send):
    send(
        open_form(),
        name="Hook",
        type="1",
        schedule="manual",
        remote_properties__url="https://example.org/",
        remote_properties__headers="Accept: text/plain",
        remote_properties__expected_response_codes="200, 204",
    )
    job = only(api)
    assert (job["type"], job["command"]) == (1, "")
    assert job["remote_properties"] == {
        "url": "https://example.org/",
        "method": "GET",
        "body": "",
        "headers": {"Accept": ["text/plain"]},
        "timeout": 30,
        "expected_response_codes": [200, 204],
    }


def test_a_new_job_without_an_owner_gets_the_default_one(api, open_form, send):
    with api.configured(default_owner="ops@example.com"):
        send(open_form(), name="a", command="true", schedule="manual")
        job_id = only(api)["id"]
        assert only(api)["owner"] == "ops@example.com"
        send(open_form(f"/jobs/{job_id}/edit"), path=f"/jobs/{job_id}/edit", owner="")
        assert only(api)["owner"] == ""


@pytest.mark.parametrize(
    "case",
    [
        ("name", " ", "name: must not be empty"),
        ("schedule", "61 * * * *", "schedule: the minute must be"),
        ("timezone", "Europe/Bonn", "timezone: "),
        ("retries", "<two>", 'retries: must be a whole number between 0 and 1000000, not "<two>"'),
        ("tags", "a" * 51, "tags[0]: must be"),
        ("env", "A=b\nB", "env: must have NAME=value"),
        ("env", "A B=c", "env: must be a variable name"),
        ("memory_max", "512", "memory_max: must be 0 or a whole number"),
        ("parent_jobs", "nobody", "parent_jobs"),
        ("timeout", "10", "timeout"),
        ("TemplateDelimiters", "{{", "TemplateDelimiters"),
    ],
)
@pytest.mark.parametrize("do", ["save", "check"])
def test_an_error_stands_at_its_field_and_nothing_is_lost(api, open_form, send, do, case):
    field, text, sentence = case
    given = {"name": "a", "command": "echo '<b>'", "schedule": "", "description": "long"} | {field: text}
    page = FormPage(send(open_form(), do=do, **given))
    assert page.status == 400
    assert page.invalid == [field]
    identity = f"f-{field}"
    assert f'aria-describedby="{identity}-error {identity}-hint"' in page.html
    assert f'<a href="#{identity}">' in page.html
    assert 'role="alert" id="errors" tabindex="-1" autofocus' in page.html
    assert sentence in page.text
    assert {name: page.values[name].replace("\r\n", "\n") for name in given} == given
    assert api.jobs() == []


def test_a_folded_field_with_an_error_is_seen(open_form, send):
    page = FormPage(send(open_form(), name="a", command="true", jitter="5 minutes"))
    assert page.open.count(True) == 1
    assert open_form().open.count(True) == 0


def test_an_error_without_a_field_is_told_all_the_same(api, open_form, send):
    job_id = api.create()
    page = open_form(f"/jobs/{job_id}/edit")
    api.ask("DELETE", f"/api/v1/job/{job_id}/")
    page = FormPage(send(page, path=f"/jobs/{job_id}/edit", name="kept"))
    assert (page.status, page.values["name"]) == (404, "kept")
    assert "Save creates a new job" in page.text
    assert send(page).status == 303
    assert only(api)["name"] == "kept"


def test_check_says_what_the_schedule_means_and_stores_nothing(api, open_form, send):
    page = FormPage(
        send(open_form(), do="check", name="a", command="true", schedule="H 2 * * *", timezone="Asia/Tokyo")
    )
    assert page.status == 200
    assert "Nothing is wrong with this job. It is not saved yet." in page.text
    assert "At 02:" in page.text
    assert "With a number for each H :" in page.text
    assert len(re.findall(r"\d{4}-\d\d-\d\d 02:\d\d:00 \+09:00", page.text)) == 5
    assert api.jobs() == []


def test_check_finds_what_only_a_change_of_this_job_does_wrong(api, open_form, send):
    parent = api.create(name="parent")
    child = api.create(name="child", parent_jobs=[parent])
    page = open_form(f"/jobs/{parent}/edit")
    page = FormPage(send(page, do="check", path=f"/jobs/{parent}/edit", schedule="", parent_jobs=child))
    assert page.status == 400
    assert page.invalid == ["parent_jobs"]


def test_the_change_of_a_clock_is_told_before_a_job_is_saved(open_form, send):
    given = {"name": "a", "command": "true", "timezone": "Europe/Berlin"}
    page = FormPage(send(open_form(), do="check", schedule="R/2026-11-01T02:30:00/P1D", **given))
    assert "02:30 does not exist on 28 March 2027; runs at 03:30" in page.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Once, when it is created"),
        ({"schedule": "manual"}, "By hand or by another job"),
        ({"parent_jobs": "a"}, "After its parent succeeds"),
        ({"parent_jobs": "a\nb", "parents_mode": "all"}, "After all of its parents succeed"),
        ({"schedule": "61 * * * *"}, "schedule: the minute must be"),
    ],
)
def test_the_preview_says_when_a_job_runs(api, fields, sentence):
    page = FormPage(api.ask("GET", f"/jobs/new/preview?{urlencode(fields)}"))
    assert page.status == 200
    assert sentence in page.text


def test_the_preview_shows_the_slots_among_those_of_all_jobs(api):
    api.create(name="busy", schedule="*/5 * * * *")
    path = "/jobs/new/preview?schedule=*/15+*+*+*+*"
    # The slots of all jobs are kept for a moment if it took long to count them.
    html = eventually(lambda: (found := api.ask("GET", path).body.decode()).count('class="all"') >= 96 and found)
    assert html.count('class="own"') in (96, 97)
    assert 'role="img" aria-labelledby="load-text"' in html
    text = FormPage(api.ask("GET", path)).text
    assert "at most 3, at" in text
    assert "this job, 96 times, where all jobs have up to 3 slots in a quarter of an hour" in text


def test_a_schedule_with_very_many_slots_fills_the_whole_day(api):
    html = api.ask("GET", "/jobs/new/preview?schedule=R/2026-01-01T00:00:00Z/PT1S").body.decode()
    assert html.count('class="own"') in (96, 97)
    assert "1,000 or more times" in html


def test_a_form_that_is_sent_as_it_was_changes_nothing(api, open_form, send):
    parent = api.create(name="Dump")
    job_id = api.create(
        name="Upload",
        command="\na\r\nb\n",
        description="two\nlines",
        parent_jobs=[parent],
        env={"A": "b", "B": 'c\nd"'},
        tags=["x", "y z"],
        missed="skip",
        retries=3,
        retry_backoff=1.23456789,
        disabled=True,
        timeout="PT1M",
    )
    before, path = api.job(job_id), f"/jobs/{job_id}/edit"
    page = open_form(path)
    assert page.values["parent_jobs"] == "Dump"
    assert send(page, path=path).status == 303
    page = FormPage(send(open_form(path), do="json", path=path))
    assert send(page, path=path).status == 303
    assert api.job(job_id) == before


def test_a_change_is_saved(api, open_form, send):
    job_id = api.create(name="a", env={"A": "1", "B": "2"}, disabled=True, missed="skip", keep_runs=5)
    path = f"/jobs/{job_id}/edit"
    page = open_form(path)
    del page.values["disabled"]
    response = send(page, path=path, env="B=3\r\nC=4", missed="once", keep_runs="")
    assert (response.status, response.headers["Location"]) == (303, f"/jobs/{job_id}")
    job = api.job(job_id)
    assert (job["env"], job["disabled"], job["missed"], job["keep_runs"]) == ({"B": "3", "C": "4"}, False, "once", 0)


def test_a_command_becomes_an_http_job_and_back(api, open_form, send):
    job_id = api.create(name="a")
    path = f"/jobs/{job_id}/edit"
    assert send(open_form(path), path=path, type="1", remote_properties__url="http://example.org").status == 303
    assert api.job(job_id)["remote_properties"]["url"] == "http://example.org"
    assert send(open_form(path), path=path, type="0", command="true").status == 303
    assert (api.job(job_id)["type"], api.job(job_id)["command"]) == (0, "true")


def test_a_copy_has_all_but_the_name(api, open_form, send):
    job_id = api.create(name="Backup", command="a\r\nb", env={"A": "b"}, retries=2)
    page = open_form(f"/jobs/new?copy={job_id}")
    assert page.values["name"] == "Backup copy"
    response = send(page)
    copy = api.job(response.headers["Location"].removeprefix("/jobs/"))
    assert (copy["name"], copy["command"], copy["env"], copy["retries"]) == ("Backup copy", "a\r\nb", {"A": "b"}, 2)


def test_two_editors_at_once_are_told(api, open_form, send):
    job_id = api.create(name="a", retries=1)
    path = f"/jobs/{job_id}/edit"
    mine, theirs = open_form(path), open_form(path)
    assert send(theirs, path=path, retries="2", owner="them").status == 303
    page = FormPage(send(mine, path=path, retries="3", command="mine"))
    assert page.status == 412
    assert "Somebody else changed this job meanwhile" in page.text
    rows = re.findall(r"<th scope=\"row\">(.+?)</th><td><pre>(.*?)</pre></td><td><pre>(.*?)</pre>", page.html)
    assert rows == [("Command", "true", "mine"), ("Owner", "them", "–"), ("Retries", "2", "3")]
    assert (page.values["retries"], page.values["command"]) == ("3", "mine")
    assert api.job(job_id)["retries"] == 2
    assert send(page, path=path).status == 303
    assert (api.job(job_id)["retries"], api.job(job_id)["owner"]) == (3, "")


@pytest.mark.parametrize("view", ["form", "json"])
def test_two_changes_at_once_can_be_combined(api, open_form, send, view):
    job_id = api.create(name="a", env={"A": "1"})
    path = f"/jobs/{job_id}/edit"
    mine, theirs = open_form(path), open_form(path)
    send(theirs, path=path, retries="2", owner="them", command="theirs")
    mine.values |= {"retries": "3", "env": "A=2"}
    if view == "json":
        mine = FormPage(send(mine, do="json", path=path))
    page = FormPage(send(FormPage(send(mine, path=path)), do="combine", path=path))
    assert "Both changes are in the form." in page.text
    assert api.job(job_id)["retries"] == 2
    assert send(page, path=path).status == 303
    job = api.job(job_id)
    assert (job["retries"], job["owner"], job["command"], job["env"]) == (3, "them", "theirs", {"A": "2"})


def test_a_third_editor_is_told_again(api, open_form, send):
    job_id = api.create(name="a")
    path = f"/jobs/{job_id}/edit"
    page = open_form(path)
    for retries in (1, 2):
        api.ask("PATCH", f"/api/v1/job/{job_id}/", {"retries": retries})
        page = FormPage(send(page, path=path, name="mine"))
        assert page.status == 412


def test_the_form_becomes_json_and_back(open_form, send):
    page = FormPage(send(open_form(), do="json", name="a", command="x", env="A=b", retries="two", priority="5"))
    assert json.loads(page.values["source"]) == {
        "name": "a",
        "command": "x",
        "env": {"A": "b"},
        "retries": "two",
        "priority": 5,
    }
    action = '"Type": 1, "remote_properties": {"URL": "http://example.org"}'
    source = f'{{"NAME": "b", {action}, "resume_at_next_scheduled_time": true}}'
    page = FormPage(send(page, do="form", source=source))
    assert (page.status, page.values["as"]) == (200, "form")
    assert (page.values["name"], page.values["type"], page.values["remote_properties.url"], page.values["missed"]) == (
        "b",
        "1",
        "http://example.org",
        "skip",
    )


@pytest.mark.parametrize(
    "case",
    [
        ('{"name": "a",\n "command" "b"}', "(line 2, column 12)"),
        ('{"name": "a", "comand": "b"}', "comand: unknown field; did you mean command?"),
        ('{"name": "a", "command": "b", "tags": "db"}', "tags: must be a list"),
        ("", "body: empty"),
    ],
)
@pytest.mark.parametrize("do", ["save", "form", "check"])
def test_an_error_in_json_is_told_with_its_place(api, open_form, send, do, case):
    source, sentence = case
    page = FormPage(send(FormPage(send(open_form(), do="json")), do=do, source=source))
    assert (page.status, page.values["as"]) == (400, "json")
    assert sentence in page.text
    assert page.values["source"].replace("\r\n", "\n") == source
    assert api.jobs() == []


def test_a_job_is_created_and_changed_as_json(api, open_form, send):
    page = FormPage(send(open_form(), do="json"))
    source = '{"name": "a", "command": "true", "schedule": "manual", "retries": 2, "retry_backoff": 1.5}'
    location = send(page, source=source).headers["Location"]
    path = f"{location}/edit"
    page = FormPage(send(open_form(path), do="json", path=path))
    given = json.loads(page.values["source"])
    assert given == json.loads(source) | {"owner": ""}
    del given["retries"]
    assert send(page, path=path, source=json.dumps(given | {"env": {"A": "b"}})).status == 303
    assert (only(api)["retries"], only(api)["env"], only(api)["retry_backoff"]) == (0, {"A": "b"}, 1.5)


def test_two_editors_of_json_are_told(api, open_form, send):
    job_id = api.create(name="a")
    path = f"/jobs/{job_id}/edit"
    page = FormPage(send(open_form(path), do="json", path=path))
    api.ask("PATCH", f"/api/v1/job/{job_id}/", {"retries": 5})
    page = FormPage(send(page, path=path))
    assert (page.status, page.values["as"]) == (412, "json")
    assert re.search(r"Retries</th><td><pre>5</pre></td><td><pre>0</pre>", page.html)


def test_there_is_no_form_of_a_job_that_does_not_exist(api):
    for path in ("/jobs/nothing/edit", "/jobs/new?copy=nothing"):
        assert api.ask("GET", path).status == 404


def test_the_zones_are_suggested(open_form):
    assert "<option>Europe/Berlin</option>" in open_form().html


@pytest.mark.parametrize(
    "value", [1.5, "\ud800\0", {"a": None}, [None], True], ids=["1.5", "text", "object", "list", "true"]
)
def test_whatever_stands_in_json_is_shown_or_refused_with_a_sentence(api, open_form, send, value):
    page = FormPage(send(open_form(), do="json"))
    for name in (*JOB, *REMOTE):
        remote = {"type": 1, "remote_properties": {"url": "http://example.org"} | {name: value}}
        source = {"name": "a", "command": "true"} | ({name: value} if name in JOB else remote)
        found = FormPage(send(page, do="form", source=json.dumps(source)))
        assert found.status == 200 or 'role="alert"' in found.html, name
        assert found.status in (200, 400), name
    assert api.jobs() == []


def test_what_people_write_is_never_html(open_form, send):
    page = FormPage(
        send(open_form(), do="check", name="</h1><script>", schedule="<script>", command="</textarea><script>")
    )
    assert page.status == 400
    assert "<script>" not in re.sub(r"<script (type=\"module\" )?src=", "", page.html)
    assert page.values["command"] == "</textarea><script>"
