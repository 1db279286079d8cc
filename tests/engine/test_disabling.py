"""A disabled job does nothing new, forgets nothing, and goes on when it is enabled."""

import pytest

from kala.core.errors import Conflict

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"  # it is noon when a test begins


class TestADisabledJob:
    def test_does_not_run_at_its_slots(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(hours=1)
        assert kala.runs(job) == []

    def test_is_refused_to_start(self, kala):
        job = kala.create(schedule=HOURLY, disabled=True)
        with pytest.raises(Conflict) as refusal:
            kala.start(job)
        assert str(refusal.value) == f"job {job} (backup) is disabled; enable it before starting it"

    def test_that_is_refused_to_start_does_not_run_its_on_failure_job(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(schedule=HOURLY, disabled=True, on_failure_job=alarm)
        with pytest.raises(Conflict):
            kala.start(job)
        assert kala.runs() == []

    def test_finishes_what_is_running(self, kala):
        job = kala.create()
        kala.disable(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded"]

    def test_does_not_run_what_was_queued_until_it_is_enabled(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded", "manual queued"]
        kala.enable(job)
        assert kala.story(job) == ["creation succeeded", "manual running"]

    def test_does_not_run_what_was_queued_after_a_restart_either(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.restart(minutes=1)
        assert kala.story(job) == ["creation lost", "manual queued"]
        kala.enable(job)
        assert kala.story(job) == ["creation lost", "manual running"]

    def test_does_not_run_beside_itself_when_it_is_enabled_while_it_still_runs(self, kala):
        job = kala.create()
        kala.start(job)
        kala.disable(job)
        kala.enable(job)
        assert kala.story(job) == ["creation running", "manual queued"]
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded", "manual running"]

    def test_that_is_enabled_goes_on_with_its_grid(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(minutes=30)
        kala.enable(job)
        kala.passes(minutes=30)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.slots(job) == ["13:00", "14:00"]

    def test_that_is_disabled_or_enabled_twice_is_as_after_once(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        once = kala.job(job)
        kala.disable(job)
        assert kala.job(job) == once

    def test_is_not_done_while_a_slot_is_to_come(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.disable(job)
        kala.passes(hours=1)
        assert not kala.job(job).is_done

    def test_still_has_the_slot_that_waited_for_its_turn_when_it_is_enabled(self, new_kala):
        kala = new_kala(workers=1)
        busy = kala.create()
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.disable(job)
        kala.succeed(busy)
        assert kala.story(job) == ["schedule queued"]
        kala.enable(job)
        assert kala.story(job) == ["schedule running"]

    def test_still_has_its_run_at_creation_that_waited_for_its_turn_when_it_is_enabled(self, new_kala):
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
