"""Who starts whom: circles are found, and who is left without a parent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core import graph

Edges = dict[str, list[str]]


def children_in(edges: Edges):
    return lambda job: edges.get(job, [])


def parents_in(edges: Edges):
    return lambda job: [parent for parent, children in edges.items() if job in children]


@pytest.mark.parametrize(
    ("edges", "start", "goal", "way"),
    [
        pytest.param({"a": ["b"], "b": ["c"]}, "a", "c", ["a", "b", "c"], id="along the edges"),
        pytest.param({"a": ["b"], "b": ["c"]}, "c", "a", None, id="not against them"),
        pytest.param({}, "a", "b", None, id="no edges"),
        pytest.param({}, "a", "a", ["a"], id="from a job to itself"),
        pytest.param({"a": ["b", "d"], "b": ["c"], "c": ["d"]}, "a", "d", ["a", "d"], id="the shortest"),
        pytest.param({"a": ["b"], "b": ["a"]}, "a", "c", None, id="a circle on the way ends the search"),
    ],
)
def test_a_path_is_the_shortest_way_from_one_job_to_another(edges, start, goal, way):
    assert graph.path(start, goal, children_in(edges)) == way


@pytest.mark.parametrize(
    ("edges", "deleted", "doomed"),
    [
        pytest.param({}, "a", {"a"}, id="a job alone"),
        pytest.param({"a": ["b"]}, "b", {"b"}, id="a child goes without its parent"),
        pytest.param({"a": ["b"], "b": ["c"]}, "a", {"a", "b", "c"}, id="a chain goes together"),
        pytest.param({"a": ["c"], "b": ["c"]}, "a", {"a"}, id="a child with another parent stays"),
        pytest.param({"a": ["b", "c"], "b": ["d"], "c": ["d"]}, "a", {"a", "b", "c", "d"}, id="both parents go"),
        pytest.param({"a": ["b"], "b": ["c"], "x": ["b"]}, "a", {"a"}, id="below a child that stays all stay"),
        pytest.param({"a": ["b", "d"], "b": ["c"], "c": ["d"]}, "a", {"a", "b", "c", "d"}, id="parents on two levels"),
    ],
)
def test_with_a_job_go_the_descendants_that_are_left_without_any_parent(edges, deleted, doomed):
    found = graph.doomed_by(deleted, children_in(edges), parents_in(edges))
    assert found[0] == deleted
    assert sorted(found) == sorted(doomed)


forests = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=4)
).map(lambda edges: {parent: [child for child in below if child > parent] for parent, below in edges.items()})


@given(forests, st.sampled_from("abcdefgh"))
def test_no_survivor_has_lost_its_last_parent(edges, deleted):
    doomed = set(graph.doomed_by(deleted, children_in(edges), parents_in(edges)))
    for job in set("abcdefgh") - doomed:
        parents = set(parents_in(edges)(job))
        assert not parents or parents - doomed


@given(forests, st.sampled_from("abcdefgh"))
def test_no_job_goes_that_has_a_parent_left(edges, deleted):
    doomed = set(graph.doomed_by(deleted, children_in(edges), parents_in(edges)))
    for job in doomed - {deleted}:
        assert set(parents_in(edges)(job)) <= doomed
