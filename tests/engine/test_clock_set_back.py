"""The clock is set back: elapsed time continues at once, a time of day runs once, and a wrong clock has no effect."""

from datetime import timedelta

import pytest
from samples import HOURLY

from kala.core.job import Missed

DAILY = "R/2030-01-01T13:00:00Z/P1D"
MINUTELY = "R/2030-01-01T12:01:00Z/PT1M"


@pytest.fixture(params=["while Kala runs", "while it is down"])
def set_back(request, kala):
    """Set the clock back, while Kala runs or while it is down."""

    def set_back(**by: float) -> None:
        back = {unit: -number for unit, number in by.items()}
        if request.param == "while Kala runs":
            kala.passes(**back)
        else:
            kala.restart(**back)

    return set_back


def run_at(kala, job: str, **later: float) -> None:
    """Let time pass; a run that is then running succeeds."""
    kala.passes(**later)
    if kala.story(job)[-1:] and kala.story(job)[-1].endswith("running"):
        kala.succeed(job)


class TestElapsedTime:
    def test_continues_at_once(self, kala, set_back):
        job = kala.create(schedule=HOURLY)
        for _ in range(3):
            run_at(kala, job, hours=1)
        set_back(hours=2)
        for _ in range(3):
            run_at(kala, job, hours=1)
        assert kala.slots(job) == ["13:00", "14:00", "15:00", "14:00", "15:00", "16:00"]

    def test_counts_every_run_as_a_repeat(self, kala, set_back):
        job = kala.create(schedule=HOURLY.replace("R", "R3"))
        for _ in range(3):
            run_at(kala, job, hours=1)
        set_back(hours=2)
        for _ in range(3):
            run_at(kala, job, hours=1)
        assert kala.slots(job) == ["13:00", "14:00", "15:00", "14:00"]
        assert kala.job(job).is_done

    def test_keeps_its_grid(self, kala, set_back):
        job = kala.create(schedule=HOURLY)
        run_at(kala, job, hours=2, minutes=20)
        set_back(minutes=50)
        assert f"{kala.job(job).next_due:%H:%M}" == "14:00"

    def test_does_not_run_before_its_start(self, kala, set_back):
        job = kala.create(schedule=HOURLY)
        set_back(hours=9)
        assert f"{kala.job(job).next_due:%H:%M}" == "13:00"


class TestATimeOfDay:
    def test_that_ran_does_not_run_again(self, kala, set_back):
        job = kala.create(schedule=DAILY)
        run_at(kala, job, hours=2)
        set_back(hours=2)
        run_at(kala, job, hours=1.5)
        assert kala.slots(job) == ["13:00"]
        run_at(kala, job, days=1)
        assert [f"{run.slot:%d %H:%M}" for run in kala.runs(job)] == ["01 13:00", "02 13:00"]

    def test_that_ran_does_not_run_again_if_its_run_was_deleted(self, kala, set_back):
        job = kala.create(schedule=DAILY)
        run_at(kala, job, hours=2)
        with kala.store.transaction():
            kala.store.writer.runs.delete([run.id for run in kala.runs(job)])
        set_back(hours=2)
        run_at(kala, job, hours=1.5)
        assert kala.slots(job) == []

    def test_that_ran_does_not_run_again_if_the_clock_is_set_back_several_times(self, kala, set_back):
        job = kala.create(schedule=DAILY)
        run_at(kala, job, hours=2)
        for _ in range(3):
            set_back(hours=1.5)
            run_at(kala, job, hours=1)
        assert kala.slots(job) == ["13:00"]

    def test_that_was_skipped_runs(self, kala, set_back):
        job = kala.create(schedule=DAILY, missed=Missed.SKIP)
        kala.passes(hours=2)
        assert kala.story(job) == ["schedule skipped"]
        set_back(hours=2)
        kala.passes(minutes=59, seconds=30)
        kala.passes(seconds=30)
        assert kala.story(job) == ["schedule skipped", "schedule running"]

    def test_that_ran_by_a_clock_more_than_three_hours_ahead_runs_again(self, kala, set_back):
        job = kala.create(schedule=DAILY)
        run_at(kala, job, hours=4)
        set_back(hours=4)
        run_at(kala, job, hours=1)
        assert kala.slots(job) == ["13:00", "13:00"]

    def test_that_was_skipped_by_a_clock_a_year_ahead_still_runs(self, kala, set_back):
        job = kala.create(schedule="R0/2030-01-01T13:00:00Z", missed=Missed.SKIP)
        kala.passes(days=365)
        assert kala.job(job).is_done
        set_back(days=365)
        assert not kala.job(job).is_done
        kala.passes(minutes=59, seconds=30)
        kala.passes(seconds=30)
        assert kala.story(job) == ["schedule skipped", "schedule running"]

    def test_that_was_the_last_repeat_does_not_run_again(self, kala, set_back):
        job = kala.create(schedule="R0/2030-01-01T13:00:00Z")
        run_at(kala, job, days=365)
        set_back(days=365)
        run_at(kala, job, hours=2)
        assert kala.slots(job) == ["13:00"]
        assert kala.job(job).is_done


