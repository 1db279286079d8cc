"""Slots become runs: on the grid, once each, without overlap, and without a burst of missed ones."""

import pytest
from samples import HOURLY

from kala.core.job import Missed


class TestASchedule:
    def test_starts_nothing_before_its_first_slot(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(minutes=59)
        assert kala.runs(job) == []

    def test_starts_a_run_at_each_of_its_slots(self, kala):
        job = kala.create(schedule=HOURLY)
        for _ in range(3):
            kala.passes(hours=1)
            kala.succeed(job)
        assert kala.slots(job) == ["13:00", "14:00", "15:00"]

    def test_starts_each_slot_once(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        for _ in range(3):
            kala.step()
        assert kala.slots(job) == ["13:00"]

    def test_keeps_its_grid_if_a_run_starts_late(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1, seconds=30)
        assert kala.job(job).next_due == kala.runs(job)[0].slot.replace(hour=14)

    def test_gives_its_run_to_a_worker_with_slot_and_start_time(self, kala):
        kala.create(schedule=HOURLY)
        kala.passes(hours=1, seconds=2)
        [run] = kala.workers.given
        assert (f"{run.slot:%H:%M}", run.started_at, run.state) == ("13:00", kala.now, "running")

    def test_that_is_due_once_makes_the_job_done_after_its_run(self, kala):
        job = kala.create(schedule="R0/2030-01-01T13:00:00Z")
        kala.passes(hours=1)
        assert not kala.job(job).is_done
        kala.succeed(job)
        assert kala.job(job).is_done


class TestRepeats:
    @pytest.mark.parametrize(("repeats", "runs"), [("R0", 1), ("R1", 2), ("R3", 4)])
    def test_are_the_runs_after_the_first(self, kala, repeats, runs):
        job = kala.create(schedule=HOURLY.replace("R", repeats))
        for _ in range(6):
            kala.passes(hours=1)
            if kala.workers.given and not kala.job(job).is_done:
                kala.succeed(job)
        assert len(kala.runs(job)) == runs
        assert kala.job(job).is_done

    def test_are_not_used_up_by_manual_starts(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"))
        for _ in range(3):
            kala.start(job)
            kala.succeed(job)
        for _ in range(3):
            kala.passes(hours=1)
            if kala.story(job)[-1].endswith("running"):
                kala.succeed(job)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_are_not_used_up_by_retries(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"), retries=2)
        kala.passes(hours=1)
        kala.fail(job)
        kala.fail(job)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_are_not_used_up_by_missed_slots(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"))
        kala.restart(hours=5, minutes=30)
        kala.succeed(job)
        kala.passes(minutes=30)
        kala.succeed(job)
        assert kala.slots(job) == ["17:00", "18:00"]
        assert kala.job(job).is_done

    def test_are_counted_across_a_restart(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"))
        kala.passes(hours=1)
        kala.succeed(job)
        kala.restart(minutes=1)
        kala.passes(minutes=59)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]


class TestMissedSlots:
    def test_run_once_after_a_restart_and_the_job_keeps_its_grid(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.restart(hours=5, minutes=30)
        kala.succeed(job)
        kala.passes(minutes=30)
        assert kala.slots(job) == ["17:00", "18:00"]

    def test_do_not_run_with_missed_skip(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.restart(hours=5, minutes=30)
        assert kala.slots(job) == []
        kala.passes(minutes=30)
        assert kala.slots(job) == ["18:00"]

    def test_that_are_skipped_do_not_use_up_repeats(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R0"), missed=Missed.SKIP)
        other = kala.create(schedule=HOURLY.replace("R", "R1"), missed=Missed.SKIP)
        kala.restart(hours=5, minutes=30)
        kala.passes(minutes=30)
        kala.succeed(other)
        kala.passes(hours=1)
        assert (kala.slots(job), kala.slots(other)) == ([], ["18:00", "19:00"])

    def test_that_are_skipped_and_were_the_last_make_the_job_done(self, kala):
        job = kala.create(schedule="R0/2030-01-01T13:00:00Z", missed=Missed.SKIP)
        kala.restart(hours=5)
        assert kala.job(job).is_done

    def test_of_a_disabled_job_run_once_when_it_is_enabled(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(hours=3, minutes=30)
        kala.enable(job)
        kala.step()
        assert kala.slots(job) == ["15:00"]

    def test_of_a_disabled_job_run_once_when_it_is_enabled_after_a_restart(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.restart(hours=3, minutes=30)
        assert kala.runs(job) == []
        kala.enable(job)
        assert kala.slots(job) == ["15:00"]

    def test_of_a_disabled_job_do_not_run_with_missed_skip(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.disable(job)
        kala.passes(hours=3, minutes=30)
        kala.enable(job)
        kala.passes(minutes=30)
        assert kala.slots(job) == ["16:00"]

    def test_of_a_briefly_disabled_job_do_not_run_with_missed_skip(self, kala):
        job = kala.create(schedule="R/2030-01-01T12:00:10Z/PT1H", missed=Missed.SKIP)
        kala.disable(job)
        kala.passes(seconds=20)
        kala.enable(job)
        kala.passes(seconds=20)
        assert kala.slots(job) == []

    def test_do_not_include_a_slot_after_the_job_was_enabled(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(minutes=30)
        kala.enable(job)
        kala.passes(minutes=30)
        assert kala.slots(job) == ["13:00"]

    def test_collapse_into_a_slot_that_was_queued_when_kala_stopped(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.restart(hours=5, minutes=30)
        kala.succeed(job)
        assert kala.story(job) == ["schedule lost", "schedule succeeded"]

    def test_collapse_into_a_slot_that_was_queued_when_the_job_was_disabled(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.disable(job)
        kala.succeed(job)
        kala.passes(hours=5, minutes=30)
        kala.enable(job)
        kala.succeed(job)
        assert kala.story(job) == ["schedule succeeded", "schedule succeeded"]


class TestOverlap:
    def test_a_slot_that_comes_due_while_the_job_runs_waits_until_the_run_ends(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        assert kala.story(job) == ["schedule running", "schedule queued"]
        kala.succeed(job)
        assert kala.story(job) == ["schedule succeeded", "schedule running"]

    def test_several_waiting_slots_collapse_into_one(self, kala):
        job = kala.create(schedule=HOURLY)
        for _ in range(5):
            kala.passes(hours=1)
        kala.succeed(job)
        kala.succeed(job)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_collapsed_slots_do_not_use_up_repeats(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R2"))
        for _ in range(5):
            kala.passes(hours=1)
        kala.succeed(job)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00", "18:00"]

    def test_a_slot_that_comes_due_as_the_run_ends_starts_at_once(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        done = kala.done(job)
        kala.now = kala.now.replace(hour=14)
        kala.step(done)
        assert kala.story(job) == ["schedule succeeded", "schedule running"]

    def test_a_failed_run_lets_the_waiting_slot_start(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.fail(job)
        assert kala.story(job) == ["schedule failed", "schedule running"]

    def test_a_waiting_slot_starts_after_the_retries_of_the_run_before(self, kala):
        job = kala.create(schedule=HOURLY, retries=1)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.fail(job)
        assert kala.story(job) == ["schedule failed", "schedule queued", "retry running"]
        kala.fail(job)
        assert kala.story(job) == ["schedule failed", "schedule running", "retry failed"]

    def test_a_slot_waits_for_a_manual_run(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.start(job)
        kala.passes(hours=1)
        assert kala.story(job) == ["manual running", "schedule queued"]


class TestTheClock:
    def test_set_forward_by_hours_runs_the_missed_slots_once(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=5, minutes=30)
        kala.succeed(job)
        kala.passes(minutes=30)
        assert kala.slots(job) == ["17:00", "18:00"]

    def test_set_forward_lets_no_missed_slot_run_with_missed_skip(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.passes(hours=5, minutes=30)
        assert kala.slots(job) == []

    def test_without_a_jump_misses_no_slot(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        for _ in range(121):
            kala.passes(seconds=30)
        assert kala.slots(job) == ["13:00"]

    def test_set_back_before_the_start_of_kala_misses_no_slot(self, kala):
        kala.passes(hours=-3)
        job = kala.create(schedule="R/2030-01-01T09:00:10Z/PT1H", missed=Missed.SKIP)
        kala.passes(seconds=10)
        assert kala.slots(job) == ["09:00"]
