"""Dependencies between jobs: cycles, and the jobs that lose their last parent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core import graph

Edges = dict[str, list[str]]


def children_in(edges: Edges):
    return lambda jobs: [(parent, child) for parent in jobs for child in edges.get(parent, [])]


def parents_in(edges: Edges, job: str) -> set[str]:
    return {parent for parent, children in edges.items() if job in children}


def count_parents_in(edges: Edges):
    return lambda jobs: {job: len(parents_in(edges, job)) for job in jobs}


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        pytest.param({}, None, id="no edges"),
        pytest.param({"a": ["a"]}, ["a", "a"], id="of one job"),
        pytest.param({"a": ["b"], "b": ["c"]}, None, id="a chain is none"),
        pytest.param({"a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"], id="of three jobs"),
        pytest.param({"a": ["b", "d"], "b": ["c"], "c": ["d"], "d": ["a"]}, ["a", "d", "a"], id="the shortest"),
        pytest.param({"a": ["b"], "b": ["c"], "c": ["b"]}, None, id="one that the job is not part of ends the search"),
        pytest.param({"a": ["b", "c"], "b": ["d"], "c": ["d"]}, None, id="two ways to the same job are none"),
    ],
)
def test_the_cycle_found_is_a_shortest_one(edges, cycle):
    assert graph.find_cycle("a", children_in(edges)) == cycle


def test_a_search_for_cycles_asks_once_for_each_job():
    asked: list[str] = []
    wide = {"root": [f"child {number}" for number in range(9)]}
    wide |= {child: ["end 0"] for child in wide["root"]} | {f"end {n}": [f"end {n + 1}"] for n in range(9)}

    def edges(jobs):
        asked.extend(jobs)
        return children_in(wide)(jobs)

    assert graph.find_cycle("root", edges) is None
    assert sorted(asked) == sorted({"root", *wide["root"], *(f"end {number}" for number in range(10))})


def test_a_long_path_is_shown_by_its_beginning_and_its_end():
    assert graph.format_path(list("abcdefg")) == "a -> b -> c -> d -> e -> f -> g"
    assert graph.format_path(list("abcdefgh")) == "a -> b -> c -> (2 more) -> f -> g -> h"


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
def test_a_deletion_takes_the_descendants_that_are_left_without_any_parent(edges, deleted, doomed):
    found = graph.doomed_by(deleted, children_in(edges), count_parents_in(edges))
    assert found[0] == deleted
    assert sorted(found) == sorted(doomed)


forests = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=4)
).map(lambda edges: {parent: [child for child in below if child > parent] for parent, below in edges.items()})


@given(forests, st.sampled_from("abcdefgh"))
def test_no_remaining_job_has_lost_its_last_parent(edges, deleted):
    doomed = set(graph.doomed_by(deleted, children_in(edges), count_parents_in(edges)))
    for job in set("abcdefgh") - doomed:
        parents = parents_in(edges, job)
        assert not parents or parents - doomed


@given(forests, st.sampled_from("abcdefgh"))
def test_no_job_that_has_a_parent_left_is_deleted(edges, deleted):
    doomed = set(graph.doomed_by(deleted, children_in(edges), count_parents_in(edges)))
    for job in doomed - {deleted}:
        assert parents_in(edges, job) <= doomed


class TestComponents:
    def test_are_named_by_their_oldest_job(self):
        assert graph.components([(2, 3), (1, 3), (5, 4)]) == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4}

    def test_of_a_long_chain_are_found_without_recursion(self):
        assert set(graph.components(pairwise(range(100_000))).values()) == {0}


class TestAround:
    EDGES = (("a", "b", "success"), ("b", "c", "success"), ("c", "a", "failure"), ("c", "d", "success"))

    def edges(self, job_ids):
        return [edge for edge in self.EDGES if edge[0] in job_ids or edge[1] in job_ids]

    def test_edges_between_the_farthest_jobs_belong_to_it(self):
        jobs, edges, has_more = graph.around("a", self.edges, 1, 10)
        assert (list(jobs), set(edges), has_more) == (["a", "b", "c"], set(self.EDGES[:3]), False)

    def test_it_has_at_most_a_number_of_jobs(self):
        jobs, edges, has_more = graph.around("a", self.edges, 5, 2)
        assert (list(jobs), edges, has_more) == (["a", "b"], [self.EDGES[0]], True)
