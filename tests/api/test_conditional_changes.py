"""Changes only of a job that is still as the client has read it (RFC 9110, 13.1.1)."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from samples import JOB


def path_of(job_id):
    return f"/api/v1/job/{job_id}/"


@pytest.fixture
def job(idle_api):
    """The path of a job."""
    return path_of(idle_api.create(name="a job"))


def tag_of(api, path):
    return api.ask("GET", path).headers["ETag"]


class TestTheETag:
    def test_is_in_the_responses_to_get_head_put_and_patch(self, idle_api, job):
        tags = {idle_api.ask(method, job).headers["ETag"] for method in ("GET", "HEAD")}
        for method, body in (("PATCH", {"retries": 0}), ("PUT", JOB | {"name": "a job"})):
            tags.add(idle_api.ask(method, job, body).headers["ETag"])
        [tag] = tags
        assert tag == f'"{tag[1:-1]}"'

    @pytest.mark.parametrize("change", [{"retries": 1}, {"disabled": True}, {"tags": ["a"]}, {"env": {"A": "1"}}])
    def test_changes_with_each_field_of_the_owner_and_back(self, idle_api, job, change):
        before = tag_of(idle_api, job)
        changed = idle_api.ask("PATCH", job, change).headers["ETag"]
        assert before != changed == tag_of(idle_api, job)
        assert idle_api.ask("PATCH", job, dict.fromkeys(change)).headers["ETag"] == before

    def test_changes_when_the_job_is_disabled_or_loses_a_parent(self, idle_api, job):
        before = tag_of(idle_api, job)
        idle_api.ask("POST", job.replace("/job/", "/job/disable/"))
        assert tag_of(idle_api, job) != before
        parent, other = idle_api.create(), idle_api.create()
        child = path_of(idle_api.create(schedule=None, parent_jobs=[parent, other]))
        before = tag_of(idle_api, child)
        idle_api.ask("DELETE", path_of(other))
        assert tag_of(idle_api, child) != before

    def test_does_not_change_with_runs(self, api):
        job = path_of(api.create())
        before = tag_of(api, job)
        api.ask("POST", job.replace("/job/", "/job/start/"))
        api.await_job(job.split("/")[-2], success_count=1)
        assert tag_of(api, job) == before


CHANGES = [("PATCH", {"retries": 5}), ("PUT", JOB), ("DELETE", None)]


class TestIfMatch:
    @pytest.mark.parametrize(("method", "body"), CHANGES)
    @pytest.mark.parametrize("given", ["{}", '"other", {}', '{},"other"', 'W/"other" , {} ', "*", " * "])
    def test_a_change_of_the_job_as_it_was_read_is_made(self, idle_api, job, method, body, given):
        response = idle_api.ask(method, job, body, If_Match=given.format(tag_of(idle_api, job)))
        assert response.status == (204 if method == "DELETE" else 200)

    @pytest.mark.parametrize(("method", "body"), CHANGES)
    @pytest.mark.parametrize("given", ['"other"', "W/{}", '""', 'W/{}, "other"'])
    def test_a_change_of_another_state_is_412(self, untouched, method, body, given):
        job = path_of(untouched.id)
        response = untouched.api.ask(method, job, body, If_Match=given.format(tag_of(untouched.api, job)))
        untouched.assert_refused(response, status=412, start=f"job {untouched.id} (job) was changed since you read it")

    @pytest.mark.parametrize(("method", "body"), CHANGES)
    @pytest.mark.parametrize("given", ["", "abc", '"abc', 'abc"', '"a" "b" c', "**", '*, "a"', "'abc'", ","])
    def test_a_header_without_entity_tags_is_400(self, untouched, method, body, given):
        response = untouched.api.ask(method, path_of(untouched.id), body, If_Match=given)
        untouched.assert_refused(response, start="If-Match: must be entity tags")

    def test_an_unknown_job_is_404(self, idle_api):
        assert idle_api.ask("DELETE", path_of("nobody"), If_Match="*").status == 404

    def test_a_stale_change_is_412_even_if_it_is_invalid_now(self, idle_api, job):
        before = tag_of(idle_api, job)
        idle_api.ask("PATCH", job, {"type": 1, "remote_properties": {"url": "http://example.org"}})
        assert idle_api.ask("PATCH", job, {"command": None, "type": 0}, If_Match=before).status == 412

    def test_of_many_editors_at_once_one_succeeds(self, idle_api, job):
        tag = tag_of(idle_api, job)

        def edit(number):
            with closing(type(idle_api)(idle_api.app)) as editor:
                return editor.ask("PATCH", job, {"retries": number + 1}, If_Match=tag).status

        with ThreadPoolExecutor(8) as editors:
            assert sorted(editors.map(edit, range(8))) == [200] + [412] * 7
