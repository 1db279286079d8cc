"""How jobs are listed over HTTP."""

import http.client
import http.server
import json
from datetime import UTC

import pytest
from samples import UNKNOWN

from kala.api import job_lists, kept_lists, paging


class TestListingJobs:
    def test_a_list_has_each_job_by_id_in_the_order_of_creation(self, idle_api):
        ids = [idle_api.create(name=name) for name in "cab"]
        assert idle_api.ask("GET", "/api/v1/job/").json == {"jobs": {job_id: idle_api.job(job_id) for job_id in ids}}
        assert idle_api.jobs() == ids

    @pytest.fixture
    def some(self, idle_api):
        """The ids of jobs by name, for the filters to find."""
        made = {
            "Nightly backup": idle_api.create(name="Nightly backup", owner="ann@example.org"),
            "backup 100%": idle_api.create(name="backup 100%", owner="bob@example.org", disabled=True),
            "report_a": idle_api.create(name="report_a", owner="ann@example.org", disabled=True),
            "report b": idle_api.create(name="report b"),
        }
        idle_api.ask("PATCH", f"/api/v1/job/{made['report b']}/", {"schedule": None})
        return made

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?q=", ["Nightly backup", "backup 100%", "report_a", "report b"]),
            ("?q=backup", ["Nightly backup", "backup 100%"]),
            ("?q=BACKUP", ["Nightly backup", "backup 100%"]),
            ("?q=report+b", ["report b"]),
            ("?q=report%20b", ["report b"]),
            ("?q=%25", ["backup 100%"]),
            ("?q=_", ["report_a"]),
            ("?q=%27%20OR%201=1", []),
            ("?q=\\", []),
            ("?q=*", []),
            ("?owner=ann@example.org", ["Nightly backup", "report_a"]),
            ("?owner=ann", []),
            ("?owner=", ["report b"]),
            ("?disabled=true", ["backup 100%", "report_a"]),
            ("?disabled=1", ["backup 100%", "report_a"]),
            ("?disabled=False", ["Nightly backup", "report b"]),
            ("?done=true", ["report b"]),
            ("?done=0", ["Nightly backup", "backup 100%", "report_a"]),
            ("?owner=ann@example.org&disabled=true", ["report_a"]),
            ("?q=backup&limit=1", ["Nightly backup"]),
            ("?limit=3", ["Nightly backup", "backup 100%", "report_a"]),
            ("?limit=999999999999999999", ["Nightly backup", "backup 100%", "report_a", "report b"]),
        ],
    )
    def test_filters_narrow_a_list(self, idle_api, some, query, names):
        assert idle_api.jobs(query) == [some[name] for name in names]

    def test_a_filter_by_tag_finds_the_jobs_that_have_all_of_the_tags(self, idle_api):
        both = idle_api.create(tags=["nightly", "R&D team"])
        one = idle_api.create(tags=["nightly"])
        idle_api.create(tags=["Nightly", "nightly2"])
        assert idle_api.jobs("?tag=nightly") == [both, one]
        assert idle_api.jobs("?tag=nightly,R%26D+team") == [both]
        assert idle_api.jobs("?tag=nightly,weekly") == []
        assert idle_api.jobs(f"?tag=nightly&after={both}") == [one]
        assert idle_api.jobs("?tag=nightly&limit=1") == [both]

    def test_a_filter_by_tag_follows_changes_of_jobs(self, idle_api):
        changed, deleted = idle_api.create(tags=["a", "b"]), idle_api.create(tags=["b"])
        idle_api.ask("PATCH", f"/api/v1/job/{changed}/", {"tags": ["b", "c"]})
        assert [idle_api.jobs(f"?tag={tag}") for tag in "abc"] == [[], [changed, deleted], [changed]]
        idle_api.ask("DELETE", f"/api/v1/job/{deleted}/")
        idle_api.ask("PATCH", f"/api/v1/job/{changed}/", {"retries": 1})
        assert [idle_api.jobs(f"?tag={tag}") for tag in "abc"] == [[], [changed], [changed]]
        idle_api.ask("PATCH", f"/api/v1/job/{changed}/", {"tags": None})
        assert idle_api.jobs("?tag=b") == []

    @pytest.mark.parametrize("tag", ["", "a,", "a,,b", "+a", "x" * 51, "%0A", ",".join(map(str, range(21)))])
    def test_a_filter_by_what_is_no_tag_is_refused(self, idle_api, tag):
        response = idle_api.ask("GET", f"/api/v1/job/?tag={tag}")
        assert response.status == 400
        assert response.error.startswith("tag")

    def test_a_filter_by_name_ignores_case_beyond_ascii(self, idle_api):
        job_id = idle_api.create(name="Übung")
        idle_api.create(name="Uebung")
        assert idle_api.jobs("?q=%C3%9Cb") == [job_id]

    def test_after_continues_where_a_page_ended(self, idle_api):
        ids = idle_api.create_many(7)
        found, query = [], "?limit=3"
        while page := idle_api.jobs(query):
            found += page
            query = f"?limit=3&after={page[-1]}"
        assert found == ids

    def test_after_can_be_combined_with_filters(self, idle_api, some):
        assert idle_api.jobs(f"?q=report&after={some['report_a']}") == [some["report b"]]

    def test_after_an_unknown_job_is_404(self, idle_api):
        response = idle_api.ask("GET", f"/api/v1/job/?after={UNKNOWN}")
        assert response.status == 404
        assert response.error.startswith(f"after: no job has the id or name '{UNKNOWN}'")

    @pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2500])
    def test_a_long_list_is_complete_whatever_the_size_of_its_parts(self, idle_api, count):
        ids = idle_api.create_many(count)
        assert idle_api.jobs() == ids
        assert idle_api.jobs("?limit=1001") == ids[:1001]
        assert idle_api.jobs(f"?limit=1500&after={ids[0]}") == ids[1:1501]

    def test_a_long_list_reaches_a_client_without_chunked_encoding(self, idle_api):
        ids = idle_api.create_many(1500)
        response = idle_api.send(b"GET /api/v1/job/ HTTP/1.0\r\nHost: %HOST%\r\n\r\n")
        assert "Transfer-Encoding" not in response.headers
        assert list(response.json["jobs"]) == ids

    def test_head_of_a_long_list_has_no_body(self, idle_api):
        idle_api.create_many(1500)
        assert idle_api.ask("HEAD", "/api/v1/job/").body == b""
        assert idle_api.ask("GET", "/api/v1/stats/").status == 200

    def test_a_client_that_disconnects_within_a_long_list_leaks_nothing(self, idle_api):
        ids = idle_api.create_many(2500)
        for _ in range(5):
            connection = http.client.HTTPConnection(idle_api.host, idle_api.port, timeout=5)
            connection.request("GET", "/api/v1/job/")
            assert connection.getresponse().read(10) == b'{"jobs":{"'
            connection.close()
        assert idle_api.jobs("?limit=3") == ids[:3]

    def test_a_list_stays_valid_when_jobs_are_deleted_while_it_is_sent(self, idle_api, monkeypatch):
        for module in (paging, kept_lists):
            monkeypatch.setattr(module, "PART_BYTES", 2000)  # less than the length of two jobs
        monkeypatch.setattr(kept_lists, "_BATCH", 1)
        ids = idle_api.create_many(7)
        lists = job_lists.JobLists(idle_api.app._store, idle_api.app._lists._outputs, lambda: UTC)
        parts = lists.search(idle_api.request("listJobs")).body
        sent = next(parts) + next(parts)
        for job_id in ids[2:4]:
            idle_api.ask("DELETE", f"/api/v1/job/{job_id}/")
        assert list(json.loads(sent + b"".join(parts))["jobs"]) == ids
        assert idle_api.jobs() == ids[:2] + ids[4:]
