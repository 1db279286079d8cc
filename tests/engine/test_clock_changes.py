"""A job in Europe/Berlin goes through both days on which the clock changes, as the table in docs/jobs.md says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kala import zone as zones
from kala.core.clock import rules_of
from kala.core.job import Missed

BERLIN, NEW_YORK, KOLKATA = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"))
# The night before the day of the change, the change in UTC, and the night after.
SPRING, AUTUMN = datetime(2030, 3, 31, 1, tzinfo=UTC), datetime(2030, 10, 27, 1, tzinfo=UTC)
DAY, HALF_HOUR = timedelta(days=1), timedelta(minutes=30)
MINUTES = 5

FIXED, TWO_FIXED, EACH_HALF_HOUR = "30 2 * * *", "15,45 2 * * *", "*/30 * * * *"
DAILY, HOURLY = "R/2030-01-01T02:30:00/P1D", "R/2030-01-01T02:30:00/PT1H"

# What the clock of Berlin shows at each run, of the two hours before and after a change.
TABLE = [
    (FIXED, SPRING, ["03:00+0200"]),
    (FIXED, AUTUMN, ["02:30+0200"]),
    (TWO_FIXED, SPRING, ["03:00+0200"]),
    (TWO_FIXED, AUTUMN, ["02:15+0200", "02:45+0200"]),
    (EACH_HALF_HOUR, SPRING, ["01:00+0100", "01:30+0100", "03:00+0200", "03:30+0200"]),
    (
        EACH_HALF_HOUR,
        AUTUMN,
        ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"],
    ),
    (DAILY, SPRING, ["03:30+0200"]),
    (DAILY, AUTUMN, ["02:30+0200"]),
    (HOURLY, SPRING, ["01:30+0100", "03:30+0200"]),
    (HOURLY, AUTUMN, ["02:30+0200", "02:30+0100"]),
]


def shown(kala, job: str, change: datetime) -> list[str]:
    """What Berlin's clock shows at the slots that ran, of the hour before and the hour after a change."""
    runs = [run for run in kala.runs(job) if run.cause == "schedule" and run.state != "skipped"]
    near = [run.slot for run in runs if change - timedelta(hours=1) <= run.slot < change + timedelta(hours=1)]
    return [f"{slot.astimezone(BERLIN):%H:%M%z}" for slot in near]


def live_until(kala, job: str, end: datetime) -> None:
    """Time passes in small steps, and each run ends before the next one."""
    while kala.now < end:
        kala.passes(minutes=MINUTES)
        finish(kala, job)


def finish(kala, job: str) -> None:
    while any(run.state == "running" for run in kala.runs(job)[-3:]):
        kala.succeed(job)


@pytest.fixture(params=["its own zone", "the server's zone"])
def create(request, kala) -> Callable[..., str]:
    """Create a job in Europe/Berlin."""

    def create(**fields: object) -> str:
        if request.param == "its own zone":
            return kala.create(timezone="Europe/Berlin", **fields)
        return kala.create(**fields)

    if request.param == "the server's zone":
        kala.zone = BERLIN
    return create


