"""Long responses are complete, and never in memory as a whole."""

import json
import tracemalloc
from functools import partial

import pytest
from samples import FAR

from kala.api import job_graph, paging
from kala.core.caller import KALA
from kala.core.job import Command, Spec
from kala.core.limits import PART_BYTES
from kala.engine.messages import CreateJob

LARGE = 100_000


def create_large(idle_api, count):
    line = Command("echo " + "x" * LARGE)
    asked = [
        idle_api.app._engine.ask(CreateJob(Spec(name=f"job {number}", action=line, schedule=FAR)), KALA)
        for number in range(count)
    ]
    return [future.result().id for future in asked]


def most_memory(read):
    """Return the peak memory use of `read`, in bytes."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(paging, "PART_BYTES", 300)
    monkeypatch.setattr(paging, "_MIN_ROWS", 2)


def test_a_list_of_large_jobs_comes_in_parts_of_limited_size(idle_api):
    ids = create_large(idle_api, 150)
    parts = []

    def read():
        parts.extend(len(part) for part in idle_api.app._lists.search(idle_api.request("listJobs")).body)

    assert most_memory(read) < 10 * PART_BYTES
    assert sum(parts) > 150 * LARGE
    assert max(parts) < PART_BYTES + 4 * LARGE
    assert idle_api.jobs() == ids


def test_a_graph_of_large_jobs_reads_no_large_columns(idle_api):
    create_large(idle_api, 60)
    assert most_memory(lambda: list(job_graph.as_json(partial(idle_api.app._store.reading, ())))) < LARGE


@pytest.mark.usefixtures("small_pages")
def test_a_graph_is_the_same_whatever_the_size_of_its_parts(idle_api, monkeypatch):
    parents = idle_api.create_many(5)
    rescue = idle_api.create(name="rescue", disabled=True)
    children = [idle_api.create(parent_jobs=[parents[0], parents[i % 5]], on_failure_job=rescue) for i in range(7)]
    small = idle_api.ask("GET", "/api/v1/graph/").body, idle_api.ask("GET", "/api/v1/graph/?format=dot").body
    assert [node["id"] for node in json.loads(small[0])["nodes"]] == [*parents, rescue, *children]
    edges = json.loads(small[0])["edges"]
    assert [edge["to"] for edge in edges if edge["from"] == parents[0]] == children
    assert [edge["from"] for edge in edges if edge["kind"] == "failure"] == children
    monkeypatch.setattr(paging, "PART_BYTES", PART_BYTES)
    assert (idle_api.ask("GET", "/api/v1/graph/").body, idle_api.ask("GET", "/api/v1/graph/?format=dot").body) == small


@pytest.mark.usefixtures("small_pages")
def test_a_job_created_while_the_graph_is_sent_is_not_in_an_edge(idle_api):
    parent = idle_api.create()
    others = idle_api.create_many(9)
    parts = job_graph.as_json(partial(idle_api.app._store.reading, ()))
    sent = next(parts) + next(parts)
    idle_api.create(parent_jobs=[parent])
    whole = json.loads(sent + b"".join(parts))
    assert [node["id"] for node in whole["nodes"]] == [parent, *others]
    assert whole["edges"] == []


@pytest.mark.parametrize("size", [1, 300, PART_BYTES])
def test_the_stats_of_a_job_are_the_same_whatever_the_size_of_their_parts(api, monkeypatch, size):
    job = api.create(command="false")
    for _ in range(7):
        api.ask("POST", f"/api/v1/job/start/{job}/")
    api.await_job(job, error_count=7)
    monkeypatch.setattr(paging, "PART_BYTES", size)

    def stats(query=""):
        return [one["run_id"] for one in api.ask("GET", f"/api/v1/job/stats/{job}/{query}").json["job_stats"] or []]

    found = stats()
    assert len(found) == 7
    assert found == sorted(found)
    assert stats("?limit=3") == found[4:]
    assert stats(f"?limit=3&before={found[4]}") == found[1:4]
    assert stats(f"?limit=9&before={found[4]}") == found[:4]
    assert stats(f"?before={found[0]}") == []
