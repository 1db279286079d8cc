"""The graph of jobs: its components, and the jobs around a job as an indented list."""

import re
from html import unescape

import pytest

from kala.api.graph_schema import GraphEdge, GraphNode
from kala.ui.pages.graph import outline


@pytest.fixture
def jobs(api):
    """A parent with two children, of which one has a child that the other has, too, and an on-failure job; by name."""
    ids = {"tell": api.create(name="tell", schedule="manual")}
    ids["backup"] = api.create(name="backup", on_failure_job=ids["tell"])
    ids["check"] = api.create(name="check", parent_jobs=[ids["backup"]])
    ids["upload"] = api.create(name="upload", parent_jobs=[ids["backup"]], disabled=True)
    ids["report"] = api.create(name="report", parent_jobs=[ids["check"], ids["upload"]])
    ids["alone"] = api.create(name="alone")
    return ids


def page(api, path: str, status: int = 200) -> str:
    response = api.ask("GET", path, Accept="text/html")
    assert response.status == status, response.body
    return response.body.decode()


def lines(html: str) -> list[str]:
    """Return the text of each line of the list."""
    texts = re.findall(r"<li[^>]*>(.*?)(?=<li|</li|<ul)", html[html.index('class="tree"') :], re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split()) for text in texts]


def outlined(nodes: str, *edges: str) -> list[str]:
    found = outline(
        [GraphNode(name, name, disabled=False) for name in nodes], [GraphEdge(edge[0], edge[1], "") for edge in edges]
    )
    return [f"{line.level}{line.node.name}{'^' if line.is_again else ''}" for line in found]


class TestComponents:
    def test_are_listed_with_their_size_and_the_number_of_other_jobs(self, api, jobs):
        html = page(api, "/graph")
        assert f"/graph?job={jobs['tell']}&amp;depth=all" in html
        assert "1 job stands alone." in html

    def test_one_with_a_failing_job_says_so(self, api, jobs):
        failing = api.create(name="failing", command="exit 1", parent_jobs=[jobs["alone"]])
        assert "failing</span>" not in page(api, "/graph")
        api.ask("POST", f"/api/v1/job/start/{failing}/")
        api.await_job(failing, error_count=1)
        assert page(api, "/graph").count("1 failing</span>") == 1

    def test_of_a_kala_where_no_job_starts_another_are_an_example(self, api):
        api.create()
        html = page(api, "/graph")
        assert "No job starts another." in html
        assert "parent_jobs" in html
        assert 'name="job"' not in html

    def test_are_at_most_a_hundred_on_the_page(self, api):
        for parent in api.create_many(101):
            api.create(name="child", parent_jobs=[parent])
        html = page(api, "/graph")
        assert html.count("&amp;depth=all") == 100
        assert "1 smaller group is not listed" in html

    def test_cost_the_same_however_many_jobs_stand_alone(self, api, jobs):
        before = len(page(api, "/graph"))
        api.create_many(300)
        html = page(api, "/graph")
        assert "301 jobs stand alone." in html
        assert len(html) < before + 100


class TestAround:
    def test_a_job_is_a_list_in_which_each_job_stands_below_one_that_starts_it(self, api, jobs):
        assert lines(page(api, f"/graph?job={jobs['backup']}&depth=all")) == [
            "new backup this job",
            "new check Look around",
            "new report Look around",
            "new disabled upload Look around",
            "report is listed above",
            "on failure new tell Look around",
        ]

    def test_a_job_can_be_given_by_its_name(self, api, jobs):
        assert lines(page(api, "/graph?job=backup")) == lines(page(api, f"/graph?job={jobs['backup']}&depth=1"))

    @pytest.mark.parametrize(("depth", "count"), [("1", 2), ("2", 4), ("all", 5)])
    def test_a_job_ends_after_as_many_steps_as_chosen(self, api, jobs, depth, count):
        assert f"{count} jobs and what they start" in page(api, f"/graph?job={jobs['tell']}&depth={depth}")

    def test_a_job_says_how_its_runs_stand(self, api, jobs):
        api.ask("POST", f"/api/v1/job/start/{jobs['report']}/")
        api.await_job(jobs["report"], success_count=1)
        assert "succeeded report this job" in lines(page(api, f"/graph?job={jobs['report']}"))

    def test_a_job_can_be_downloaded_for_graphviz(self, api, jobs):
        link = unescape(re.search(r'href="([^"]+)" download="backup.dot"', page(api, "/graph?job=backup"))[1])
        response = api.ask("GET", link)
        assert response.headers["Content-Type"] == "text/vnd.graphviz; charset=utf-8"
        assert response.body.count(b"->") == 3

    def test_more_jobs_than_can_be_drawn_are_a_list(self, api, jobs):
        assert "data-draw" in page(api, "/graph?job=alone")
        api.create_many(310, on_failure_job=jobs["alone"])
        html = page(api, "/graph?job=alone")
        assert "data-draw" not in html
        assert "Only the 300 nearest jobs are listed" in html
        assert html.count('id="node-') == 300

    def test_more_links_than_can_be_drawn_are_a_list(self, api):
        first = api.create_many(20)
        for number in range(21):
            api.create(name=f"child {number}", parent_jobs=first)
        html = page(api, f"/graph?job={first[0]}&depth=2")
        assert "data-draw" not in html
        assert "too much to be drawn" in html
        assert html.count('data-kind="success"') == 420

    @pytest.mark.parametrize(
        ("query", "status", "sentence"),
        [
            ("?job=none", 404, "job: no job has the id or name"),
            ("?job=a&depth=far", 400, "depth: must be a whole number"),
        ],
    )
    def test_what_does_not_exist_is_an_error_page(self, api, query, status, sentence):
        html = page(api, f"/graph{query}", status)
        assert 'role="alert"' in html
        assert sentence in html


class TestOutline:
    def test_a_job_with_two_parents_is_expanded_once(self):
        assert outlined("abcd", "ab", "ac", "bd", "cd") == ["0a", "1b", "2d", "1c", "2d^"]

    def test_jobs_that_start_each_other_are_listed_though_none_is_first(self):
        assert outlined("ab", "ab", "ba") == ["0a", "1b", "2a^"]

    def test_a_long_chain_is_indented_a_little_only(self):
        names = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
        found = outlined(names, *(names[i : i + 2] for i in range(len(names) - 1)))
        assert len(found) == 2000
        assert found[-1][0] == "8"

    def test_each_edge_is_listed_once(self):
        edges = ["ab", "ac", "bc", "cd", "bd", "ad", "ed"]
        assert len(outlined("abcde", *edges)) == len(edges) + len("ae")
