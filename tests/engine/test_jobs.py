"""Jobs are created, changed, started and deleted."""

import pytest
from msgspec.structs import replace
from samples import HOURLY, UNKNOWN

from kala.core.errors import Invalid, NotFound
from kala.core.job import Command, Overlap, Spec
from kala.engine.messages import CheckJob, CreateJob, DeleteAllJobs, DeleteJob, StartJob, UpdateJob


class TestANewJob:
    def test_without_schedule_and_parents_runs_once_at_its_creation(self, kala):
        job = kala.create()
        assert kala.story(job) == ["creation running"]
        kala.succeed(job)
        kala.passes(hours=9)
        assert kala.story(job) == ["creation succeeded"]

    def test_without_schedule_and_parents_is_done_when_its_run_has_ended(self, kala):
        job = kala.create()
        assert not kala.job(job).is_done
        kala.succeed(job)
        assert kala.job(job).is_done

    def test_that_failed_for_the_last_time_is_done(self, kala):
        job = kala.create(retries=1)
        kala.fail(job)
        assert not kala.job(job).is_done
        kala.fail(job)
        assert kala.job(job).is_done

    def test_with_parents_waits_for_them_and_is_not_done(self, kala):
        parent = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent,))
        assert kala.runs(child) == []
        assert not kala.job(child).is_done

    def test_that_is_disabled_does_not_run_until_it_is_enabled(self, kala):
        job = kala.create(disabled=True)
        kala.passes(hours=1)
        assert kala.runs(job) == []
        kala.enable(job)
        assert kala.story(job) == ["creation running"]

    def test_has_an_id_of_its_own(self, kala):
        assert kala.create() != kala.create()

    def test_has_its_time_of_creation(self, kala):
        assert kala.job(kala.create()).created_at == kala.now

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"schedule": HOURLY, "parents": (UNKNOWN,)}, "schedule: a job can have either a schedule or parent_jobs"),
            ({"schedule": "R9/2029-01-01T13:00:00Z/PT1H"}, "schedule: .* starts in the past"),
            ({"schedule": "hourly"}, "schedule: must be R\\[n\\]/START/INTERVAL, .*, not 'hourly'"),
            ({"epsilon": "soon"}, "epsilon: must be an ISO 8601 duration .*, not 'soon'"),
            ({"parents": (UNKNOWN,)}, f"parent_jobs: no job has the id or name '{UNKNOWN}'"),
            ({"on_failure_job": UNKNOWN}, f"on_failure_job: no job has the id or name '{UNKNOWN}'"),
        ],
    )
    def test_that_is_invalid_is_refused_and_not_stored(self, kala, fields, complaint):
        with pytest.raises(Invalid, match=f"^{complaint}"):
            kala.create(**fields)
        assert kala.jobs() == []

    def test_that_names_a_parent_twice_is_its_child_once(self, kala):
        parent = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, parent))
        assert kala.job(parent).children == (child,)


