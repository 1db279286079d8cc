"""The graph around a job, and the connected components of the whole graph."""

import pytest


@pytest.fixture
def jobs(idle_api):
    """Four jobs in a chain, where the last one is an on-failure job, and a job apart; by name."""
    ids = {}
    ids["a"] = idle_api.create(name="a")
    ids["b"] = idle_api.create(name="b", parent_jobs=[ids["a"]])
    ids["d"] = idle_api.create(name="d")
    ids["c"] = idle_api.create(name="c", parent_jobs=[ids["b"]], on_failure_job=ids["d"])
    ids["e"] = idle_api.create(name="e")
    return ids


def graph(api, query: str):
    response = api.ask("GET", f"/api/v1/graph/{query}")
    assert response.status == 200, response.body
    return response.json


@pytest.mark.parametrize(
    ("job", "depth", "found"),
    [
        ("a", 0, ("a", 0)),
        ("a", 1, ("ab", 1)),
        ("b", 1, ("abc", 2)),
        ("c", 1, ("bdc", 2)),
        ("a", 3, ("abdc", 3)),
        ("d", 100, ("abdc", 3)),
        ("e", 5, ("e", 0)),
    ],
)
def test_it_ends_at_a_distance_from_the_job(idle_api, jobs, job, depth, found):
    told = graph(idle_api, f"?job={job}&depth={depth}")
    assert ("".join(node["name"] for node in told["nodes"]), len(told["edges"])) == found
    assert not told["has_more"]
    assert graph(idle_api, f"?job={jobs[job]}&depth={depth}") == told


def test_its_edges_have_kinds_and_its_nodes_the_last_state(idle_api, jobs):
    idle_api.ask("POST", f"/api/v1/job/start/{jobs['c']}/")
    told = graph(idle_api, "?job=c")
    assert {(edge["from"], edge["to"]): edge["kind"] for edge in told["edges"]} == {
        (jobs["b"], jobs["c"]): "success",
        (jobs["c"], jobs["d"]): "failure",
    }
    assert {node["name"]: node["last_state"] for node in told["nodes"]} == {"b": None, "c": "queued", "d": None}


def test_it_can_be_drawn(idle_api, jobs):
    response = idle_api.ask("GET", "/api/v1/graph/?job=c&format=dot")
    assert response.headers["Content-Type"] == "text/vnd.graphviz; charset=utf-8"
    text = response.body.decode()
    assert text.startswith("digraph kala {\n")
    assert f'"{jobs["c"]}" -> "{jobs["d"]}" [style=dashed];\n' in text
    assert '[label="a"]' not in text


def test_a_job_with_very_many_children_shows_some_and_says_so(idle_api):
    parent = idle_api.create(name="parent")
    for number in range(310):
        idle_api.create(name=f"child {number}", parent_jobs=[parent])
    told = graph(idle_api, "?job=parent")
    assert (len(told["nodes"]), told["has_more"]) == (300, True)


def test_components_are_named_by_their_oldest_job(idle_api, jobs):
    told = graph(idle_api, "?components=1")
    assert {node["name"]: node["component"] for node in told["nodes"]} == {
        "a": jobs["a"],
        "b": jobs["a"],
        "c": jobs["a"],
        "d": jobs["a"],
        "e": jobs["e"],
    }
    assert {node["last_state"] for node in told["nodes"]} == {None}
    assert told["components"] == [{"id": jobs["a"], "name": "a", "jobs": 4}]
    assert len(told["edges"]) == 3


def test_components_are_listed_the_largest_first(idle_api, jobs):
    f = idle_api.create(name="f", parent_jobs=[jobs["e"]])
    idle_api.create(name="alone")
    listed = idle_api.ask("GET", "/api/v1/graph/components/").json
    assert listed == {
        "components": [
            {"id": jobs["a"], "name": "a", "jobs": 4, "failing": 0},
            {"id": jobs["e"], "name": "e", "jobs": 2, "failing": 0},
        ],
        "count": 2,
        "alone": 1,
    }
    shorter = idle_api.ask("GET", "/api/v1/graph/components/?limit=1").json
    assert shorter == listed | {"components": listed["components"][:1]}
    idle_api.ask("DELETE", f"/api/v1/job/{f}/")
    assert idle_api.ask("GET", "/api/v1/graph/components/").json["alone"] == 2


def test_components_count_the_jobs_that_fail(api):
    parent = api.create(name="parent", command="exit 1")
    api.create(name="child", parent_jobs=[parent])
    api.ask("POST", f"/api/v1/job/start/{parent}/")
    api.await_job(parent, error_count=1)
    assert [one["failing"] for one in api.ask("GET", "/api/v1/graph/components/").json["components"]] == [1]


def test_without_jobs_there_are_no_components(idle_api):
    assert idle_api.ask("GET", "/api/v1/graph/components/").json == {"components": [], "count": 0, "alone": 0}


def test_without_parameters_nothing_is_added(idle_api, jobs):
    told = graph(idle_api, "")
    assert set(told) == {"nodes", "edges"}
    assert {tuple(node) for node in told["nodes"]} == {("id", "name", "disabled")}


@pytest.mark.parametrize(
    ("query", "status", "start"),
    [
        ("?depth=2", 400, "depth: needs a job"),
        ("?job=a&components=1", 400, "components: cannot be combined"),
        ("?format=dot&components=1", 400, "components: cannot be combined"),
        ("?job=none", 404, "job: no job has the id or name 'none'"),
        ("?job=job&depth=101", 400, "depth: must be a whole number between 0 and 100"),
    ],
)
def test_what_makes_no_sense_is_refused(untouched, query, status, start):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/graph/{query}"), status=status, start=start)
