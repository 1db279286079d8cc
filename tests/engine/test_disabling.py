"""A disabled job starts no run, keeps its queued runs and its plan, and continues when it is enabled."""

import pytest
from samples import HOURLY

from kala.core.errors import Conflict


class TestADisabledJob:
    def test_does_not_run_at_its_slots(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(hours=1)
        assert kala.runs(job) == []

    def test_cannot_be_started(self, kala):
        job = kala.create(schedule=HOURLY, disabled=True)
        with pytest.raises(Conflict) as refusal:
            kala.start(job)
        assert str(refusal.value) == f"job {job} (backup) is disabled; enable it before starting it"

    def test_that_cannot_be_started_does_not_run_its_on_failure_job(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(schedule=HOURLY, disabled=True, on_failure_job=alarm)
        with pytest.raises(Conflict):
            kala.start(job)
        assert kala.runs() == []

    def test_finishes_its_running_run(self, kala):
        job = kala.create()
        kala.disable(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded"]

    def test_starts_its_queued_runs_when_it_is_enabled(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded", "manual queued"]
        kala.enable(job)
        assert kala.story(job) == ["creation succeeded", "manual running"]

    def test_does_not_start_its_queued_runs_after_a_restart(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.restart(minutes=1)
        assert kala.story(job) == ["creation lost", "manual queued"]
        kala.enable(job)
        assert kala.story(job) == ["creation lost", "manual running"]

    def test_that_is_enabled_while_it_runs_does_not_overlap_with_itself(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.enable(job)
        assert kala.story(job) == ["creation running", "manual queued"]
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded", "manual running"]

    def test_that_is_enabled_keeps_its_grid(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(minutes=30)
        kala.enable(job)
        kala.passes(minutes=30)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_that_is_disabled_twice_stays_the_same(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        once = kala.job(job)
        kala.disable(job)
        assert kala.job(job) == once

    def test_is_not_done_while_it_has_a_next_slot(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(hours=1)
        assert not kala.job(job).is_done

    def test_keeps_a_queued_slot_until_it_is_enabled(self, new_kala):
        kala = new_kala(workers=1)
        busy = kala.create()
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.disable(job)
        kala.succeed(busy)
        assert kala.story(job) == ["schedule queued"]
        kala.enable(job)
        assert kala.story(job) == ["schedule running"]

    def test_keeps_its_queued_run_at_creation_until_it_is_enabled(self, new_kala):
        kala = new_kala(workers=1)
        busy, job = kala.create(), kala.create()
        kala.disable(job)
        kala.succeed(busy)
        assert kala.story(job) == ["creation queued"]
        kala.enable(job)
        assert kala.story(job) == ["creation running"]

    def test_that_is_deleted_has_its_held_runs_cancelled(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.delete(job)
        assert kala.story(job) == ["creation running", "manual cancelled"]
