"""A pool limits how many of its runs are running at a time; runs with a higher priority start first."""

from collections import Counter

import pytest
from effort import effort
from hypothesis import given
from hypothesis import strategies as st
from samples import FAR

from kala.core.errors import Invalid
from kala.engine.messages import ReconsiderPools, StartJob


@pytest.fixture
def kala(new_kala):
    """Kala with the pools disk, of size 1, and net, of size 2."""
    return new_kala(disk=1, net=2)


def new_jobs(kala, count: int, pool: str, **fields: object) -> list[str]:
    return [kala.create(name=f"{pool}{number}", schedule=FAR, pool=pool, **fields) for number in range(count)]


def states(kala) -> list[str]:
    return [run.state for run in kala.runs()]


class TestAPool:
    def test_never_has_more_running_runs_than_its_size(self, kala):
        kala.step(*map(StartJob, new_jobs(kala, 4, "net")))
        assert Counter(states(kala)) == {"running": 2, "queued": 2}

    def test_makes_further_runs_wait_for_it(self, kala):
        for job in new_jobs(kala, 3, "disk"):
            kala.start(job)
        assert [run.waiting for run in kala.runs()] == ["", "pool", "pool"]

    def test_lets_the_next_one_start_when_one_ends(self, kala):
        jobs = new_jobs(kala, 3, "disk")
        for job in jobs:
            kala.start(job)
        kala.fail(jobs[0])
        assert states(kala) == ["failed", "running", "queued"]
        kala.succeed(jobs[1])
        assert states(kala) == ["failed", "succeeded", "running"]

    def test_does_not_delay_runs_outside_of_it(self, kala):
        for job in [*new_jobs(kala, 2, "disk"), kala.create(schedule=FAR), *new_jobs(kala, 1, "net")]:
            kala.start(job)
        assert states(kala) == ["running", "queued", "running", "running"]

    def test_does_not_delay_runs_that_wait_for_a_worker(self, new_kala):
        kala = new_kala(workers=2, disk=1)
        disk, free = new_jobs(kala, 3, "disk"), kala.create(schedule=FAR)
        for job in [*disk, free]:
            kala.start(job)
        assert states(kala) == ["running", "queued", "queued", "running"]

    def test_with_room_does_not_exceed_the_workers(self, new_kala):
        kala = new_kala(workers=1, net=2)
        for job in new_jobs(kala, 2, "net"):
            kala.start(job)
        assert states(kala) == ["running", "queued"]

    def test_limits_overlapping_runs_of_one_job(self, kala):
        job = kala.create(schedule=FAR, pool="net", overlap="allow")
        for _ in range(3):
            kala.start(job)
        assert states(kala) == ["running", "running", "queued"]

    def test_that_is_not_configured_is_refused_with_a_list_of_the_pools(self, kala):
        with pytest.raises(
            Invalid,
            match=r"^pool: 'dsik' is not one of the configured pools \(disk, net\); use one of them, or add it$",
        ):
            kala.create(pool="dsik")


class TestPriority:
    def test_comes_before_age_in_a_pool(self, kala):
        first, *others = [
            kala.create(name=str(priority), schedule=FAR, pool="disk", priority=priority) for priority in (0, 1, 5, 5)
        ]
        for job in (first, *others):
            kala.start(job)
        order = [first]
        for _ in others:
            kala.succeed(order[-1])
            order.append(kala.workers.given[-1].job_id)
        assert order == [first, others[1], others[2], others[0]]

    def test_comes_before_age_in_the_queue_for_a_worker(self, new_kala):
        kala = new_kala(workers=1)
        jobs = [kala.create(name=str(priority), schedule=FAR, priority=priority) for priority in (0, -1, 0, 7)]
        for job in jobs:
            kala.start(job)
        order = [jobs[0]]
        for _ in range(3):
            kala.succeed(order[-1])
            order.append(kala.workers.given[-1].job_id)
        assert order == [jobs[0], jobs[3], jobs[2], jobs[1]]


class TestAnotherSize:
    def test_that_is_larger_lets_more_runs_start(self, kala):
        for job in new_jobs(kala, 4, "disk"):
            kala.start(job)
        kala.pools["disk"] = 3
        kala.ask(ReconsiderPools())
        assert states(kala) == ["running"] * 3 + ["queued"]
        assert kala.runs()[-1].waiting == "pool"

    def test_that_is_smaller_lets_none_start_until_there_is_room(self, kala):
        jobs = new_jobs(kala, 4, "net")
        for job in jobs:
            kala.start(job)
        kala.pools["net"] = 1
        kala.ask(ReconsiderPools())
        kala.succeed(jobs[0])
        assert states(kala) == ["succeeded", "running", "queued", "queued"]
        kala.succeed(jobs[1])
        assert states(kala) == ["succeeded", "succeeded", "running", "queued"]

    def test_that_is_removed_means_no_limit(self, kala):
        for job in new_jobs(kala, 3, "disk"):
            kala.start(job)
        del kala.pools["disk"]
        kala.ask(ReconsiderPools())
        assert states(kala) == ["running"] * 3

    def test_that_is_removed_does_not_prevent_changes_of_its_jobs(self, kala):
        job, other = new_jobs(kala, 1, "disk") + new_jobs(kala, 1, "")
        del kala.pools["disk"]
        kala.disable(job)
        assert kala.job(job).spec.disabled
        with pytest.raises(Invalid, match=r"^pool: 'disk' is not one of the configured pools"):
            kala.update(other, pool="disk")


