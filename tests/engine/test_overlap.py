"""A new run of a job that has a queued or running run waits, unless the job's overlap says otherwise."""

import pytest
from samples import FAR, HOURLY

from kala.core.job import Missed, Overlap

SKIPPED = "skipped because another run of the job was queued or running"
REPLACED = "cancelled because a newer run of the job replaces it"


class TestWaiting:
    def test_is_the_default(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        assert [run.waiting for run in kala.runs(job)] == ["", "job"]

    def test_ends_with_the_run_before_whatever_its_outcome(self, kala):
        job = kala.create(schedule=HOURLY)
        for state in ("failed", "timed_out", "cancelled"):
            kala.start(job)
            kala.start(job)
            kala.step(kala.done(job, state))
            assert kala.story(job)[-1] == "manual running"
            kala.succeed(job)

    def test_keeps_every_manual_start(self, kala):
        job = kala.create(schedule=HOURLY)
        for _ in range(3):
            kala.start(job)
        for _ in range(3):
            kala.succeed(job)
        assert kala.story(job) == ["manual succeeded"] * 3

    def test_lasts_until_all_overlapping_runs_have_ended(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        first, second = kala.start(job), kala.start(job)
        kala.update(job, overlap=Overlap.WAIT)
        third = kala.start(job)
        kala.step(kala.end_of(first.id))
        assert (kala.run(third.id).state, kala.run(third.id).waiting) == ("queued", "job")
        kala.step(kala.end_of(second.id))
        assert kala.run(third.id).state == "running"


class TestSkipping:
    @pytest.fixture
    def job(self, kala) -> str:
        return kala.create(schedule=HOURLY, overlap=Overlap.SKIP)

    def test_records_the_slot_with_the_reason(self, kala, job):
        kala.passes(hours=1)
        kala.passes(hours=1)
        assert kala.story(job) == ["schedule running", "schedule skipped"]
        assert kala.skipped(job) == [("14:00", SKIPPED)]

    def test_records_an_end_and_no_start(self, kala, job):
        kala.start(job)
        skipped = kala.start(job)
        run = kala.run(skipped.id)
        assert (run.started_at, run.outcome.ended_at, run.state) == (None, kala.now, "skipped")

    def test_applies_to_manual_starts(self, kala, job):
        kala.start(job)
        assert kala.start(job).state == "skipped"
        assert len(kala.workers.given) == 1

    def test_does_not_use_up_repeats(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"), overlap=Overlap.SKIP)
        for _ in range(3):
            kala.passes(hours=1)
        kala.succeed(job)
        kala.passes(hours=1)
        kala.succeed(job)
        assert kala.slots(job) == ["13:00", "16:00"]
        assert [slot for slot, _ in kala.skipped(job)] == ["14:00", "15:00"]
        assert kala.job(job).is_done

    def test_of_missed_slots_does_not_use_up_repeats(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"), overlap=Overlap.SKIP, missed=Missed.ALL)
        kala.restart(hours=3)
        assert [kala.slots(job), kala.skipped(job)] == [["13:00"], [("14:00", SKIPPED), ("15:00", SKIPPED)]]
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "16:00"]

    def test_does_not_change_the_record_of_missed_slots(self, kala, job):
        kala.passes(hours=1)
        kala.passes(hours=3)
        missed = "2 missed slots skipped, from 2030-01-01T14:00:00Z to 2030-01-01T15:00:00Z"
        assert kala.skipped(job) == [("15:00", missed), ("16:00", SKIPPED)]

    def test_records_each_missed_slot_that_would_have_run(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.SKIP, missed=Missed.ALL)
        kala.start(job)
        kala.passes(hours=2)
        assert kala.skipped(job) == [("13:00", SKIPPED), ("14:00", SKIPPED)]

    def test_ends_with_the_run_that_was_running(self, kala, job):
        kala.passes(hours=1)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]
        assert kala.skipped(job) == []

    def test_counts_neither_as_success_nor_as_error(self, kala, job):
        kala.passes(hours=1)
        kala.passes(hours=1)
        counts = kala.job(job).counts
        assert (counts.successes, counts.errors, counts.finished) == (0, 0, 0)

    def test_starts_no_child_and_no_on_failure_job(self, kala):
        cleaner = kala.create(name="cleaner", schedule=FAR)
        job = kala.create(schedule=HOURLY, overlap=Overlap.SKIP, on_failure_job=cleaner)
        child = kala.create(name="child", parents=(job,))
        kala.start(job)
        kala.start(job)
        assert kala.runs(child) + kala.runs(cleaner) == []


class TestAllowing:
    def test_starts_overlapping_runs(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        for _ in range(3):
            kala.passes(hours=1)
        assert kala.story(job) == ["schedule running"] * 3

    def test_lets_runs_end_in_any_order(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        first, second = kala.start(job), kala.start(job)
        kala.step(kala.end_of(second.id))
        kala.step(kala.end_of(first.id, "failed"))
        assert kala.story(job) == ["manual failed", "manual succeeded"]

    def test_starts_all_held_runs_when_the_job_is_enabled(self, new_kala):
        kala = new_kala(workers=2)
        others = [kala.create(), kala.create()]
        kala.step()
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        kala.start(job)
        kala.start(job)
        kala.disable(job)
        kala.step(*map(kala.done, others))
        kala.enable(job)
        assert kala.story(job) == ["manual running"] * 2

    def test_uses_no_more_workers_than_there_are(self, new_kala):
        kala = new_kala(workers=2)
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        for _ in range(3):
            kala.start(job)
        assert kala.story(job) == ["manual running", "manual running", "manual queued"]
        kala.step(kala.end_of(1))
        assert kala.story(job) == ["manual succeeded", "manual running", "manual running"]

    def test_counts_each_slot_as_a_repeat(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"), overlap=Overlap.ALLOW)
        for _ in range(4):
            kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]


class TestReplacing:
    @pytest.fixture
    def job(self, kala) -> str:
        return kala.create(schedule=HOURLY, overlap=Overlap.REPLACE)

    def test_cancels_the_running_run_before_the_new_one_starts(self, kala, job):
        kala.passes(hours=1)
        kala.passes(hours=1)
        assert kala.workers.cancelled == [(1, REPLACED)]
        assert kala.story(job) == ["schedule running", "schedule queued"]
        kala.step(kala.end_of(1, "cancelled", REPLACED))
        assert kala.story(job) == ["schedule cancelled", "schedule running"]

    def test_cancels_a_queued_run_at_once(self, new_kala):
        kala = new_kala(workers=1)
        other = kala.create(name="other")
        kala.step()
        job = kala.create(schedule=HOURLY, overlap=Overlap.REPLACE)
        kala.start(job)
        kala.start(job)
        assert kala.story(job) == ["manual cancelled", "manual queued"]
        assert kala.runs(job)[0].outcome.message == REPLACED
        kala.succeed(other)
        assert kala.story(job) == ["manual cancelled", "manual running"]

    def test_starts_only_the_newest_of_several_waiting_runs(self, kala, job):
        for _ in range(4):
            kala.start(job)
        kala.step(kala.end_of(1, "cancelled", REPLACED))
        assert kala.story(job) == ["manual cancelled"] * 3 + ["manual running"]

    def test_counts_the_replaced_run_neither_as_success_nor_as_error(self, kala, job):
        kala.start(job)
        kala.start(job)
        kala.step(kala.end_of(1, "cancelled", REPLACED))
        counts = kala.job(job).counts
        assert (counts.successes, counts.errors, counts.finished) == (0, 0, 0)

    def test_starts_only_the_latest_missed_slot(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.REPLACE, missed=Missed.ALL)
        kala.restart(hours=3)
        assert [run.slot.hour for run in kala.workers.given] == [15]
        assert kala.skipped(job) == [("13:00", SKIPPED), ("14:00", SKIPPED)]
        assert kala.workers.cancelled == []

    def test_starts_at_once_if_no_other_run_is_queued_or_running(self, kala, job):
        kala.passes(hours=1)
        assert kala.story(job) == ["schedule running"]
        assert kala.workers.cancelled == []
