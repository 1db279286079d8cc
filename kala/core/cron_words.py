"""What a cron expression means, as a sentence: from the times and days that it matches, whatever way it is written.

A sentence has two parts. Times: "At 02:30", "Every 15 minutes from 09:00 to 17:45", "At 5 minutes past every hour".
Days: "on weekdays", "on the last Friday of the month", "on the 1st of January and July".
"""

from collections.abc import Callable
from itertools import pairwise

from kala.core.pattern import ALL_DATES, ALL_MONTHS, LAST, Dates, Pattern, Weekdays
from kala.core.phrases import MONTHS, WEEKDAYS, listed, ordinal

_ODD_DATES = sum(1 << date - 1 for date in range(1, 32, 2))
_WORKDAYS, _WEEKEND = 0b0111110, 0b1000001
_NUMBERS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_SHORT_RUN = 3
"""How many consecutive hours, days or months are at least said as "from … to …"."""
_FEW_TIMES, _MANY_TIMES = 4, 8
"""Up to how many times of day are listed: in any case, and where no shorter form says the same."""


def sentence(pattern: Pattern) -> str:
    """Return when an expression is due, without its zone."""
    days = _days(pattern)
    times = _times(_members(pattern.minutes), _members(pattern.hours), may_wrap=not days)
    if not times.startswith("At ") or " past " in times:
        is_clear = " from " not in times or days.startswith("every day in")
        return f"{times} {days.removeprefix('every day ') if is_clear and 'except' not in days else days}".rstrip()
    has_days_of_month = not pattern.dates.is_every or pattern.weekdays.numbered
    if days.startswith("on ") and has_days_of_month and ", but only " not in days:
        return f"O{days[1:]} a{times[1:]}"
    return f"{times} {days or 'every day'}"


# Times


def _times(minutes: list[int], hours: list[int], *, may_wrap: bool) -> str:
    """Return the part of the sentence about times of day.

    "From 22:00 to 02:00" would also say something of the next day. It is used where the job runs on all days.
    """
    count = len(minutes) * len(hours)
    if count > _FEW_TIMES:
        short = _by_minutes(minutes, hours, may_wrap) if len(minutes) > 1 else _by_hours(minutes[0], hours, may_wrap)
        if short:
            return short
    if count <= _MANY_TIMES:
        return f"At {listed([_clock(hour, minute) for hour in hours for minute in minutes])}"
    step = _step(minutes)
    if step and len(minutes) > _SHORT_RUN:
        return f"{_every(step, 'minute')} from {minutes[0]} to {minutes[-1]} minutes past {_past(hours)}"
    unit = "minute" if minutes == [1] else "minutes"
    return f"At {listed(_with_runs(minutes))} {unit} past {_past(hours)}"


def _by_minutes(minutes: list[int], hours: list[int], may_wrap: bool) -> str:
    """Return a sentence such as "Every 15 minutes", or "" where the times are not as even as that."""
    step = _step(minutes)
    is_whole_hour = step * len(minutes) == 60
    if not step or not (is_whole_hour or len(hours) == 1):
        return ""
    every = _every(step, "minute")
    if len(hours) == 24 and minutes[0] == 0:
        return every
    runs = _runs(hours, 24 if may_wrap else 0)
    if len(runs) > _SHORT_RUN:
        return ""
    return f"{every} {_spans(runs, minutes)}"


def _by_hours(minute: int, hours: list[int], may_wrap: bool) -> str:
    """Return a sentence such as "Every 2 hours from 08:00 to 18:00", or "" where the times are not as even as that."""
    if len(hours) == 24:
        return "Every hour" if minute == 0 else ""
    runs = _runs(hours, 24 if may_wrap else 0)
    if all(len(run) >= _SHORT_RUN for run in runs):
        return f"Every hour {_spans(runs, [minute])}"
    step = _step(hours)
    return f"{_every(step, 'hour')} {_spans([hours], [minute])}" if step else ""


def _past(hours: list[int]) -> str:
    if len(hours) == 24:
        return "every hour"
    step = _step(hours)
    if step > 1 and len(hours) > _SHORT_RUN:
        return f"every {ordinal(step)} hour {_span(_clock(hours[0], 0), _clock(hours[-1], 0))}"
    spans = []
    for run in _runs(hours, 0):
        if len(run) >= _SHORT_RUN:
            spans.append(f"every hour {_span(_clock(run[0], 0), _clock(run[-1], 0))}")
        else:
            spans += [_clock(hour, 0) for hour in run]
    return listed(spans)


def _spans(runs: list[list[int]], minutes: list[int]) -> str:
    return listed([_span(_clock(run[0], minutes[0]), _clock(run[-1], minutes[-1])) for run in runs])


def _every(step: int, unit: str) -> str:
    return f"Every {unit}" if step == 1 else f"Every {step} {unit}s"


def _span(first: str, last: str) -> str:
    return f"from {first} to {last}"


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


# Days