@pytest.mark.parametrize(("schedule", "change", "times"), TABLE)
class TestAChange:
    def test_is_lived_through_as_the_table_says(self, kala, create, schedule, change, times):
        kala.now = change - 2 * HALF_HOUR - HALF_HOUR
        kala.restart()
        job = create(schedule=schedule)
        live_until(kala, job, change + 3 * HALF_HOUR)
        assert shown(kala, job, change) == times
        slots = [run.slot for run in kala.runs(job)]
        assert len(slots) == len(set(slots))
        assert kala.skipped(job) == []

    def test_while_kala_is_down_is_made_up_for_slot_by_slot_if_all_are_wanted(
        self, kala, create, schedule, change, times
    ):
        kala.now = change - 2 * HALF_HOUR - HALF_HOUR
        kala.restart()
        job = create(schedule=schedule, missed=Missed.ALL)
        kala.restart(hours=3)
        for _ in times:
            finish(kala, job)
        assert shown(kala, job, change) == times
        live_until(kala, job, change + DAY)
        assert shown(kala, job, change) == times

    def test_while_kala_is_down_is_made_up_for_once_and_the_others_are_in_the_history(
        self, kala, create, schedule, change, times
    ):
        kala.now = change - 2 * HALF_HOUR - HALF_HOUR
        kala.restart()
        job = create(schedule=schedule)
        kala.now = change + 2 * HALF_HOUR - timedelta(seconds=1)
        kala.restart()
        finish(kala, job)
        runs = kala.runs(job)
        if not times[1:]:
            assert [run.state for run in runs] == ["succeeded"]
        else:
            assert [run.state for run in runs] == ["skipped", "succeeded"]
            assert f"{len(times) - 1} missed slot" in kala.skipped(job)[0][1]
        assert shown(kala, job, change) == times[-1:]

    def test_is_the_same_after_a_restart_within_it(self, kala, create, schedule, change, times):
        kala.now = change - 2 * HALF_HOUR - HALF_HOUR
        kala.restart()
        job = create(schedule=schedule)
        for _ in range(6):
            live_until(kala, job, kala.now + HALF_HOUR)
            kala.restart()
            finish(kala, job)
        assert shown(kala, job, change) == times
        assert kala.skipped(job) == []


class TestRulesOfANamedZone:
    """An update of tzdata says other things about the zone that a job names than when the job was planned."""

    @pytest.fixture
    def berlin_becomes(self, kala, monkeypatch):
        def berlin_becomes(zone, **later: float) -> None:
            monkeypatch.setattr(zones, "named_zone", lambda _: zone)
            kala.restart(**later)

        return berlin_becomes

    @pytest.mark.parametrize(
        "schedule", ["30 13 * * *", "R/2030-01-01T13:30:00/P1D", "R/2030-01-01T13:30:00+01:00/P1D"]
    )
    def test_that_change_keep_the_time_of_day(self, kala, berlin_becomes, schedule):
        job = kala.create(schedule=schedule, timezone="Europe/Berlin")
        assert f"{kala.job(job).next_due:%H:%M}" == "12:30"
        berlin_becomes(NEW_YORK)
        expected = "18:30" if "+01:00" not in schedule else "12:30"
        assert f"{kala.job(job).next_due:%H:%M}" == expected
        assert kala.job(job).zone_rules == f"Europe/Berlin {rules_of(NEW_YORK)}"

    def test_that_make_a_slot_one_of_the_past_make_up_for_it(self, kala, berlin_becomes):
        job = kala.create(schedule="30 13 * * *", timezone="Europe/Berlin")
        berlin_becomes(KOLKATA)
        assert kala.slots(job) == ["08:00"]

    def test_do_not_touch_jobs_in_other_zones(self, kala, berlin_becomes):
        other = kala.create(schedule="30 13 * * *")
        before = kala.job(other)
        berlin_becomes(KOLKATA)
        assert kala.job(other) == before

    def test_that_change_are_in_the_log_by_the_name_of_the_zone(self, kala, berlin_becomes, caplog):
        kala.create(schedule="30 13 * * *", timezone="Europe/Berlin")
        berlin_becomes(KOLKATA)
        assert "the rules of the time zone Europe/Berlin have changed" in caplog.text

    def test_stay_with_the_job_when_the_servers_zone_changes(self, kala):
        job = kala.create(schedule="30 13 * * *", timezone="Europe/Berlin")
        before = kala.job(job)
        kala.zone = NEW_YORK
        kala.passes(seconds=1)
        assert kala.job(job) == before


class TestANewTimezone:
    def test_plans_the_job_again(self, kala):
        job = kala.create(schedule="30 13 * * *", timezone="Europe/Berlin")
        kala.update(job, timezone="America/New_York")
        assert f"{kala.job(job).next_due:%H:%M}" == "18:30"

    def test_leaves_an_entry_for_slots_that_have_passed_in_the_old_one(self, kala):
        job = kala.create(schedule="30 13 * * *", timezone="Europe/Berlin", disabled=True)
        kala.passes(hours=1)
        kala.update(job, timezone="America/New_York")
        message = "1 missed slot skipped, from 2030-01-01T12:30:00Z to 2030-01-01T12:30:00Z: the schedule was changed"
        assert kala.skipped(job) == [("12:30", message)]
