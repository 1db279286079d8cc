"""The server's zone or its rules change: no slot is lost, and none runs twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from zone_files import NAME, zone_files

from kala.core.job import Missed
from kala.zone import ServerZone, named_zones

BERLIN, NEW_YORK, KOLKATA = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"))
# It is noon in UTC when a test begins: 13:00 in Berlin, 07:00 in New York, 17:30 in Kolkata.
ONCE, DAILY, HOURLY = "R0/2030-01-01T13:30:00", "R/2030-01-01T13:30:00/P1D", "R/2030-01-01T13:30:00/PT1H"


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2030, 1, day, hour, minute, tzinfo=UTC)


def zone_of(rule: str):
    return ServerZone({"TZ": rule}).current


@pytest.fixture(params=["at the next start", "while Kala runs"])
def zone_becomes(request, kala):
    """Change the zone and let time pass, while Kala runs or while it is down."""

    def zone_becomes(zone, **later: float) -> None:
        kala.zone = zone
        if request.param == "while Kala runs":
            kala.passes(**later)
        else:
            kala.restart(**later)

    return zone_becomes


class TestATimeOfDay:
    @pytest.mark.parametrize("schedule", [ONCE, DAILY])
    @pytest.mark.parametrize("missed", Missed)
    def test_that_is_earlier_in_the_new_zone_runs_on_time(self, kala, zone_becomes, schedule, missed):
        job = kala.create(schedule=schedule, missed=missed)
        zone_becomes(BERLIN, seconds=1)
        assert kala.job(job).next_due == at(12, 30)
        kala.passes(minutes=29, seconds=30)
        kala.passes(seconds=30)
        assert kala.story(job) == ["schedule running"]
        assert kala.slots(job) == ["12:30"]

    @pytest.mark.parametrize("schedule", [ONCE, DAILY])
    def test_that_is_later_in_the_new_zone_waits_until_then(self, kala, zone_becomes, schedule):
        job = kala.create(schedule=schedule)
        zone_becomes(NEW_YORK, seconds=1)
        assert kala.job(job).next_due == at(18, 30)
        kala.passes(hours=2)
        assert kala.runs(job) == []
        kala.passes(hours=4.5)
        assert kala.slots(job) == ["18:30"]

    @pytest.mark.parametrize("schedule", [ONCE, DAILY])
    @pytest.mark.parametrize("missed", [Missed.ONCE, Missed.ALL])
    def test_that_has_passed_in_the_new_zone_runs_as_a_missed_slot(self, kala, zone_becomes, schedule, missed):
        job = kala.create(schedule=schedule, missed=missed)
        zone_becomes(KOLKATA, seconds=1)
        assert kala.slots(job) == ["08:00"]

    @pytest.mark.parametrize("schedule", [ONCE, DAILY])
    def test_that_has_passed_in_the_new_zone_is_recorded_with_missed_skip(self, kala, zone_becomes, schedule):
        job = kala.create(schedule=schedule, missed=Missed.SKIP)
        zone_becomes(KOLKATA, seconds=1)
        assert kala.story(job) == ["schedule skipped"]
        assert kala.skipped(job)[0][0] == "08:00"
        assert kala.job(job).is_done is (schedule == ONCE)

    def test_that_ran_in_the_old_zone_does_not_run_again_in_the_new_one(self, kala, zone_becomes):
        job = kala.create(schedule=DAILY)
        kala.passes(hours=1.5)
        kala.succeed(job)
        zone_becomes(NEW_YORK, seconds=1)
        assert kala.job(job).next_due == at(18, 30, day=2)

    def test_that_a_disabled_job_missed_in_the_new_zone_runs_when_it_is_enabled(self, kala, zone_becomes):
        job = kala.create(schedule=DAILY)
        kala.disable(job)
        zone_becomes(KOLKATA, seconds=1)
        assert kala.runs(job) == []
        kala.enable(job)
        assert kala.slots(job) == ["08:00"]

    def test_that_a_clock_change_of_the_old_zone_had_moved_moves_back(self, kala, zone_becomes):
        # 02:30 does not exist on 31 March in Berlin, so the slot is at 03:30 there, and at 02:30 elsewhere.
        kala.zone, kala.now = BERLIN, datetime(2030, 3, 31, 0, 45, tzinfo=UTC)
        job = kala.create(schedule="R/2030-03-31T02:30:00/P1D")
        assert kala.job(job).next_due == datetime(2030, 3, 31, 1, 30, tzinfo=UTC)
        zone_becomes(UTC, seconds=1)
        assert kala.job(job).next_due == datetime(2030, 3, 31, 2, 30, tzinfo=UTC)

    def test_keeps_its_count_of_repeats(self, kala, zone_becomes):
        job = kala.create(schedule=DAILY.replace("R", "R1"))
        kala.passes(hours=1.5)
        kala.succeed(job)
        zone_becomes(BERLIN, seconds=1)
        kala.passes(days=1)
        kala.succeed(job)
        assert len(kala.slots(job)) == 2
        assert kala.job(job).is_done


class TestElapsedTime:
    def test_continues_on_the_grid_of_the_new_zone(self, kala, zone_becomes):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1.5)
        kala.succeed(job)
        zone_becomes(KOLKATA, minutes=10)  # START is 08:00 there
        assert kala.job(job).next_due == at(14)

    def test_misses_the_slots_of_the_new_grid_since_the_last_run(self, kala, zone_becomes):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1.5)
        kala.succeed(job)
        zone_becomes(KOLKATA, hours=2.75)
        assert kala.slots(job) == ["13:30", "16:00"]
        assert [slot for slot, _ in kala.skipped(job)] == ["15:00"]

    def test_misses_no_slot_from_before_the_job(self, kala, zone_becomes):
        job = kala.create(schedule=HOURLY)
        zone_becomes(KOLKATA, seconds=1)
        assert kala.runs(job) == []
        assert kala.job(job).next_due == at(13)


class TestAJobThatFollowsNoZone:
    @pytest.mark.parametrize("schedule", ["R/2030-01-01T13:30:00Z/P1D", "R0/2030-01-01T14:30:00+01:00"])
    def test_keeps_its_plan(self, kala, zone_becomes, schedule):
        job = kala.create(schedule=schedule)
        zone_becomes(KOLKATA, seconds=1)
        assert kala.job(job).next_due == at(13, 30)

    def test_without_a_schedule_runs_when_it_is_enabled(self, kala, zone_becomes):
        job = kala.create(disabled=True)
        zone_becomes(KOLKATA, seconds=1)
        kala.enable(job)
        assert kala.story(job) == ["creation running"]


class TestTheRulesOfAZone:
    def test_can_change_while_its_name_stays(self, kala, zone_becomes):
        kala.zone = zone_of("CET-1CEST,M1.1.0,M12.5.0")  # summer time from the first Sunday of January
        job = kala.create(schedule="R/2030-01-07T13:30:00/P1D")
        assert kala.job(job).next_due == at(11, 30, day=7)
        zone_becomes(zone_of("CET-1CEST,M3.5.0,M10.5.0/3"), seconds=1)
        assert kala.job(job).next_due == at(12, 30, day=7)

    def test_of_a_zone_that_a_job_names_can_change_while_kala_runs(self, kala, tmp_path, caplog):
        with zone_files(tmp_path) as put:
            put("Europe/Berlin")
            daily, cron = kala.create(schedule=DAILY, timezone=NAME), kala.create(schedule="30 13 * * *", timezone=NAME)
            other = kala.create(schedule=DAILY)
            assert {kala.job(job).next_due for job in (daily, cron)} == {at(12, 30)}
            caplog.clear()
            put("America/New_York")
            named_zones.refresh()
            kala.passes(seconds=1)
            kala.passes(seconds=1)
            assert {kala.job(job).next_due for job in (daily, cron)} == {at(18, 30)}
            assert kala.job(other).next_due == at(13, 30)
            assert caplog.messages == [
                f"the rules of the time zone {NAME} have changed: jobs that name it are planned again"
            ]

    def test_that_are_the_same_change_no_plan_and_log_nothing(self, kala, zone_becomes, caplog):
        kala.zone = BERLIN
        job = kala.create(schedule=DAILY)
        before = kala.job(job)
        caplog.clear()
        zone_becomes(ZoneInfo.no_cache("Europe/Berlin"), seconds=1)
        assert kala.job(job) == before
        assert caplog.messages == []

    def test_that_differ_are_logged_in_one_line(self, kala, zone_becomes, caplog):
        for _ in range(3):
            kala.create(schedule=DAILY)
        zone_becomes(BERLIN, seconds=1)
        kala.step()
        [line] = caplog.messages
        assert line.startswith("the server's time zone, now Europe/Berlin, or its rules have changed: jobs that")

    def test_that_move_a_start_out_of_the_calendar_clamp_it(self, kala, zone_becomes):
        job = kala.create(schedule="R0/9999-12-31T23:59:59")
        zone_becomes(NEW_YORK, seconds=1)
        assert kala.job(job).next_due.year == 9999
        assert not kala.job(job).is_done


class TestManyJobs:
    def test_are_planned_again_in_steps_and_none_is_claimed_by_its_old_plan(self, kala):
        jobs = [kala.create(name=str(number), schedule=ONCE) for number in range(1100)]
        kala.zone = NEW_YORK
        kala.passes(hours=1.5)  # past their slots in the old zone
        assert 0 < sum(kala.job(job).next_due == at(13, 30) for job in jobs) < len(jobs)
        kala.step()
        kala.step()
        assert {kala.job(job).next_due for job in jobs} == {at(18, 30)}
        assert kala.runs() == []

    def test_are_planned_again_after_a_restart_in_the_middle(self, kala):
        jobs = [kala.create(name=str(number), schedule=ONCE) for number in range(1100)]
        kala.zone = NEW_YORK
        kala.passes(hours=1.5)
        kala.restart(seconds=1)
        kala.step()
        assert {kala.job(job).next_due for job in jobs} == {at(18, 30)}

    def test_are_claimed_by_their_new_plans_if_enabled_in_between(self, kala):
        for number in range(600):
            kala.create(name=str(number), schedule=ONCE)
        job = kala.create(schedule=ONCE, disabled=True)
        kala.zone = NEW_YORK
        kala.now += timedelta(hours=1.5)
        kala.enable(job)
        kala.step()
        assert kala.runs(job) == []
        assert kala.job(job).next_due == at(18, 30)


def test_a_plan_from_before_zone_rules_were_stored_is_completed(kala):
    job, hourly = kala.create(schedule=DAILY), kala.create(schedule=HOURLY)
    before = kala.job(job), kala.job(hourly)
    with kala.store.transaction():
        kala.store._sql("UPDATE job SET zone_rules = '', next_wall = NULL")
    kala.restart(seconds=1)
    assert (kala.job(job), kala.job(hourly)) == before
