"""A failed run is retried, at once or after a growing delay, also after a restart, and blocks no other run."""

import pytest
from samples import FAR, HOURLY


@pytest.fixture
def job(kala) -> str:
    """A job whose first run has failed, and which is retried after ten minutes."""
    job = kala.create(schedule=FAR, retries=3, retry_delay="PT10M")
    kala.start(job)
    kala.fail(job)
    return job


class TestADelay:
    def test_ends_on_time(self, kala, job):
        assert kala.story(job) == ["manual failed", "retry queued"]
        kala.passes(minutes=9, seconds=59)
        assert kala.story(job)[-1] == "retry queued"
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"

    def test_keeps_its_length_if_the_clock_is_set_back(self, kala, job):
        kala.passes(minutes=4)
        kala.passes(hours=-1)
        kala.passes(minutes=5, seconds=59)
        assert kala.story(job)[-1] == "retry queued"
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"

    def test_keeps_its_length_if_the_clock_is_set_back_during_an_outage(self, kala, job):
        kala.store._writing.pragma("query_only", 1)
        kala.passes(hours=-1)
        kala.passes(minutes=-30)
        kala.store._writing.pragma("query_only", 0)
        kala.passes(minutes=10)
        assert kala.story(job)[-1] == "retry running"

    def test_is_shown_with_its_end(self, kala, job):
        run = kala.runs(job)[-1]
        assert (run.waiting, (run.not_before - kala.now).total_seconds()) == ("retry", 600)

    def test_ends_at_the_instant_at_which_the_engine_wakes_up(self, kala, job):
        assert kala.engine._next_due == kala.runs(job)[-1].not_before

    def test_is_zero_by_default(self, kala):
        job = kala.create(schedule=FAR, retries=1)
        kala.start(job)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry running"]

    def test_is_a_second_after_ten_attempts_by_default(self, kala):
        job = kala.create(schedule=FAR, retries=1_000_000)
        kala.start(job)
        for _ in range(10):
            kala.fail(job)
        assert kala.story(job) == ["manual failed", *["retry failed"] * 9, "retry queued"]
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"
        kala.fail(job)
        assert kala.story(job)[-1] == "retry queued"

    def test_keeps_the_slot_and_the_due_time(self, kala):
        job = kala.create(schedule=HOURLY, retries=1, retry_delay="PT1M")
        kala.passes(hours=1)
        kala.fail(job)
        kala.passes(minutes=1)
        first, retry = kala.runs(job)
        assert (retry.slot, retry.due_at, retry.attempt, retry.cause_run) == (first.slot, first.due_at, 1, first.id)

    def test_survives_a_restart(self, kala, job):
        kala.restart(minutes=5)
        assert kala.story(job)[-1] == "retry queued"
        kala.passes(minutes=5)
        assert kala.story(job)[-1] == "retry running"

    def test_that_ended_while_kala_was_down_starts_the_retry_at_once(self, kala, job):
        kala.restart(hours=1)
        assert kala.story(job)[-1] == "retry running"

    def test_keeps_the_job_from_being_done(self, kala):
        job = kala.create(retries=1, retry_delay="PT10M")
        kala.fail(job)
        assert not kala.job(job).is_done
        kala.passes(minutes=10)
        kala.succeed(job)
        assert kala.job(job).is_done

    def test_that_would_end_after_epsilon_is_not_started(self, kala):
        job = kala.create(schedule=FAR, retries=3, retry_delay="PT10M", epsilon="PT15M")
        kala.start(job)
        kala.fail(job)
        kala.passes(minutes=10)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry failed"]


class TestABackoff:
    def test_makes_each_delay_longer(self, kala):
        job = kala.create(schedule=FAR, retries=3, retry_delay="PT1M", retry_backoff=3.0)
        kala.start(job)
        for minutes in (1, 3, 9):
            kala.fail(job)
            assert (kala.runs(job)[-1].not_before - kala.now).total_seconds() == minutes * 60
            kala.passes(minutes=minutes)
        kala.fail(job)
        assert kala.story(job) == ["manual failed"] + ["retry failed"] * 3

    def test_stops_at_the_longest_delay(self, kala):
        job = kala.create(schedule=FAR, retries=3, retry_delay="PT1M", retry_backoff=10.0, retry_max_delay="PT5M")
        kala.start(job)
        kala.fail(job)
        kala.passes(minutes=1)
        kala.fail(job)
        assert (kala.runs(job)[-1].not_before - kala.now).total_seconds() == 300


class TestRetryOn:
    @pytest.mark.parametrize(("code", "story"), [(75, ["manual failed", "retry running"]), (1, ["manual failed"])])
    def test_lists_the_exit_codes_that_are_retried(self, kala, code, story):
        job = kala.create(schedule=FAR, retries=1, retry_on=(75,))
        run = kala.start(job)
        kala.step(kala.end_of(run.id, "failed", exit_code=code))
        assert kala.story(job) == story


class TestOtherRunsOfTheJob:
    def test_start_during_the_delay(self, kala, job):
        kala.start(job)
        assert kala.story(job) == ["manual failed", "retry queued", "manual running"]

    def test_that_were_queued_start_during_the_delay(self, kala):
        job = kala.create(schedule=FAR, retries=1, retry_delay="PT10M")
        kala.start(job)
        kala.start(job)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "manual running", "retry queued"]

    def test_do_not_overlap_with_the_retry(self, kala, job):
        kala.start(job)
        kala.passes(minutes=10)
        assert kala.story(job) == ["manual failed", "retry queued", "manual running"]
        assert kala.runs(job)[1].waiting == "job"
        kala.succeed(job)
        assert kala.story(job) == ["manual failed", "retry running", "manual succeeded"]

    def test_start_for_slots_during_the_delay(self, kala):
        job = kala.create(schedule=HOURLY, retries=1, retry_delay="PT3H")
        kala.passes(hours=1)
        kala.fail(job)
        for _ in range(2):
            kala.passes(hours=1)
            kala.succeed(job)
        assert kala.slots(job) == ["13:00", "14:00", "15:00"]


class TestAWaitingRetry:
    def test_can_be_cancelled(self, kala, job):
        kala.cancel(kala.runs(job)[-1].id)
        kala.passes(hours=1)
        assert kala.story(job) == ["manual failed", "retry cancelled"]

    def test_that_is_cancelled_leaves_its_job_done_if_nothing_else_is_planned(self, kala):
        job = kala.create(retries=1, retry_delay="PT10M")
        kala.fail(job)
        kala.cancel(kala.runs(job)[-1].id)
        assert kala.job(job).is_done

    def test_is_cancelled_when_its_job_is_deleted(self, kala, job):
        kala.delete(job)
        kala.passes(hours=1)
        assert [run.state for run in kala.runs()] == ["failed", "cancelled"]

    def test_waits_while_its_job_is_disabled(self, kala, job):
        kala.disable(job)
        kala.passes(hours=1)
        assert kala.story(job)[-1] == "retry queued"
        kala.enable(job)
        kala.step()
        assert kala.story(job)[-1] == "retry running"
