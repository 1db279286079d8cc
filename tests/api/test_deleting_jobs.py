"""How jobs are deleted over HTTP, and with them their children."""

import pytest


class TestDeletingJobs:
    def test_a_deleted_job_is_gone(self, idle_api):
        gone, left = idle_api.create(), idle_api.create()
        assert idle_api.ask("DELETE", f"/api/v1/job/{gone}/").status == 204
        assert idle_api.ask("GET", f"/api/v1/job/{gone}/").status == 404
        assert idle_api.ask("GET", f"/api/v1/job/stats/{gone}/").status == 404
        assert idle_api.ask("DELETE", f"/api/v1/job/{gone}/").status == 404
        assert idle_api.jobs() == [left]

    def test_a_child_without_another_parent_is_deleted_with_its_parent(self, idle_api):
        first, second = idle_api.create(), idle_api.create()
        only, both = idle_api.create(parent_jobs=[first]), idle_api.create(parent_jobs=[first, second])
        idle_api.ask("DELETE", f"/api/v1/job/{first}/")
        assert idle_api.jobs() == [second, both]
        assert idle_api.job(both)["parent_jobs"] == [second]
        assert idle_api.ask("GET", f"/api/v1/job/{only}/").status == 404

    def test_a_deleted_child_leaves_its_parent(self, idle_api):
        parent = idle_api.create()
        idle_api.ask("DELETE", f"/api/v1/job/{idle_api.create(parent_jobs=[parent])}/")
        assert idle_api.job(parent)["dependent_jobs"] is None

    def test_a_deleted_on_failure_job_is_no_longer_referenced(self, idle_api):
        cleaner = idle_api.create()
        job_id = idle_api.create(on_failure_job=cleaner)
        idle_api.ask("DELETE", f"/api/v1/job/{cleaner}/")
        assert idle_api.job(job_id)["on_failure_job"] == ""

    def test_all_jobs_can_be_deleted_at_once(self, idle_api):
        idle_api.create(parent_jobs=[idle_api.create()])
        assert idle_api.ask("DELETE", "/api/v1/job/all/").status == 204
        assert idle_api.ask("GET", "/api/v1/job/").json == {"jobs": {}}
        assert idle_api.totals()["jobs"] == 0


class TestDeletingAParent:
    @pytest.fixture
    def family(self, idle_api) -> list[str]:
        """A parent, its child and grandchild; and a job that has another parent, too."""
        parent = idle_api.create(name="parent")
        child = idle_api.create(name="child", parent_jobs=[parent])
        grandchild = idle_api.create(name="grandchild", parent_jobs=[child])
        idle_api.create(name="nephew", parent_jobs=[parent, idle_api.create(name="other")])
        return [parent, child, grandchild]

    def test_returns_the_deleted_jobs_on_request(self, idle_api, family):
        response = idle_api.ask("DELETE", f"/api/v1/job/{family[0]}/?return=deleted")
        names = ["parent", "child", "grandchild"]
        assert response.status == 200
        assert response.json == {
            "deleted": [{"id": job_id, "name": name} for job_id, name in zip(family, names, strict=True)]
        }

    def test_can_be_asked_before_which_jobs_it_deletes(self, idle_api, family):
        would = idle_api.ask("GET", f"/api/v1/job/{family[0]}/deletion/").json["jobs"]
        assert [job["name"] for job in would] == ["parent", "child", "grandchild"]
        assert idle_api.ask("DELETE", f"/api/v1/job/{family[0]}/?return=deleted").json == {"deleted": would}
        assert idle_api.ask("GET", f"/api/v1/job/{family[0]}/deletion/").status == 404
