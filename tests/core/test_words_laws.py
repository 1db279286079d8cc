"""A sentence does not lie: read back by its words, it says the same times as the schedule has.

The reading knows English and no cron: it makes times of day and days out of the words alone.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from kala.core import duration, schedule
from kala.core.cron import parse
from kala.core.duration import Duration
from kala.core.errors import Invalid
from kala.core.words import describe_duration, describe_schedule

DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
# Among them months that begin with each day of the week, and a leap year.
START = datetime(2028, 1, 1, tzinfo=UTC)
DAYS = [START.date() + DAY * number for number in range(3 * 365)]
MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = "first second third fourth fifth".split()
Days = Callable[[date], bool]

# Times of day, in minutes

CLOCK = r"\d\d:\d\d"
AND = r"(?:, | and )"
SPAN = rf"from {CLOCK} to {CLOCK}"
HOUR = rf"(?:every(?: \d+\w\w)? hour {SPAN}|every hour|{CLOCK})"
TIMES = re.compile(
    rf"(?P<clocks>At {CLOCK}(?:{AND}{CLOCK})*)"
    rf"|(?:At (?P<numbers>[\d, and to]+) minutes?"
    rf"|Every(?: (?P<each>\d+))? minutes? from (?P<a>\d+) to (?P<b>\d+) minutes)"
    rf" past (?P<past>{HOUR}(?:{AND}{HOUR})*)"
    rf"|Every(?: (?P<step>\d+))? (?P<unit>minute|hour)s?(?P<spans> {SPAN}(?:{AND}{SPAN})*)?",
    re.IGNORECASE,
)


def times_of(match: re.Match[str]) -> set[int]:
    if match["clocks"]:
        return set(map(in_minutes, re.findall(CLOCK, match["clocks"])))
    if match["past"]:
        if match["numbers"]:
            minutes = numbers_of(match["numbers"], r"\d+")
        else:
            minutes = set(stepped(int(match["a"]), int(match["b"]), int(match["each"] or 1), 60))
        return {hour + minute for hour in hours_of(match["past"]) for minute in minutes}
    step = int(match["step"] or 1) * (60 if match["unit"] == "hour" else 1)
    if not match["spans"]:
        assert 1440 % step == 0
        return set(range(0, 1440, step))
    ends = map(in_minutes, re.findall(CLOCK, match["spans"]))
    return {time for first in ends for time in stepped(first, next(ends), step, 1440)}


def hours_of(text: str) -> set[int]:
    found: set[int] = set()
    for item in re.findall(HOUR, text):
        clocks = [in_minutes(clock) for clock in re.findall(CLOCK, item)]
        if item == "every hour":
            found |= set(range(0, 1440, 60))
        elif item.startswith("every"):
            number = re.match(r"every (\d+)", item)
            found |= set(stepped(*clocks, 60 * int(number[1] if number else 1), 1440))
        else:
            found |= set(clocks)
    return found


def in_minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def stepped(first: int, last: int, step: int, size: int) -> list[int]:
    """All from one to another, which is met exactly."""
    found = [first]
    while found[-1] != last:
        found.append((found[-1] + step) % size)
        assert len(found) <= size, f"from {first} by {step} never comes to {last}"
    return found


def numbers_of(text: str, written: str) -> set[int]:
    """The numbers of "1, 5 to 7 and 9"."""
    found: set[int] = set()
    for item in re.findall(rf"{written}(?: to {written})?", text):
        ends = [int(number) for number in re.findall(r"\d+", item)]
        found |= set(range(ends[0], ends[-1] + 1))
    return found


# Days

MONTH, WEEKDAY = "|".join(MONTHS), "|".join(WEEKDAYS)
ORDINAL = r"\d+(?:st|nd|rd|th)"
DATE_ITEM = re.compile(
    rf"every (?P<step>\d+)\w\w day from the (?P<a>\d+)\w\w to the (?P<b>\d+)\w\w"
    rf"|(?P<parity>odd|even)-numbered days"
    rf"|the weekdays? nearest the (?P<nearest>{ORDINAL}(?:{AND}{ORDINAL})*)"
    rf"|the last (?P<last>day|weekday)"
    rf"|the (?P<numbers>(?:first|second|third|fourth|fifth|last|, | and )+) (?P<day>{WEEKDAY})"
    rf"|the (?P<dates>{ORDINAL}(?: to {ORDINAL})?(?:{AND}{ORDINAL}(?: to {ORDINAL})?)*)"
)


def days_of(text: str) -> Days:
    if ", but only " in text:
        return both(*map(days_of, text.split(", but only ")))
    if text in ("", "every day"):
        return lambda _day: True
    parts = [part_of(part) for part in re.split(r" and (?=on |from |every day )", text)]
    return lambda day: any(part(day) for part in parts)


def both(one: Days, other: Days) -> Days:
    return lambda day: one(day) and other(day)


def part_of(text: str) -> Days:
    if single := re.fullmatch(rf"on (\d+) ({MONTH})", text):
        return lambda day: (day.day, day.month) == (int(single[1]), MONTHS.index(single[2]) + 1)
    if of := re.fullmatch(r"on (.*) of (the month|each month from .*|.*)", text):
        return both(items_of(of[1]), months_of(of[2].removeprefix("each month ")))
    days, _, months = re.fullmatch(rf"(.*?)((?:^| )((?:in|from) (?:{MONTH}).*))?", text).groups()
    return both(weekdays_of(days), months_of(months or "the month"))


def months_of(text: str) -> Days:
    if text == "the month":
        return lambda _day: True
    names = [MONTHS.index(name) for name in re.findall(MONTH, text)]
    assert re.sub(rf"{MONTH}|from|to|in|and|[, ]", "", text) == ""
    numbers = stepped(*names, 1, 12) if text.startswith("from") else names
    return lambda day: day.month - 1 in numbers


def weekdays_of(text: str) -> Days:
    names = [WEEKDAYS.index(name) for name in re.findall(WEEKDAY, text)]
    if text in ("", "every day"):
        numbers = list(range(7))
    elif text in ("on weekdays", "on weekends"):
        numbers = [0, 1, 2, 3, 4] if text == "on weekdays" else [5, 6]
    elif text.startswith("every day except "):
        numbers = [number for number in range(7) if number not in names]
    elif text.startswith("from "):
        numbers = stepped(*names, 1, 7)
    else:
        assert re.fullmatch(rf"on (?:{WEEKDAY})s(?:{AND}(?:{WEEKDAY})s)*", text), text
        numbers = names
    return lambda day: day.weekday() in numbers


def items_of(text: str) -> Days:
    items, at = [], 0
    while at < len(text):
        match = DATE_ITEM.match(text, at)
        assert match, text[at:]
        items.append(item_of(match))
        following = re.compile(rf"{AND}|$").match(text, match.end())
        assert following, text[match.end() :]
        at = following.end()
    return lambda day: any(item(day) for item in items)


def item_of(match: re.Match[str]) -> Days:
    if match["step"]:
        dates = set(stepped(int(match["a"]), int(match["b"]), int(match["step"]), 32))
    elif match["parity"]:
        dates = set(range(1 if match["parity"] == "odd" else 2, 32, 2))
    elif match["nearest"]:
        wanted = numbers_of(match["nearest"], r"\d+\w\w")
        return lambda day: any(day == nearest_workday(day, number) for number in wanted)
    elif match["last"]:
        is_day = match["last"] == "day"
        return lambda day: day == max(month_of(day) if is_day else filter(is_workday, month_of(day)))
    elif match["numbers"]:
        return lambda day: any(is_numbered(day, number, match["day"]) for number in match["numbers"].split())
    else:
        dates = numbers_of(match["dates"], r"\d+\w\w")
    return lambda day: day.day in dates


@cache
def month_of(day: date) -> list[date]:
    return [one for number in range(31) if (one := day.replace(day=1) + DAY * number).month == day.month]


def is_workday(day: date) -> bool:
    return day.weekday() < 5


def nearest_workday(day: date, number: int) -> date | None:
    month = month_of(day)
    if number > len(month):
        return None
    return min(filter(is_workday, month), key=lambda one: abs(one.day - number))


def is_numbered(day: date, number: str, name: str) -> bool:
    same = [one for one in month_of(day) if one.weekday() == WEEKDAYS.index(name)]
    number = number.strip(",")
    if number not in [*NUMBERS, "last"]:
        return False
    index = -1 if number == "last" else NUMBERS.index(number)
    return index < len(same) and day == same[index]


def read_back(sentence: str) -> tuple[set[int], Days]:
    if sentence.startswith("On "):
        days, times = sentence.rsplit(" at ", 1)
        match = TIMES.fullmatch(f"At {times}")
        assert match, sentence
        return times_of(match), days_of(f"o{days[1:]}")
    match = TIMES.match(sentence)
    assert match, sentence
    rest = sentence[match.end() :]
    assert rest[:1] in ("", " "), sentence
    return times_of(match), days_of(rest[1:])


# Cron expressions of all kinds


def fields(first: int, last: int, *likely: str) -> st.SearchStrategy[str]:
    number = st.integers(first, last)
    span = st.tuples(number, number)
    item = st.one_of(
        number.map(str),
        span.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.builds("{}/{}".format, number, st.sampled_from([2, 3, 5])),
        st.builds(lambda ends, step: f"{ends[0]}-{ends[1]}/{step}", span, st.integers(1, 6)),
    )
    return st.one_of(st.sampled_from(["*", *likely]), st.lists(item, min_size=1, max_size=3).map(",".join))


texts = st.builds(
    "{} {} {} {} {}".format,
    fields(0, 59, "0", "30", "*/15", "*/7", "7-59/15", "0,30", "5,20", "0-10", "*/1"),
    fields(0, 23, "2", "9-17", "*/2", "9,17", "22-2", "9-11,14-16", "1-23/2"),
    fields(1, 31, "*", "*", "L", "LW", "15W", "1,15", "1W,15W,L", "*/2", "2/2", "1-7", "*/3", "1-31"),
    fields(1, 12, "*", "*", "*/3", "6-8", "11-2"),
    fields(0, 7, "*", "*", "1-5", "SAT,SUN", "5L", "MON#1", "MON#1,MON#3,5L", "MON,5L", "1-6", "TUE-SAT", "*/2", "0-6"),
)


@given(texts)
@example("*/15 9-17 * * MON-FRI")
@example("0 0 13 * FRI")
@example("0 0 */2 * MON")
@example("*/15 22-2 * * 1-5")
@example("*/20 0-5,9,12,20-23 * * *")
@example("0 9 * 6-8 MON,WED#1,WEDL,FRIL")
@example("* * LW 3 */2")
def test_a_sentence_says_exactly_the_times_at_which_the_job_is_due(text):
    try:
        cron = parse(text, UTC)
    except Invalid as refusal:
        if " never " not in str(refusal):
            raise
        return
    sentence = describe_schedule(cron)
    assert sentence.endswith(" (UTC)")
    times, is_day = read_back(sentence.removesuffix(" (UTC)"))
    midnights = parse(" ".join(["0", "0", *text.split()[2:]]), UTC)
    _, slots = midnights.due(START, START + DAY * len(DAYS) - MICROSECOND, len(DAYS))
    assert {slot.date() for slot in slots} == set(filter(is_day, DAYS)), f"{text!r}: {sentence!r}"
    # Some days come only in a year after those that were compared.
    begin = midnights.next_after(START - MICROSECOND)
    _, slots = cron.due(begin, begin + DAY - MICROSECOND, 1440)
    assert {slot.hour * 60 + slot.minute for slot in slots} == times, f"{text!r}: {sentence!r}"


# Durations and intervals

UNITS = {
    "year": Duration(months=12),
    "month": Duration(months=1),
    "week": Duration(days=7),
    "day": Duration(days=1),
    "hour": Duration(time=timedelta(hours=1)),
    "minute": Duration(time=timedelta(minutes=1)),
    "second": Duration(time=timedelta(seconds=1)),
}


def duration_of(words: str) -> Duration:
    months, days, exact = 0, 0, timedelta()
    parts = re.split(r", | and ", words)
    for part in parts:
        number, unit = re.fullmatch(r"([\d,.]+) (\w+?)s?", part).groups()
        assert (number == "1") == (not part.endswith("s"))
        whole, _, fraction = number.replace(",", "").partition(".")
        months += UNITS[unit].months * int(whole)
        days += UNITS[unit].days * int(whole)
        exact += UNITS[unit].time * int(whole) + MICROSECOND * int(fraction.ljust(6, "0"))
    for one, other in pairwise(parts):
        assert list(UNITS).index(other.rstrip("s").split()[1]) > list(UNITS).index(one.rstrip("s").split()[1])
    return Duration(months, days, exact)


lengths = st.builds(
    Duration,
    st.integers(0, 40),
    st.integers(0, 40),
    st.one_of(
        st.timedeltas(timedelta(), timedelta(days=400)),
        st.integers(0, 100_000).map(lambda seconds: timedelta(seconds=seconds)),
        st.integers(0, 2_000).map(lambda minutes: timedelta(minutes=minutes)),
    ),
)


@given(lengths)
def test_the_words_for_a_duration_say_how_long_it_is(length):
    assert duration_of(describe_duration(length)) == length


@given(
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2090-01-01")),
    st.sampled_from(["Z", "+02:00", "-03:30"]),
    st.none() | st.integers(0, 5_000),
    lengths.filter(lambda length: length.shortest >= timedelta(seconds=1)),
)
def test_the_sentence_for_an_interval_says_its_start_its_length_and_how_often(start, offset, repeats, length):
    seconds, micros = divmod(length.time // MICROSECOND, 1_000_000)
    interval = f"P{length.months}M{length.days}DT{seconds}.{micros:06}S"
    count = "" if repeats is None else repeats
    plan = schedule.parse(f"R{count}/{start.isoformat()}{offset}/{interval}", UTC)
    sentence = describe_schedule(plan)
    when = r"(?P<date>\d+ \w+ \d+)"
    clock = r"at (?P<clock>[\d:.]+) \((?P<zone>UTC\S*)\)"
    often = r"(?:, (?P<often>[\d,]+ times|twice) in all)?"
    match = (
        re.fullmatch(rf"Once, on {when} {clock}", sentence)
        or re.fullmatch(rf"Every (?P<every>.*?)(?: on (?P<weekday>\w+)s)? {clock} from {when}{often}", sentence)
        or re.fullmatch(rf"Every (?P<every>.*) from {when} {clock}{often}", sentence)
    )
    assert match, sentence
    day, month, year = match["date"].split()
    assert date(int(year), MONTHS.index(month) + 1, int(day)) == start.date()
    # Python 3.11 reads a fraction of any length.
    assert time.fromisoformat(match["clock"]) == start.time()
    assert match["zone"] == {"Z": "UTC", "+02:00": "UTC+02:00", "-03:30": "UTC-03:30"}[offset]
    if repeats == 0:
        assert sentence.startswith("Once")
        return
    every = match["every"] if match["every"][0].isdigit() else f"1 {match['every']}"
    assert duration_of(every) == duration.parse(interval, "")
    runs = {None: None, "twice": 2}.get(match["often"]) or (match["often"] and int(re.sub(r"\D", "", match["often"])))
    assert runs == (None if repeats is None else repeats + 1)
    if match.groupdict().get("weekday"):
        assert match["weekday"] == f"{start:%A}"
