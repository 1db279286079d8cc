"""Many jobs at once, and many jobs stored."""

import statistics
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from kala.core.job import Command, Job, Spec
from kala.store.store import Store

SECOND = 1_000_000
CLIENTS = 4
MANY_DUE = 10_000
MANY_STORED = 100_000
FAR = "R/2099-01-01T00:00:00Z/PT1H"


@pytest.fixture
def create_many(api):
    """Create jobs through several persistent connections; return their ids."""

    def create_many(kala, count, **fields):
        parts = [[] for _ in range(CLIENTS)]

        def create(made):
            with closing(api(kala.address)) as client:
                made += [client.create(**fields) for _ in range(count // CLIENTS)]

        threads = [threading.Thread(target=create, args=(made,)) for made in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [job_id for made in parts for job_id in made]

    return create_many


@pytest.mark.timeout(180)
def test_ten_thousand_jobs_due_at_one_instant_run_once_each(kala, create_many, eventually):
    clock = time.monotonic()
    create_many(kala, 400, schedule=FAR)
    expected = (time.monotonic() - clock) * MANY_DUE / 400
    due = datetime.now(UTC) + timedelta(seconds=2 + 1.3 * expected)
    ids = create_many(kala, MANY_DUE, schedule=f"R0/{due.isoformat()}")
    assert len(set(ids)) == MANY_DUE
    assert datetime.now(UTC) < due

    eventually(lambda: stats(kala)["success_count"] == MANY_DUE, limit=60, pause=0.25)
    assert stats(kala)["error_count"] == 0
    runs = kala.query("SELECT job_id, cause, slot, attempt, state, started_at FROM run")
    assert sorted(run["job_id"] for run in runs) == sorted(ids)
    slot = round(due.timestamp() * SECOND)
    assert {tuple(run)[1:5] for run in runs} == {("schedule", slot, 0, "succeeded")}
    late = sorted((run["started_at"] - slot) / SECOND for run in runs)
    print(f"the first of {MANY_DUE} started {late[0]:.3f} s after its due time, the last one {late[-1]:.1f} s")
    assert late[0] >= 0
    assert kala.query("SELECT min(is_done), max(next_due) FROM job WHERE spec LIKE '%R0/%'")[0][:] == (1, None)


def stats(kala):
    return kala.get("/stats/").body["Stats"]


@pytest.fixture(scope="module")
def full_home(tmp_path_factory):
    """A home with data of many jobs, which tests only read."""
    home = tmp_path_factory.mktemp("full")
    now, due = datetime.now(UTC), datetime(2099, 1, 1, tzinfo=UTC)
    store = Store(home / "data")
    with store.transaction():
        for number in range(MANY_STORED):
            owner = f"{number % 7}@example.org"
            spec = Spec(name=f"job {number}", action=Command("/bin/true"), schedule=FAR, owner=owner)
            store.writer.jobs.add(Job(id=str(UUID(int=number)), spec=spec, created_at=now, next_due=due))
    store.release_writer()
    store.close()
    return home


@pytest.fixture
def full_kala(make, full_home):
    """A Kala that has many jobs, and answers."""
    return make(home=full_home).start()


def test_memory_stays_small_with_a_hundred_thousand_jobs(full_kala):
    print(f"after start {megabytes(full_kala):.0f} MB")
    for path in (
        "/stats/",
        f"/job/{UUID(int=77_777)}/",
        "/job/?limit=1000",
        "/job/?q=99999",
        "/job/?owner=3@example.org",
    ):
        assert full_kala.get(path).status == 200
    jobs = full_kala.get("/job/").body["jobs"]
    assert len(jobs) == MANY_STORED
    full_kala.settle()
    print(f"after requests {megabytes(full_kala):.0f} MB, at the most {megabytes(full_kala, 'VmHWM'):.0f} MB")
    assert megabytes(full_kala) < 150


def megabytes(kala, figure="VmRSS") -> float:
    lines = Path(f"/proc/{kala.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(figure)) / 1024


def test_stats_cost_the_same_with_a_hundred_thousand_jobs(full_kala, api):
    def milliseconds(client):
        clock = time.monotonic()
        assert client.get("/stats/").body["Stats"]["jobs"] >= MANY_STORED
        return (time.monotonic() - clock) * 1000

    with closing(api(full_kala.address)) as client:
        best = min(statistics.median(milliseconds(client) for _ in range(20)) for _ in range(3))
    print(f"GET /stats {best:.2f} ms")
    assert best < 50


def test_a_start_takes_no_longer_with_a_hundred_thousand_jobs(make, tmp_path, full_home):
    def seconds(home):
        kala = make(home=home)
        clock = time.monotonic()
        kala.start()
        taken = time.monotonic() - clock
        assert kala.stop() == 0
        return taken

    empty, full = (min(seconds(home) for _ in range(3)) for home in (tmp_path, full_home))
    print(f"answers after {empty:.2f} s with no jobs, after {full:.2f} s with {MANY_STORED}")
    assert full - empty < 1
