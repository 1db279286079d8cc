"""A failed run is tried again: at once or after a wait that grows, through restarts, without standing in the way."""

import pytest

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"  # it is noon when a test begins
FAR = "R/2040-01-01T00:00:00Z/P1D"


@pytest.fixture
def job(kala) -> str:
    """A job whose first run has failed; it is tried again after ten minutes."""
    job = kala.create(schedule=FAR, retries=3, retry_delay="PT10M")
    kala.start(job)
    kala.fail(job)
    return job


class TestADelay:
    def test_is_waited_for_and_no_moment_longer(self, kala, job):
        assert kala.story(job) == ["manual failed", "retry queued"]
        kala.passes(minutes=9, seconds=59)
        assert kala.story(job)[-1] == "retry queued"
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"

    def test_is_as_long_when_the_clock_is_set_back_meanwhile(self, kala, job):
        kala.passes(minutes=4)
        kala.passes(hours=-1)
        kala.passes(minutes=5, seconds=59)
        assert kala.story(job)[-1] == "retry queued"
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"

    def test_is_as_long_when_the_clock_is_set_back_while_nothing_can_be_written(self, kala, job):
        kala.store._writing.pragma("query_only", 1)
        kala.passes(hours=-1)
        kala.passes(minutes=-30)
        kala.store._writing.pragma("query_only", 0)
        kala.passes(minutes=10)
        assert kala.story(job)[-1] == "retry running"

    def test_can_be_seen_with_its_end(self, kala, job):
        run = kala.runs(job)[-1]
        assert (run.waiting, (run.not_before - kala.now).total_seconds()) == ("retry", 600)

    def test_is_the_instant_for_which_the_engine_wakes(self, kala, job):
        assert kala.engine._next_due == kala.runs(job)[-1].not_before

    def test_is_none_where_none_was_given(self, kala):
        job = kala.create(schedule=FAR, retries=1)
        kala.start(job)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry running"]

    def test_is_a_second_after_ten_attempts_where_none_was_given(self, kala):
        job = kala.create(schedule=FAR, retries=1_000_000)
        kala.start(job)
        for _ in range(10):
            kala.fail(job)
        assert kala.story(job) == ["manual failed", *["retry failed"] * 9, "retry queued"]
        kala.passes(seconds=1)
        assert kala.story(job)[-1] == "retry running"
        kala.fail(job)
        assert kala.story(job)[-1] == "retry queued"

    def test_keeps_what_the_first_attempt_stood_for(self, kala):
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

    def test_that_ended_while_kala_was_down_is_over_at_once(self, kala, job):
        kala.restart(hours=1)
        assert kala.story(job)[-1] == "retry running"

    def test_keeps_a_job_from_being_done(self, kala):
        job = kala.create(retries=1, retry_delay="PT10M")
        kala.fail(job)
        assert not kala.job(job).is_done
        kala.passes(minutes=10)
        kala.succeed(job)
        assert kala.job(job).is_done

    def test_that_would_end_after_the_epsilon_is_not_begun(self, kala):
        job = kala.create(schedule=FAR, retries=3, retry_delay="PT10M", epsilon="PT15M")
        kala.start(job)
        kala.fail(job)
        kala.passes(minutes=10)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "retry failed"]


class TestABackoff:
    def test_makes_each_wait_longer(self, kala):
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
    def test_has_the_exit_codes_that_are_tried_again(self, kala, code, story):
        job = kala.create(schedule=FAR, retries=1, retry_on=(75,))
        run = kala.start(job)
        kala.step(kala.end_of(run.id, "failed", exit_code=code))
        assert kala.story(job) == story


class TestOtherRunsOfTheJob:
    def test_go_on_meanwhile(self, kala, job):
        kala.start(job)
        assert kala.story(job) == ["manual failed", "retry queued", "manual running"]

    def test_that_waited_before_go_on_meanwhile(self, kala):
        job = kala.create(schedule=FAR, retries=1, retry_delay="PT10M")
        kala.start(job)
        kala.start(job)
        kala.fail(job)
        assert kala.story(job) == ["manual failed", "manual running", "retry queued"]

    def test_are_not_joined_by_a_retry_whose_wait_is_over(self, kala, job):
        kala.start(job)
        kala.passes(minutes=10)
        assert kala.story(job) == ["manual failed", "retry queued", "manual running"]
        assert kala.runs(job)[1].waiting == "job"
        kala.succeed(job)
        assert kala.story(job) == ["manual failed", "retry running", "manual succeeded"]

    def test_go_on_where_slots_come_due(self, kala):
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

    def test_that_is_cancelled_leaves_its_job_done_where_nothing_is_to_come(self, kala):
        job = kala.create(retries=1, retry_delay="PT10M")
        kala.fail(job)
        kala.cancel(kala.runs(job)[-1].id)
        assert kala.job(job).is_done

    def test_goes_with_its_job(self, kala, job):
        kala.delete(job)
        kala.passes(hours=1)
        assert [run.state for run in kala.runs()] == ["failed", "cancelled"]

    def test_waits_on_while_its_job_is_disabled(self, kala, job):
        kala.disable(job)
        kala.passes(hours=1)
        assert kala.story(job)[-1] == "retry queued"
        kala.enable(job)
        kala.step()
        assert kala.story(job)[-1] == "retry running"
