"""What a schedule means, and which jobs are due next."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class ClockChange(Struct, frozen=True):
    """A change of the clock that matters to a schedule, and what it does."""

    at: datetime
    effect: str


class Slots(Struct, frozen=True, kw_only=True):
    """What a schedule means: a sentence, and its next slots, in UTC and as the clock of its zone shows them."""

    slots: tuple[datetime, ...]
    local: tuple[str, ...]
    sentence: str
    timezone: str
    resolved: str = ""
    clock_changes: tuple[ClockChange, ...] = ()


class UpcomingJob(Struct, frozen=True):
    """A job that is due, how many slots it has in the period, and the first of them."""

    id: str
    name: str
    sentence: str
    count: int
    slots: tuple[datetime, ...]


class Upcoming(Struct, frozen=True, kw_only=True):
    """The jobs that are due next. `has_more` tells whether more jobs are due in the period."""

    since: datetime
    until: datetime
    jobs: tuple[UpcomingJob, ...]
    has_more: bool
