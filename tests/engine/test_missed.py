"""Slots that Kala missed run once, each, or not at all; those that do not run are in the history."""

import pytest
from samples import HOURLY

from kala.core.job import Missed, Overlap


def finish_all(kala, job: str) -> None:
    while kala.story(job)[-1:] and any(one.endswith("running") for one in kala.story(job)):
        kala.succeed(job)


def missed(count: int, first: int, last: int) -> str:
    slots = "1 missed slot" if count == 1 else f"{count} missed slots"
    span = f"from 2030-01-01T{first}:00:00Z to 2030-01-01T{last}:00:00Z"
    return f"{slots} skipped, {span}"


class TestOnce:
    def test_runs_the_latest_and_records_the_others_as_one_skipped_run(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.restart(hours=5, minutes=30)
        assert kala.slots(job) == ["17:00"]
        assert kala.skipped(job) == [("16:00", missed(4, 13, 16))]

    def test_records_no_skipped_run_for_a_single_missed_slot(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.restart(hours=1, minutes=30)
        assert kala.slots(job) == ["13:00"]
        assert kala.skipped(job) == []


class TestSkip:
    def test_records_all_missed_slots_as_one_skipped_run(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.restart(hours=5, minutes=30)
        assert kala.slots(job) == []
        assert kala.skipped(job) == [("17:00", missed(5, 13, 17))]

    def test_of_a_single_slot_is_worded_in_the_singular(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.restart(hours=1, minutes=30)
        assert kala.skipped(job) == [("13:00", missed(1, 13, 13))]

    def test_records_slots_that_passed_while_the_job_was_disabled(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.disable(job)
        kala.passes(hours=2, minutes=30)
        kala.enable(job)
        assert kala.skipped(job) == [("14:00", missed(2, 13, 14))]

    def test_is_recorded_once(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.restart(hours=5, minutes=30)
        kala.step()
        kala.restart(minutes=1)
        assert len(kala.runs(job)) == 1


class TestAll:
    def test_runs_each_missed_slot_oldest_first(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL)
        kala.restart(hours=4, minutes=30)
        assert kala.story(job) == ["schedule running"] + ["schedule queued"] * 3
        finish_all(kala, job)
        assert kala.slots(job) == ["13:00", "14:00", "15:00", "16:00"]
        assert [run.slot.hour for run in kala.workers.given] == [13, 14, 15, 16]
        assert kala.skipped(job) == []

    def test_runs_only_the_newest_up_to_the_limit(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL, missed_limit=2)
        kala.restart(hours=5, minutes=30)
        finish_all(kala, job)
        assert kala.slots(job) == ["16:00", "17:00"]
        assert kala.skipped(job) == [("15:00", missed(3, 13, 15))]

    def test_keeps_the_grid(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL)
        kala.restart(hours=2, minutes=30)
        finish_all(kala, job)
        kala.passes(minutes=30)
        assert kala.slots(job) == ["13:00", "14:00", "15:00"]

    def test_counts_each_as_a_repeat(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R2"), missed=Missed.ALL)
        kala.restart(hours=5, minutes=30)
        finish_all(kala, job)
        assert len(kala.slots(job)) == 3
        assert kala.job(job).is_done

    def test_runs_slots_that_passed_while_the_job_was_disabled(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL)
        kala.disable(job)
        kala.passes(hours=2, minutes=30)
        kala.enable(job)
        finish_all(kala, job)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_runs_missed_slots_after_a_slot_that_was_already_queued(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.restart(hours=2, minutes=30)
        finish_all(kala, job)
        assert kala.slots(job) == ["13:00", "14:00", "15:00", "16:00"]

    def test_survives_a_crash_in_the_middle(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL)
        kala.restart(hours=3, minutes=30)
        kala.succeed(job)
        kala.restart(seconds=1)
        finish_all(kala, job)
        assert kala.story(job) == ["schedule succeeded", "schedule lost", "schedule succeeded"]

    def test_starts_all_at_once_if_the_job_allows_overlap(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL, overlap=Overlap.ALLOW)
        kala.restart(hours=3, minutes=30)
        assert kala.story(job) == ["schedule running"] * 3


class TestAStartDeadline:
    @pytest.mark.parametrize("choice", [Missed.ONCE, Missed.ALL])
    def test_skips_slots_that_are_too_old(self, kala, choice):
        job = kala.create(schedule=HOURLY, missed=choice, start_deadline="PT10M")
        kala.restart(hours=3, minutes=30)
        assert kala.slots(job) == []
        assert kala.skipped(job) == [("15:00", missed(3, 13, 15))]

    def test_keeps_slots_that_are_recent_enough(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.ALL, start_deadline="PT2H")
        kala.restart(hours=4, minutes=30)
        finish_all(kala, job)
        assert kala.slots(job) == ["15:00", "16:00"]
        assert kala.skipped(job) == [("14:00", missed(2, 13, 14))]

    def test_is_met_by_a_slot_exactly_that_old(self, kala):
        job = kala.create(schedule=HOURLY, start_deadline="PT30M")
        kala.restart(hours=1, minutes=30)
        assert kala.slots(job) == ["13:00"]

    def test_does_not_matter_for_a_slot_on_time(self, kala):
        job = kala.create(schedule=HOURLY, start_deadline="PT1S")
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00"]

    def test_that_skips_a_slot_uses_up_no_repeat(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"), start_deadline="PT1M")
        kala.restart(hours=1, minutes=30)
        kala.passes(minutes=30)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["14:00", "15:00"]


class TestASlotThatComesDueWhileTheDatabaseCannotBeWritten:
    @pytest.mark.parametrize(("choice", "slots"), [(Missed.SKIP, []), (Missed.ONCE, ["15:00"])])
    def test_is_missed(self, kala, choice, slots):
        job = kala.create(schedule=HOURLY, missed=choice)
        with kala.dead_disk():
            for _ in range(6):
                kala.passes(minutes=30)
        kala.passes(seconds=1)
        assert kala.slots(job) == slots

    def test_is_not_missed_if_the_outage_is_short(self, kala):
        job = kala.create(schedule=HOURLY, missed=Missed.SKIP)
        kala.passes(minutes=59, seconds=59)
        with kala.dead_disk():
            kala.passes(seconds=1)
        kala.passes(seconds=1)
        assert kala.slots(job) == ["13:00"]
