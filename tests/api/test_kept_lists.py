"""The list of all jobs is kept in memory, and never out of date."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import FAR

from kala.api import job_lists, kept_lists
from kala.api.job_lists import JobLists
from kala.api.kept_lists import KeptList
from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State
from kala.store.job_filter import JobFilter

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
changes = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "add",
                "add",
                "child",
                "save",
                "plan",
                "done",
                "attempt",
                "end",
                "delete",
                "delete_all",
                "parents",
                "rescue",
            ]
        ),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=30,
)


class Reading:
    """Reads what a transaction has written so far."""

    def __init__(self, store) -> None:
        self.store = store

    @contextmanager
    def reading(self, _):
        yield self.store.writer


def job(number: int, **fields: object) -> Job:
    spec = Spec(name=f"job {number}", action=Command("true"), **fields)
    return Job(id=str(number), spec=spec, created_at=NOON, next_due=NOON)


def change(store, number: int, what: str, which: int, flag: bool) -> None:  # noqa: C901  a table of changes
    jobs, at = store.writer.jobs, NOON + timedelta(seconds=number)
    names = [one.id for _, one in jobs.search(JobFilter())]
    if what == "add" or not names:
        jobs.add(job(number))
        return
    name, other = names[which % len(names)], names[-1]
    before = jobs.get(name)
    run = Run(id=number, job_id=name, job_name="", cause=Cause.MANUAL, queued_at=at, due_at=at)
    match what:
        case "child":
            jobs.add(job(number, parents=(name,)))
        case "save":
            jobs.save(replace(before, spec=replace(before.spec, disabled=flag)))
        case "parents":
            parents = (other,) if flag and other != name else ()
            jobs.save(replace(before, spec=replace(before.spec, parents=parents)))
        case "rescue":
            jobs.save(replace(before, spec=replace(before.spec, on_failure_job=other)))
            jobs.forget_on_failure([name], 9)
        case "plan":
            jobs.plan([replace(before, next_due=at)])
        case "done":
            jobs.set_done([name], flag)
        case "attempt":
            store.writer.counts.count_attempts([name], at)
        case "end":
            state = State.SUCCEEDED if flag else State.FAILED
            ended = replace(run, state=state, outcome=Outcome(state=state, ended_at=at))
            store.writer.counts.count_ends([(ended, which > 2)])
        case "delete":
            jobs.delete([name])
        case "delete_all":
            jobs.delete_all()


def whole(lists: KeptList) -> bytes:
    return b"".join(lists.parts())


@pytest.mark.parametrize("block", [1, 2, 64])
@given(changes)
def test_a_kept_list_is_as_one_that_is_made_from_the_database(undone, block, changes):
    with undone() as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_lists, "_BLOCK", block)
        kept = KeptList(Reading(store), job_lists._entries)
        for number, (what, which, flag) in zip(count(1), changes, strict=False):
            store.writer.revision.advance()
            change(store, number, what, which, flag)
            assert whole(kept) == whole(KeptList(Reading(store), job_lists._entries)), what


@pytest.fixture
def encoded(idle_api):
    """A list, and how many jobs were encoded for it since the last look."""
    numbers: list[int] = []

    def encode(placed):
        numbers.append(len(placed))
        return job_lists._entries(placed, idle_api.app._zone.current)

    def look(most: int = kept_lists.KEPT_BYTES) -> int:
        nonlocal lists
        lists = lists or KeptList(idle_api.app._store, encode, most)
        text = b"{" + b"".join(lists.parts()) + b"}"
        assert json.loads(text) == idle_api.ask("GET", "/api/v1/job/").json["jobs"]
        found = sum(numbers)
        numbers.clear()
        return found

    lists = None
    return look


def test_a_list_without_a_change_encodes_no_job_again(idle_api, encoded):
    idle_api.create_many(500)
    assert (encoded(), encoded()) == (500, 0)


def test_a_change_of_a_job_encodes_only_its_block_again(idle_api, encoded):
    job_id = idle_api.create_many(500)[250]
    encoded()
    idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", {"retries": 3})
    assert 0 < encoded() <= 64


def test_a_deleted_job_is_no_longer_in_the_list(idle_api, encoded):
    ids = idle_api.create_many(300)
    encoded()
    for job_id in ids[::7]:
        idle_api.ask("DELETE", f"/api/v1/job/{job_id}/")
    encoded()
    idle_api.ask("DELETE", "/api/v1/job/all/")
    assert encoded() == 0


def test_what_is_kept_is_limited_and_still_of_use_for_a_longer_list(idle_api, encoded):
    idle_api.create_many(500)
    assert encoded(200_000) == 500
    again = encoded()
    assert 200 < again < 450
    assert encoded() == again


def test_the_place_of_deleted_jobs_is_used_for_others(idle_api, encoded):
    idle_api.create_many(130)
    encoded(200_000)
    idle_api.ask("DELETE", "/api/v1/job/all/")
    idle_api.create_many(130)
    encoded()
    encoded()
    assert encoded() == 0


def test_a_job_that_is_too_large_to_keep_is_listed_all_the_same(idle_api, monkeypatch):
    monkeypatch.setattr(kept_lists, "PART_BYTES", 10_000)
    ids = [idle_api.create(command=f"echo {'x' * 4000}", schedule=FAR) for _ in range(9)]
    lists = JobLists(idle_api.app._store, idle_api.app._lists._outputs, lambda: UTC)
    parts = [len(part) for part in lists._kept[True].parts()]
    assert max(parts) < 30_000
    assert idle_api.jobs() == ids
    assert lists._kept[True]._blocks == {}
