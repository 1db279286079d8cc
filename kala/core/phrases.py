"""Parts of English sentences. Names of months and days are written out here, so that no locale changes them."""

from datetime import date

MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()
"""The days of the week from Sunday on, as cron counts them."""


def listed(parts: list[str]) -> str:
    """Return parts of a sentence as a list, such as "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def counted(number: str, unit: str) -> str:
    """Return a number with its unit, such as "1 day" or "1.5 seconds"."""
    return f"{number} {unit}{'' if number == '1' else 's'}"


def ordinal(number: int) -> str:
    """Return a number below 100 as "1st", "2nd" or "11th"."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number not in (11, 12, 13) else "th"
    return f"{number}{suffix}"


def day_of(day: date) -> str:
    """Return a date, such as "1 January 2030"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