def _days(pattern: Pattern) -> str:
    """Return the part of the sentence about days, or "" for every day."""
    dates, weekdays, months = pattern.dates, pattern.weekdays, pattern.months
    has_all = dates.is_every or weekdays.is_every if pattern.is_either else dates.is_every and weekdays.is_every
    if has_all:
        return "" if months == ALL_MONTHS else f"every day {_in_months(months)}"
    if dates.is_every:
        return _on_weekdays(weekdays, months)
    if weekdays.is_every:
        return _on_dates(dates, months)
    if pattern.is_either and not weekdays.plain and not _is_one_day(dates, months):
        return f"on {listed([*_dates(dates), *_numbered_weekdays(weekdays)])} {_of_month(months)}"
    if pattern.is_either:
        return f"{_on_dates(dates, months)} and {_on_weekdays(weekdays, months)}"
    return f"{_on_dates(dates, months)}, but only {_on_weekdays(weekdays, ALL_MONTHS)}"


def _on_dates(dates: Dates, months: int) -> str:
    if _is_one_day(dates, months):
        return f"on {_members(dates.plain)[0] + 1} {_month_names(months)[0]}"
    return f"on {listed(_dates(dates))} {_of_month(months)}"


def _is_one_day(dates: Dates, months: int) -> bool:
    return len(_members(months)) == 1 and dates.plain.bit_count() == 1 and dates == Dates(dates.plain)


def _dates(dates: Dates) -> list[str]:
    parts = _plain_dates(dates.plain) if dates.plain else []
    nearest = [ordinal(date) for date in sorted(set(dates.nearest)) if date != LAST]
    if nearest:
        parts.append(f"the weekday{'s' if len(nearest) > 1 else ''} nearest the {listed(nearest)}")
    if dates.has_last:
        parts.append("the last day")
    if LAST in dates.nearest:
        parts.append("the last weekday")
    return parts


def _plain_dates(plain: int) -> list[str]:
    """Return what to say of dates, from bit 0 on."""
    if plain == _ODD_DATES:
        return ["odd-numbered days"]
    if plain == ALL_DATES - _ODD_DATES:
        return ["even-numbered days"]
    dates = [bit + 1 for bit in _members(plain)]
    step = _step(dates)
    if step > 1 and len(dates) > _SHORT_RUN:
        return [f"every {ordinal(step)} day from the {ordinal(dates[0])} to the {ordinal(dates[-1])}"]
    return [f"the {listed(_with_runs(dates, ordinal))}"]


def _on_weekdays(weekdays: Weekdays, months: int) -> str:
    parts = []
    if weekdays.plain:
        within = "" if months == ALL_MONTHS else f" {_in_months(months)}"
        parts.append(f"{_plain_weekdays(weekdays.plain)}{within}")
    if weekdays.numbered:
        parts.append(f"on {listed(_numbered_weekdays(weekdays))} {_of_month(months)}")
    return listed(parts)


def _numbered_weekdays(weekdays: Weekdays) -> list[str]:
    by_day: dict[int, list[int]] = {}
    for day, number in sorted(set(weekdays.numbered), key=lambda one: (one[0], one[1] or 6)):
        by_day.setdefault(day, []).append(number)
    return [
        f"the {listed([_NUMBERS[number] for number in numbers])} {WEEKDAYS[day]}" for day, numbers in by_day.items()
    ]


def _plain_weekdays(plain: int) -> str:
    days = [WEEKDAYS[day] for day in _members(plain)]
    if plain == _WORKDAYS:
        return "on weekdays"
    if plain == _WEEKEND:
        return "on weekends"
    if len(days) == 6:
        return f"every day except {next(day for day in WEEKDAYS if day not in days)}"
    runs = _runs(_members(plain), 7)
    if len(runs) == 1 and len(days) > _SHORT_RUN:
        return _span(WEEKDAYS[runs[0][0]], WEEKDAYS[runs[0][-1]])
    # The week begins on Monday where days are listed.
    return f"on {listed([f'{day}s' for day in sorted(days, key=lambda day: (day == 'Sunday', days.index(day)))])}"


def _of_month(months: int) -> str:
    if months == ALL_MONTHS:
        return "of the month"
    where = _in_months(months)
    return f"of each month {where}" if where.startswith("from") else f"of{where.removeprefix('in')}"


def _in_months(months: int) -> str:
    runs = _runs([month - 1 for month in _members(months)], 12)
    if len(runs) == 1 and len(runs[0]) >= _SHORT_RUN:
        return _span(MONTHS[runs[0][0]], MONTHS[runs[0][-1]])
    return f"in {listed(_month_names(months))}"


def _month_names(months: int) -> list[str]:
    return [MONTHS[month - 1] for month in _members(months)]


# Numbers


def _members(numbers: int) -> list[int]:
    return [number for number in range(numbers.bit_length()) if numbers >> number & 1]


def _step(numbers: list[int]) -> int:
    """Return the distance between the numbers where it is the same from each to the next, or else 0."""
    distances = {following - number for number, following in pairwise(numbers)}
    return distances.pop() if len(distances) == 1 else 0


def _runs(numbers: list[int], size: int) -> list[list[int]]:
    """Return the numbers in runs of consecutive ones; those at the two ends are joined where `size` follows on 0."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if size and len(runs) > 1 and runs[0][0] == 0 and runs[-1][-1] == size - 1:
        runs[0] = runs.pop() + runs[0]
    return runs


def _with_runs(numbers: list[int], written: Callable[[int], str] = str) -> list[str]:
    parts = []
    for run in _runs(numbers, 0):
        if len(run) >= _SHORT_RUN:
            parts.append(f"{written(run[0])} to {written(run[-1])}")
        else:
            parts += map(written, run)
    return parts
