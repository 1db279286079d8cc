"""How runs follow each other: retries, the alarm after the last one, the queue before the workers, the counts."""

from datetime import timedelta

import pytest

from kala.core.job import Command, Counts, Spec
from kala.core.run import State
from kala.engine.messages import CreateJob

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"  # it is noon when a test begins


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

    def test_are_new_runs_with_the_next_attempt_the_same_slot_and_the_run_that_failed(self, kala):
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

    def test_do_not_follow_a_run_that_somebody_cancelled(self, kala):
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

    def test_of_a_run_without_slot_are_made_until_epsilon_after_its_first_attempt_was_queued(self, kala):
        job = kala.create(schedule=HOURLY, retries=9, epsilon="PT1M")
        kala.start(job)
        for _ in range(3):
            kala.now += timedelta(seconds=25)
            kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry failed", "retry failed"]

    def test_never_stop_for_an_epsilon_that_is_longer_than_the_calendar(self, kala):
        job = kala.create(retries=1, epsilon="P9999Y")
        kala.fail(job)
        assert kala.story(job) == ["creation failed", "retry running"]

    def test_start_anew_for_the_next_slot(self, kala):
        job = kala.create(schedule=HOURLY, retries=1)
        for _ in range(2):
            kala.passes(hours=1)
            kala.fail(job)
            kala.fail(job)
        assert [run.attempt for run in kala.runs(job)] == [0, 1, 0, 1]


class TestTheOnFailureJob:
    def test_runs_after_the_last_retry_failed_and_not_before(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(retries=1, on_failure_job=alarm)
        kala.fail(job)
        assert kala.runs(alarm) == []
        kala.fail(job)
        assert kala.story(alarm) == ["failure running"]

    def test_knows_the_run_that_failed(self, kala):
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
    def test_holds_what_is_due_beyond_the_workers(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create(schedule=HOURLY) for _ in range(5)]
        kala.passes(hours=1)
        assert [kala.story(job) for job in jobs] == [["schedule running"]] * 2 + [["schedule queued"]] * 3

    def test_is_worked_off_oldest_first_each_run_once(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create(schedule=HOURLY) for _ in range(5)]
        kala.passes(hours=1)
        for number in range(5):
            kala.succeed(kala.workers.given[number].job_id)
        assert [run.job_id for run in kala.workers.given] == jobs

    def test_is_worked_off_as_several_workers_become_free_at_once(self, new_kala):
        kala = new_kala(workers=3)
        jobs = [kala.create(schedule=HOURLY) for _ in range(8)]
        kala.passes(hours=1)
        kala.step(*map(kala.done, jobs[:3]))
        assert [run.job_id for run in kala.workers.given] == jobs[:6]

    def test_never_gives_more_runs_than_there_are_workers(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create() for _ in range(4)]
        kala.succeed(jobs[0])
        assert sum(run.state is State.RUNNING for run in kala.runs()) == 2

    def test_puts_a_start_by_hand_behind_what_waits_already(self, new_kala):
        kala = new_kala(workers=1)
        first, second, third = kala.create(), kala.create(), kala.create(schedule=HOURLY)
        kala.start(third)
        kala.succeed(first)
        assert [kala.story(second), kala.story(third)] == [["creation running"], ["manual queued"]]

    def test_puts_what_a_run_leads_to_behind_what_waited_for_its_end(self, new_kala):
        kala = new_kala(workers=1)
        parent = kala.create()
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.succeed(parent)
        assert [kala.story(parent)[-1], kala.story(child)[-1]] == ["manual running", "parent queued"]

    def test_takes_what_is_due_longest_first(self, new_kala):
        kala = new_kala(workers=1)
        later = kala.create(schedule="R0/2030-01-01T13:30:00Z")
        sooner = kala.create(schedule="R0/2030-01-01T13:00:00Z")
        kala.passes(hours=2)
        assert [kala.story(sooner), kala.story(later)] == [["schedule running"], ["schedule queued"]]

    def test_has_no_place_for_two_slots_of_one_job(self, new_kala):
        kala = new_kala(workers=1)
        kala.create()
        job = kala.create(schedule=HOURLY)
        for _ in range(3):
            kala.passes(hours=1)
        assert kala.story(job) == ["schedule queued"]

    def test_takes_a_flood_of_slots_in_pieces_so_that_nobody_waits_for_all_of_them(self, kala):
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

    def test_know_when_it_was_tried_succeeded_and_failed_last(self, kala):
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
    def test_leave_out_what_was_cancelled_or_lost(self, kala, state):
        job = kala.create()
        kala.step(kala.done(job, state))
        counts = kala.job(job).counts
        assert (counts.errors, counts.finished, counts.successes) == (0, 0, 0)