class TestABootWithAClockAYearAhead:
    @pytest.fixture(autouse=True)
    def boot(self, kala):
        self.jobs = [kala.create(schedule=schedule) for schedule in (MINUTELY, HOURLY, DAILY)]
        kala.restart(days=365)

    def test_delays_no_job_by_a_year(self, kala, set_back):
        set_back(days=365)
        assert [f"{kala.job(job).next_due:%Y %H:%M}" for job in self.jobs] == ["2030 12:01", "2030 13:00", "2030 13:00"]

    def test_delays_no_retry_by_a_year(self, kala, set_back):
        job = kala.create(retries=1, retry_delay="PT1M")
        kala.fail(job)
        set_back(days=365)
        kala.passes(minutes=1)
        assert kala.story(job) == ["creation failed", "retry running"]

    def test_plans_a_disabled_job_by_the_corrected_clock(self, kala, set_back):
        kala.disable(self.jobs[0])
        set_back(days=365)
        kala.passes(minutes=3)
        kala.enable(self.jobs[0])
        assert kala.job(self.jobs[0]).next_due == kala.now + timedelta(minutes=1)


class TestASmallStepBack:
    def test_as_time_servers_make_it_changes_no_plan(self, kala, caplog):
        job = kala.create(schedule=MINUTELY)
        run_at(kala, job, minutes=1)
        kala.passes(seconds=-60)
        run_at(kala, job, seconds=60)
        assert kala.slots(job) == ["12:01"]
        assert caplog.messages == []

    def test_that_is_repeated_changes_plans(self, kala):
        job = kala.create(schedule=MINUTELY)
        run_at(kala, job, minutes=4)
        for _ in range(4):
            kala.passes(seconds=-59)
        assert kala.job(job).next_due <= kala.now + timedelta(minutes=1)


def test_the_log_says_once_by_how_much_the_clock_was_set_back(kala, set_back, caplog):
    for _ in range(3):
        kala.create(schedule=MINUTELY)
    kala.passes(hours=26)
    set_back(hours=26)
    kala.step()
    told = [message for message in caplog.messages if "clock" in message]
    assert told == ["the clock was set back by 1 day, 2:00:00 to 2030-01-01 12:00:00 UTC: jobs are planned again"]


def test_many_jobs_are_planned_again_in_steps_also_after_a_restart(kala):
    jobs = [kala.create(name=str(number), schedule=HOURLY) for number in range(1100)]
    kala.passes(days=1)
    while kala.engine._next_due <= kala.now:
        kala.step()
    kala.passes(days=-1)
    assert len({kala.job(job).next_due for job in jobs}) == 2
    kala.restart(seconds=1)
    for _ in range(3):
        kala.step()
    assert {f"{kala.job(job).next_due:%d %H:%M}" for job in jobs} == {"01 13:00"}
