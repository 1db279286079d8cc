"""How runs follow each other: retries, on-failure jobs, the queue for workers, and the counts."""

from datetime import timedelta

import pytest
from samples import HOURLY

from kala.core.job import Command, Counts, Spec
from kala.core.run import State
from kala.engine.messages import CreateJob


class TestRetries:
    def test_are_made_as_often_as_the_job_asks_for(self, kala):
        job = kala.create(retries=2)
        for _ in range(3):
            kala.fail(job)
        assert kala.story(job) == ["creation failed", "retry failed", "retry failed"]

    def test_end_with_the_first_success(self, kala):
        job = kala.create(retries=2)
        kala.fail(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation failed", "retry succeeded"]

    def test_have_the_next_attempt_the_same_slot_and_the_failed_run_as_cause(self, kala):
        job = kala.create(schedule=HOURLY, retries=2)
        kala.passes(hours=1)
        for _ in range(3):
            kala.fail(job)
        first, *retries = kala.runs(job)
        assert [run.attempt for run in [first, *retries]] == [0, 1, 2]
        assert {run.slot for run in retries} == {first.slot}
        assert [run.cause_run for run in retries] == [first.id, first.id + 1]

    @pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
    def test_follow_every_kind_of_failure(self, kala, state):
        job = kala.create(retries=1)
        kala.step(kala.done(job, state))
        assert kala.story(job) == [f"creation {state}", "retry running"]

    def test_do_not_follow_a_cancelled_run(self, kala):
        job = kala.create(retries=1)
        kala.step(kala.done(job, State.CANCELLED))
        assert kala.story(job) == ["creation cancelled"]

    def test_are_made_until_epsilon_after_the_slot(self, kala):
        job = kala.create(schedule=HOURLY, retries=9, epsilon="PT1M")
        kala.passes(hours=1)
        for _ in range(3):
            kala.now += timedelta(seconds=25)
            if kala.story(job)[-1].endswith("running"):
                kala.fail(job)
        assert kala.story(job) == ["schedule failed", "retry failed", "retry failed"]

    def test_of_a_run_without_slot_are_made_until_epsilon_after_it_was_queued(self, kala):
        job = kala.create(schedule=HOURLY, retries=9, epsilon="PT1M")
        kala.start(job)
        for _ in range(3):
            kala.now += timedelta(seconds=25)
            kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry failed", "retry failed"]

    def test_are_not_limited_by_an_epsilon_longer_than_the_calendar(self, kala):
        job = kala.create(retries=1, epsilon="P9999Y")
        kala.fail(job)
        assert kala.story(job) == ["creation failed", "retry running"]

    def test_start_from_zero_for_the_next_slot(self, kala):
        job = kala.create(schedule=HOURLY, retries=1)
        for _ in range(2):
            kala.passes(hours=1)
            kala.fail(job)
            kala.fail(job)
        assert [run.attempt for run in kala.runs(job)] == [0, 1, 0, 1]


class TestTheOnFailureJob:
    def test_runs_only_after_the_last_retry_has_failed(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(retries=1, on_failure_job=alarm)
        kala.fail(job)
        assert kala.runs(alarm) == []
        kala.fail(job)
        assert kala.story(alarm) == ["failure running"]

    def test_records_the_failed_run_as_its_cause(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(on_failure_job=alarm)
        kala.fail(job)
        assert kala.runs(alarm)[0].cause_run == kala.runs(job)[0].id

    def test_does_not_run_after_a_success(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(on_failure_job=alarm)
        kala.succeed(job)
        assert kala.runs(alarm) == []

    def test_does_not_run_while_it_is_disabled(self, kala):
        alarm = kala.create(schedule=HOURLY, disabled=True)
        job = kala.create(on_failure_job=alarm)
        kala.fail(job)
        assert kala.runs(alarm) == []


class TestTheQueue:
    def test_holds_due_runs_without_a_worker(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create(schedule=HOURLY) for _ in range(5)]
        kala.passes(hours=1)
        assert [kala.story(job) for job in jobs] == [["schedule running"]] * 2 + [["schedule queued"]] * 3

    def test_starts_each_run_once_and_the_oldest_first(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create(schedule=HOURLY) for _ in range(5)]
        kala.passes(hours=1)
        for number in range(5):
            kala.succeed(kala.workers.given[number].job_id)
        assert [run.job_id for run in kala.workers.given] == jobs

    def test_fills_several_workers_that_become_free_at_once(self, new_kala):
        kala = new_kala(workers=3)
        jobs = [kala.create(schedule=HOURLY) for _ in range(8)]
        kala.passes(hours=1)
        kala.step(*map(kala.done, jobs[:3]))
        assert [run.job_id for run in kala.workers.given] == jobs[:6]

    def test_never_starts_more_runs_than_there_are_workers(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create() for _ in range(4)]
        kala.succeed(jobs[0])
        assert sum(run.state is State.RUNNING for run in kala.runs()) == 2

    def test_puts_a_manual_start_behind_queued_runs(self, new_kala):
        kala = new_kala(workers=1)
        first, second, third = kala.create(), kala.create(), kala.create(schedule=HOURLY)
        kala.start(third)
        kala.succeed(first)
        assert [kala.story(second), kala.story(third)] == [["creation running"], ["manual queued"]]

    def test_puts_a_child_behind_a_run_that_waited_for_the_parent(self, new_kala):
        kala = new_kala(workers=1)
        parent = kala.create()
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.succeed(parent)
        assert [kala.story(parent)[-1], kala.story(child)[-1]] == ["manual running", "parent queued"]

    def test_starts_the_run_that_was_due_first(self, new_kala):
        kala = new_kala(workers=1)
        later = kala.create(schedule="R0/2030-01-01T13:30:00Z")
        sooner = kala.create(schedule="R0/2030-01-01T13:00:00Z")
        kala.passes(hours=2)
        assert [kala.story(sooner), kala.story(later)] == [["schedule running"], ["schedule queued"]]

    def test_holds_one_slot_of_a_job(self, new_kala):
        kala = new_kala(workers=1)
        kala.create()
        job = kala.create(schedule=HOURLY)
        for _ in range(3):
            kala.passes(hours=1)
        assert kala.story(job) == ["schedule queued"]

    def test_takes_a_flood_of_slots_in_batches(self, kala):
        kala.step(*[CreateJob(Spec(name="flood", action=Command("true"), schedule=HOURLY))] * 600)
        kala.passes(hours=1)
        assert len(kala.runs()) == 500
        kala.step()
        assert len(kala.runs()) == 600


class TestCounts:
    def test_count_each_failed_attempt_but_only_the_last_as_finished(self, kala):
        job = kala.create(retries=1)
        kala.fail(job)
        kala.fail(job)
        counts = kala.job(job).counts
        assert (counts.errors, counts.finished, counts.successes) == (2, 1, 0)

    def test_count_a_success_after_a_retry_once(self, kala):
        job = kala.create(retries=1)
        kala.fail(job)
        kala.succeed(job)
        counts = kala.job(job).counts
        assert (counts.errors, counts.finished, counts.successes) == (1, 1, 1)

    def test_have_the_times_of_the_last_start_success_and_failure(self, kala):
        job = kala.create(retries=1)
        started = kala.now
        kala.now += timedelta(seconds=1)
        kala.fail(job)
        failed = kala.now
        kala.now += timedelta(seconds=1)
        kala.succeed(job)
        assert kala.job(job).counts == Counts(
            successes=1, errors=1, finished=1, last_success=kala.now, last_error=failed, last_attempt=failed
        )
        assert kala.runs(job)[0].started_at == started

    @pytest.mark.parametrize("state", [State.CANCELLED, State.LOST])
    def test_leave_out_cancelled_and_lost_runs(self, kala, state):
        job = kala.create()
        kala.step(kala.done(job, state))
        counts = kala.job(job).counts
        assert (counts.errors, counts.finished, counts.successes) == (0, 0, 0)