class TestAChange:
    def test_with_the_same_schedule_keeps_plan_and_repeats(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R1"))
        kala.passes(hours=1)
        kala.succeed(job)
        kala.update(job, name="other", owner="ann@example.org")
        for _ in range(2):
            kala.passes(hours=1)
        kala.succeed(job)
        assert kala.slots(job) == ["13:00", "14:00"]
        assert kala.job(job).is_done

    def test_with_another_schedule_plans_again_and_counts_repeats_from_zero(self, kala):
        job = kala.create(schedule=HOURLY.replace("R", "R0"))
        kala.passes(hours=1)
        kala.succeed(job)
        kala.update(job, schedule="R1/2030-01-01T13:30:00Z/PT1H")
        assert not kala.job(job).is_done
        for minutes in (30, 60, 60):
            kala.passes(minutes=minutes)
            if not kala.job(job).is_done:
                kala.succeed(job)
        assert kala.slots(job) == ["13:00", "13:30", "14:30"]

    def test_keeps_id_history_and_counts(self, kala):
        job = kala.create()
        kala.succeed(job)
        changed = kala.update(job, name="other")
        assert (changed.id, changed.spec.name, changed.counts.successes) == (job, "other", 1)
        assert kala.story(job) == ["creation succeeded"]

    def test_does_not_run_a_job_again_that_ran_at_its_creation(self, kala):
        job = kala.create()
        kala.succeed(job)
        kala.update(job, name="other")
        kala.passes(hours=1)
        assert kala.story(job) == ["creation succeeded"]

    def test_is_applied_to_the_current_job_so_that_no_other_change_is_lost(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.update(job, name="other")
        kala.update(job, owner="ann@example.org")
        assert (kala.job(job).spec.name, kala.job(job).spec.owner) == ("other", "ann@example.org")

    @pytest.mark.parametrize(
        "fields",
        [
            {"schedule": "R9/2029-01-01T13:00:00Z/PT1H"},
            {"parents": (UNKNOWN,), "schedule": ""},
            {"on_failure_job": UNKNOWN},
            {"epsilon": "soon"},
        ],
    )
    def test_that_is_invalid_changes_nothing(self, kala, fields):
        job = kala.create(schedule=HOURLY)
        before = kala.job(job)
        with pytest.raises(Invalid):
            kala.update(job, **fields)
        assert kala.job(job) == before

    def test_of_a_job_that_does_not_exist_is_refused(self, kala):
        with pytest.raises(NotFound, match=f"^no job has the id or name '{UNKNOWN}'$"):
            kala.ask(UpdateJob(UNKNOWN, lambda spec: spec))


class TestAManualStart:
    def test_runs_at_once_in_addition_to_the_schedule(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.start(job)
        kala.succeed(job)
        kala.passes(hours=1)
        assert kala.story(job) == ["manual succeeded", "schedule running"]

    def test_returns_the_run_that_is_on_disk(self, kala):
        job = kala.create(schedule=HOURLY)
        answer = kala.start(job)
        assert kala.run(answer.id).job_id == job

    def test_is_one_run_for_each_caller(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.step(StartJob(job), StartJob(job), StartJob(job))
        assert kala.story(job) == ["manual running", "manual queued", "manual queued"]
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded", "manual running", "manual queued"]
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded", "manual succeeded", "manual running"]

    def test_runs_a_job_again_that_is_done(self, kala):
        job = kala.create()
        kala.succeed(job)
        kala.start(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation succeeded", "manual succeeded"]

    def test_of_a_job_that_does_not_exist_is_refused(self, kala):
        with pytest.raises(NotFound, match=f"^no job has the id or name '{UNKNOWN}'$"):
            kala.start(UNKNOWN)


class TestADeletedJob:
    def test_is_gone(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.delete(job)
        kala.passes(hours=1)
        assert (kala.jobs(), kala.runs()) == ([], [])

    def test_keeps_its_history(self, kala):
        job = kala.create()
        kala.succeed(job)
        kala.delete(job)
        assert kala.story(job) == ["creation succeeded"]

    def test_has_its_queued_runs_cancelled_with_the_reason(self, kala):
        job = kala.create()
        queued = kala.start(job)
        kala.delete(job)
        assert kala.run(queued.id).outcome.message == "the job was deleted"
        assert kala.story(job) == ["creation running", "manual cancelled"]

    def test_still_has_the_end_of_its_running_run_recorded(self, kala):
        job = kala.create(retries=3)
        kala.delete(job)
        kala.fail(job)
        assert kala.story(job) == ["creation failed"]

    def test_is_no_longer_the_on_failure_job_of_others(self, kala):
        alarm = kala.create(schedule=HOURLY)
        job = kala.create(on_failure_job=alarm)
        kala.delete(alarm)
        assert kala.job(job).spec.on_failure_job == ""

    def test_that_does_not_exist_is_refused(self, kala):
        with pytest.raises(NotFound, match=f"^no job has the id or name '{UNKNOWN}'$"):
            kala.delete(UNKNOWN)

    def test_cannot_be_deleted_again(self, kala):
        job = kala.create(schedule=HOURLY)
        first, second = kala.step(DeleteJob(job), DeleteJob(job))
        assert list(first.result()) == [job]
        assert isinstance(second.exception(), NotFound)


class TestAllJobs:
    def test_can_be_deleted_together(self, kala):
        parent = kala.create(schedule=HOURLY)
        kala.create(parents=(parent,))
        running = kala.create()
        kala.start(running)
        kala.ask(DeleteAllJobs())
        kala.succeed(running)
        kala.passes(hours=1)
        assert kala.jobs() == []
        assert kala.story(running) == ["creation succeeded", "manual cancelled"]

    def test_can_be_deleted_before_new_ones_are_created(self, kala):
        kala.create(schedule=HOURLY)
        kala.ask(DeleteAllJobs())
        job = kala.create()
        assert kala.jobs() == [job]
        assert kala.story(job) == ["creation running"]


class TestACheck:
    def test_of_a_new_job_creates_none(self, kala):
        job, slots = kala.ask(CheckJob(CreateJob(Spec(name="a", action=Command("true"))), 3))
        kala.passes(hours=1)
        assert (kala.jobs(), kala.runs(), slots) == ([], [], [job.next_due])

    def test_of_a_change_starts_no_run_and_forgets_no_missed_slot(self, kala):
        job = kala.create(schedule=HOURLY, disabled=True)
        kala.passes(hours=2)
        before, seen = kala.job(job), kala.feed.last
        enabling = UpdateJob(job, lambda spec: replace(spec, disabled=False))
        found, slots = kala.ask(CheckJob(enabling, 2))
        assert (found.spec.disabled, [slot.hour for slot in slots]) == (False, [15, 16])
        kala.step()
        assert (kala.job(job), kala.runs(job), kala.feed.last) == (before, [], seen)
        kala.ask(enabling)
        assert len(kala.runs(job)) == 2

    def test_of_a_change_does_not_cancel_or_hold_runs(self, kala):
        job = kala.create(overlap=Overlap.WAIT)
        kala.start(job)
        before = kala.story(job)
        kala.ask(CheckJob(UpdateJob(job, lambda spec: replace(spec, disabled=True)), 1))
        assert kala.story(job) == before
