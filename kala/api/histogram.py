"""How many runs ended in each step of a period, by state."""

from datetime import datetime, timedelta

import msgspec

from kala.api import schema
from kala.core.duration import Duration
from kala.core.errors import Invalid
from kala.core.instants import EPOCH
from kala.store.store import Session

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_MOST_STEPS = 1500


class Period(msgspec.Struct, frozen=True):
    """A number of steps of some minutes, all counted from 1970: so a period that moves on keeps its steps."""

    step: int
    first: int
    last: int


def period(since: datetime | None, until: datetime | None, step: Duration, now: datetime) -> Period:
    """Return the steps from `since` to `until`, by default the last day. Raise Invalid for too many."""
    minutes = whole_minutes(step)
    until = now if until is None else until
    first = _step_of(max(until, EPOCH + _DAY) - _DAY if since is None else since, minutes)
    last = _step_of(until, minutes)
    if last - first >= _MOST_STEPS:
        raise Invalid(f"step: there would be {last - first + 1:,} steps; use a longer one, for at most {_MOST_STEPS:,}")
    return Period(minutes, first, last)


def whole_minutes(step: Duration) -> int:
    """Return the length of a step. Raise Invalid unless it is one or more whole minutes."""
    length = timedelta(days=step.days) + step.time
    if step.months or length < _MINUTE or length % _MINUTE:
        raise Invalid("step: must be one or more whole minutes, hours or days, such as 15m")
    return length // _MINUTE


def _step_of(instant: datetime, minutes: int) -> int:
    return (max(instant, EPOCH) - EPOCH) // _MINUTE // minutes


def histogram(session: Session, wanted: Period, job_id: str | None) -> schema.Histogram:
    """Return how many runs, of one job or of all, ended in each step."""
    length = wanted.step * _MINUTE
    steps = {number: schema.HistogramStep(EPOCH + number * length) for number in range(wanted.first, wanted.last + 1)}
    for number, state, runs in session.endings.per_step(wanted.step, wanted.first, wanted.last, job_id):
        setattr(steps[number], state, runs)
    return schema.Histogram(length // timedelta(seconds=1), list(steps.values()))
