"""How jobs are created over HTTP, and how they are shown."""

import gzip
import json
import os
import uuid

import pytest
from samples import FAR, NEVER, NO_COUNTS, REMOTE, UNKNOWN, local

from kala.api import kinds
from kala.core.job import FIELDS


class TestCreatingAJob:
    def test_the_response_is_its_id_a_uuid(self, idle_api):
        response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"})
        assert response.status == 201
        assert list(response.json) == ["id"]
        assert str(uuid.UUID(response.json["id"])) == response.json["id"]

    def test_a_field_that_is_not_given_has_its_default(self, idle_api):
        job_id = idle_api.create(name="backup", command="tar cf b.tar data")
        job = idle_api.ask("GET", f"/api/v1/job/{job_id}/").json["job"]
        defaults = {name: kinds.as_json(one.kind, one.default) for name, one in FIELDS.items()}
        assert job == defaults | {
            "id": job_id,
            "name": "backup",
            "command": "tar cf b.tar data",
            "schedule": FAR,
            "type": 0,
            "remote_properties": {
                "url": "",
                "method": "",
                "body": "",
                "headers": None,
                "timeout": 0,
                "expected_response_codes": None,
            },
            "resume_at_next_scheduled_time": False,
            "dependent_jobs": None,
            "next_run_at": "2099-01-01T00:00:00Z",
            "next_run_local": local("2099-01-01T00:00:00Z"),
            "schedule_resolved": "",
            **NO_COUNTS,
            "metadata": {**NO_COUNTS, "number_of_finished_runs": 0},
            "stats": None,
            "is_done": False,
        }

    def test_the_fields_of_gos_kala_have_its_defaults(self, idle_api):
        job = idle_api.job(idle_api.create(schedule=None, parent_jobs=[idle_api.create()]))
        strings = dict.fromkeys(["owner", "on_failure_job", "schedule", "epsilon", "TemplateDelimiters"], "")
        expected = strings | {"disabled": False, "retries": 0, "resume_at_next_scheduled_time": False}
        assert {name: job[name] for name in expected} == expected

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


def test_a_compressed_body_is_refused(idle_api):
    response = idle_api.ask("POST", "/api/v1/job/", gzip.compress(b"{}"), Content_Encoding="gzip")
    assert response.status == 400