class TestARestart:
    def test_keeps_the_limit_for_queued_runs(self, kala):
        jobs = new_jobs(kala, 3, "disk")
        for job in jobs:
            kala.start(job)
        kala.restart(minutes=1)
        assert states(kala) == ["lost", "running", "queued"]
        kala.succeed(jobs[1])
        assert states(kala) == ["lost", "succeeded", "running"]

    def test_applies_a_size_that_was_changed_meanwhile(self, kala):
        for job in new_jobs(kala, 4, "disk"):
            kala.start(job)
        kala.pools["disk"] = 2
        kala.restart(minutes=1)
        assert states(kala) == ["lost", "running", "running", "queued"]


class TestCancelling:
    def test_a_run_that_waits_for_its_pool_ends_it_at_once(self, kala):
        jobs = new_jobs(kala, 3, "disk")
        for job in jobs:
            kala.start(job)
        kala.cancel(2)
        kala.succeed(jobs[0])
        assert states(kala) == ["succeeded", "cancelled", "running"]


class TestUnusedRoom:
    """The room of a run that waits for a worker, because a run with a higher priority has started first."""

    @pytest.fixture
    def kala(self, new_kala):
        kala = new_kala(workers=2, disk=1)
        first, *self.waiting = new_jobs(kala, 3, "disk")
        kala.step(*map(StartJob, [first, *self.waiting]))
        self.other = kala.create(name="other", schedule=FAR)
        kala.start(self.other)
        kala.start(kala.create(name="urgent", schedule=FAR, priority=9))
        kala.succeed(first)
        assert [kala.runs(job)[0].waiting for job in self.waiting] == ["", "pool"]
        return kala

    def next_starts(self, kala) -> bool:
        kala.succeed(self.other)
        return kala.story(self.waiting[1]) == ["manual running"]

    def test_is_released_by_cancelling_the_run(self, kala):
        kala.cancel(kala.runs(self.waiting[0])[0].id)
        assert self.next_starts(kala)

    def test_is_released_by_disabling_the_job(self, kala):
        kala.disable(self.waiting[0])
        assert self.next_starts(kala)

    def test_is_released_by_deleting_the_job(self, kala):
        kala.delete(self.waiting[0])
        assert self.next_starts(kala)


def test_a_run_that_comes_as_room_is_made_does_not_jump_the_queue(kala):
    first, urgent = new_jobs(kala, 2, "disk", priority=9)
    late = kala.create(name="late", schedule=FAR, pool="disk")
    kala.start(first)
    kala.start(urgent)
    kala.step(kala.done(first), StartJob(late))
    assert [kala.story(job) for job in (urgent, late)] == [["manual running"], ["manual queued"]]


acts = st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["end", "reconsider", "cancel", "restart"])), max_size=25)


@effort(25)
@given(acts, st.integers(1, 3), st.integers(1, 3))
def test_no_pool_overflows_and_no_run_waits_for_a_pool_with_room(kala_per_example, acts, workers, size):
    with kala_per_example(workers=workers, disk=1, net=size) as kala:
        jobs = [
            kala.create(name=str(number), schedule=FAR, pool=pool, priority=number % 2, overlap=overlap)
            for number, (pool, overlap) in enumerate(
                [("disk", "wait"), ("disk", "allow"), ("net", "wait"), ("net", "allow"), ("", "wait"), ("", "replace")]
            )
        ]
        for act in acts:
            running = [run for run in kala.runs() if run.state == "running"]
            queued = [run for run in kala.runs() if run.state == "queued"]
            match act:
                case int():
                    kala.start(jobs[act])
                case "end" if running:
                    kala.step(kala.end_of(running[0].id))
                case "cancel" if queued:
                    kala.cancel(queued[0].id)
                case "reconsider":
                    kala.ask(ReconsiderPools())
                case "restart":
                    kala.restart(minutes=1)
            now = kala.runs()
            running = Counter(run.pool for run in now if run.state == "running")
            assert running["disk"] <= 1
            assert running["net"] <= size
            assert running.total() <= workers
            for run in now:
                if run.state == "queued" and run.waiting in ("", "pool"):
                    has_room = not run.pool or running[run.pool] < kala.pools[run.pool]
                    assert running.total() == workers or not has_room
