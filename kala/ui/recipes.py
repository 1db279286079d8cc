"""Schedules to begin with, each with what Kala says about it."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from kala.core.words import describe_job


class Recipe(NamedTuple):
    kind: str
    schedule: str
    sentence: str


def recipes(zone: tzinfo) -> list[Recipe]:
    """Return recipes that begin tomorrow, in words on the clock of a zone."""
    morning = f"{datetime.now(UTC).astimezone(zone) + timedelta(days=1):%Y-%m-%d}T08:00:00"
    schedules = (
        ("Once", f"R0/{morning}"),
        ("Every …", f"R/{morning}/PT15M"),
        ("Every …", f"R/{morning}/P1D"),
        ("Every …", f"R/{morning}/P1W"),
        ("Cron", "30 2 * * *"),
        ("Cron", "30 2 * * 1-5"),
        ("Cron", "*/15 9-17 * * 1-5"),
        ("Cron", "0 23 L * *"),
        ("Cron", "H H(1-4) * * *"),
        ("At boot", "@reboot"),
        ("By hand", "manual"),
    )
    return [Recipe(kind, text, describe_job(text, zone)) for kind, text in schedules]
