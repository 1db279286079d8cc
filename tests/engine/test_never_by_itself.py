"""Jobs that are due after a boot, or never by themselves."""

from datetime import timedelta

import pytest

from kala.core.job import Missed


class TestAJobAtBoot:
    def test_does_not_run_when_it_is_created_nor_when_kala_alone_restarts(self, kala):
        job = kala.create(schedule="@reboot")
        kala.passes(days=1)
        kala.restart(minutes=1)
        assert kala.runs(job) == []
        assert kala.job(job).next_due is None
        assert not kala.job(job).is_done

    @pytest.mark.parametrize("missed", Missed)
    def test_runs_once_after_each_boot(self, kala, missed):
        job = kala.create(schedule="@reboot", missed=missed)
        for boot in ("second", "third"):
            kala.boot_id = boot
            kala.restart(minutes=10)
            assert kala.story(job)[-1] == "schedule running"
            kala.succeed(job)
            kala.restart(minutes=10)
        assert kala.story(job) == ["schedule succeeded"] * 2
        assert not kala.job(job).is_done

    def test_has_the_start_of_kala_as_its_slot(self, kala):
        job = kala.create(schedule="@reboot")
        kala.boot_id = "second"
        kala.restart(minutes=10)
        assert [run.slot for run in kala.runs(job)] == [kala.now]

    def test_runs_later_by_its_jitter(self, kala):
        job = kala.create(schedule="@reboot", jitter="PT1H")
        kala.boot_id = "second"
        kala.restart(minutes=10)
        booted = kala.now
        kala.passes(hours=1)
        assert [run.slot for run in kala.runs(job)] == [booted]

    def test_that_is_disabled_runs_once_when_it_is_enabled(self, kala):
        job = kala.create(schedule="@reboot", disabled=True)
        for boot in ("second", "third"):
            kala.boot_id = boot
            kala.restart(minutes=10)
        kala.passes(minutes=10)
        assert kala.runs(job) == []
        kala.enable(job)
        assert kala.story(job) == ["schedule running"]

    def test_does_not_run_where_the_boot_is_not_known(self, kala):
        job = kala.create(schedule="@reboot")
        kala.boot_id = ""
        kala.restart()
        assert kala.runs(job) == []

    def test_runs_no_more_with_another_schedule(self, kala):
        job = kala.create(schedule="@reboot")
        kala.update(job, schedule="manual")
        kala.boot_id = "second"
        kala.restart()
        assert kala.runs(job) == []


class TestAManualJob:
    def test_runs_only_when_it_is_started(self, kala):
        job = kala.create(schedule="manual")
        kala.passes(days=400)
        assert kala.runs(job) == []
        kala.start(job)
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded"]
        assert not kala.job(job).is_done

    def test_runs_when_another_one_fails(self, kala):
        tell = kala.create(schedule="manual", name="tell")
        job = kala.create(on_failure_job=tell)
        kala.fail(job)
        assert kala.story(tell) == ["failure running"]

    def test_can_be_a_child(self, kala):
        parent = kala.create(schedule="manual")
        child = kala.create(schedule="manual", parents=(parent,), name="child")
        kala.start(parent)
        kala.succeed(parent)
        assert kala.story(child) == ["parent running"]


class TestJitter:
    def test_puts_off_the_start_and_not_the_slot(self, kala):
        job = kala.create(schedule="0 13 * * *", jitter="PT30M")
        planned = kala.job(job)
        late = planned.next_due - planned.next_slot
        assert timedelta() < late < timedelta(minutes=30)
        kala.now = planned.next_due - timedelta(seconds=1)
        kala.step()
        assert kala.runs(job) == []
        kala.passes(seconds=1)
        [run] = kala.runs(job)
        assert (run.slot, run.due_at) == (planned.next_slot, planned.next_due)

    def test_is_the_same_after_a_restart(self, kala):
        job = kala.create(schedule="0 13 * * *", jitter="PT30M")
        before = kala.job(job)
        kala.restart(minutes=5)
        assert kala.job(job) == before

    def test_that_changes_keeps_the_slot(self, kala):
        job = kala.create(schedule="0 13 * * *", jitter="PT30M")
        slot = kala.job(job).next_slot
        kala.update(job, jitter="")
        assert (kala.job(job).next_due, kala.job(job).next_slot) == (slot, None)
        kala.update(job, jitter="PT1M")
        assert kala.job(job).next_slot == slot

    def test_longer_than_the_interval_loses_no_slot_and_runs_none_twice(self, kala):
        job = kala.create(schedule="* * * * *", jitter="PT10M", missed=Missed.ALL)
        first = kala.now
        for _ in range(240):
            kala.passes(seconds=15)
            while any(run.state == "running" for run in kala.runs(job)):
                kala.succeed(job)
        runs = kala.runs(job)
        assert [run.slot for run in runs] == [first + timedelta(minutes=number + 1) for number in range(len(runs))]
        assert all(run.due_at <= run.queued_at for run in runs)
        assert len(runs) >= 45
        assert kala.job(job).next_slot == runs[-1].slot + timedelta(minutes=1)

    def test_is_not_what_makes_a_slot_missed(self, kala):
        job = kala.create(schedule="0 13 * * *", jitter="PT30M", missed=Missed.SKIP)
        planned = kala.job(job)
        kala.now = planned.next_slot + (planned.next_due - planned.next_slot) / 2
        kala.restart()
        kala.now = planned.next_due
        kala.step()
        assert kala.slots(job) == ["13:00"]


class TestH:
    def test_stays_while_the_name_stays(self, kala):
        job = kala.create(schedule="H * * * *", name="one")
        before = kala.job(job).next_due
        kala.update(job, owner="ann@example.org")
        assert kala.job(job).next_due == before

    def test_is_another_number_for_another_name(self, kala):
        job = kala.create(schedule="H H * * *", name="one")
        before = kala.job(job).next_due
        kala.update(job, name="two")
        assert kala.job(job).next_due != before

    def test_does_not_matter_to_a_schedule_without_it(self, kala):
        job = kala.create(schedule="7 * * * *", name="one")
        before = kala.job(job).next_due
        kala.update(job, name="two")
        assert kala.job(job).next_due == before


class TestAnIntervalThatBeganInThePast:
    def test_goes_on_with_its_next_slot(self, kala):
        job = kala.create(schedule="R/2020-01-01T00:30:00Z/PT1H")
        assert f"{kala.job(job).next_due:%H:%M}" == "12:30"
