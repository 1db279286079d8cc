"""What schedules and durations mean, as sentences for people, the same in the API, the CLI and on pages."""

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

from kala.core import cron_words, duration, schedule
from kala.core.cron import Cron
from kala.core.duration import Duration
from kala.core.phrases import WEEKDAYS, counted, day_of, listed
from kala.core.schedule import MANUAL, Every, Never, Once, Schedule

_UNITS = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)), ("second", timedelta(seconds=1)))
# People say 90 minutes, and 100 hours, rather than 1 hour and 30 minutes, or 4 days and 4 hours.
_LARGE = 120


def describe_job(
    text: str,
    zone: tzinfo,
    *,
    name: str = "",
    is_own_zone: bool = False,
    jitter: str = "",
    parents: int = 0,
    needs_all_parents: bool = False,
) -> str:
    """Return when a job runs, in a sentence without a period. The first four are those of `schedule.parse`."""
    if parents:
        if parents == 1:
            return "After its parent succeeds"
        return "After all of its parents succeed" if needs_all_parents else "After any of its parents succeeds"
    if not text:
        return "Once, when it is created"
    # The name matters to an H only; without it, jobs with equal schedules share an entry of the cache.
    has_name = "H" in text.upper() and not text.startswith("R")
    return _of_schedule(text, zone, name if has_name else "", is_own_zone, jitter)


# To make a sentence takes four times as long as the rest of a job's summary. So those of ten thousand jobs are kept; an
# entry takes about half a kilobyte.
@lru_cache(maxsize=16_384)
def _of_schedule(text: str, zone: tzinfo, name: str, is_own_zone: bool, jitter: str) -> str:
    when = describe_schedule(schedule.parse(text, zone, name, is_own_zone=is_own_zone), str(zone))
    if not jitter or text.lower() == MANUAL:
        return when
    return f"{when}, up to {describe_duration(duration.parse(jitter, 'jitter'))} later"


def describe_schedule(plan: Schedule, zone: str = "") -> str:
    """Return when a job is due, in a sentence without a period. `zone` names the zone that the job follows."""
    if isinstance(plan, Cron):
        return f"{cron_words.sentence(plan.pattern)} ({zone or plan.zone})"
    if isinstance(plan, Never):
        return "At boot" if plan.at_boot else "By hand or by another job"
    where = f"({zone or plan.start.tzinfo})" if plan.is_local else f"({plan.start.tzinfo})"
    if isinstance(plan, Once):
        return f"Once, on {day_of(plan.start)} at {_time(plan.start)} {where}"
    return f"{_every(plan, where)}{_in_all(plan)}"


def describe_duration(length: Duration) -> str:
    """Return a duration in words, such as "1 month and 2 days" or "90 minutes"."""
    years, months = divmod(length.months, 12)
    weeks, days = divmod(length.days, 7)
    if days:
        weeks, days = 0, length.days
    dates = [(years, "year"), (months, "month"), (weeks, "week"), (days, "day")]
    parts = [counted(str(number), unit) for number, unit in dates if number]
    parts += _elapsed(length.time)
    return listed(parts or ["0 seconds"])


def _every(plan: Every, where: str) -> str:
    interval, start = plan.interval, plan.start
    every = f"Every {describe_duration(interval).removeprefix('1 ')}"
    if " and " in every:
        every = f"Every {describe_duration(interval)}"
    if interval.months or interval.time:
        return f"{every} from {day_of(start)} at {_time(start)} {where}"
    # Whole days keep the time of day, and whole weeks the day of the week.
    weekday = f" on {WEEKDAYS[start.isoweekday() % 7]}s" if interval.days % 7 == 0 else ""
    return f"{every}{weekday} at {_time(start)} {where} from {day_of(start)}"


def _in_all(plan: Every) -> str:
    if plan.runs is None:
        return ""
    return f", {'twice' if plan.runs == 2 else f'{plan.runs:,} times'} in all"


def _elapsed(time: timedelta) -> list[str]:
    """Return the parts of a time in the largest unit of which it has a whole number below 120, or in several units."""
    for unit, size in _UNITS:
        number, rest = divmod(time, size)
        if number and not rest and (number < _LARGE or unit == "hour"):
            return [counted(f"{number:,}", unit)]
    hours, rest = divmod(time, timedelta(hours=1))
    minutes, seconds = divmod(rest, timedelta(minutes=1))
    parts = [counted(f"{number:,}", unit) for number, unit in ((hours, "hour"), (minutes, "minute")) if number]
    if seconds:
        exact = f"{seconds.seconds}.{seconds.microseconds:06}".rstrip("0").rstrip(".")
        parts.append(counted(exact, "second"))
    return parts


def _time(at: datetime) -> str:
    if at.microsecond:
        return f"{at:%H:%M:%S.%f}".rstrip("0")
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
