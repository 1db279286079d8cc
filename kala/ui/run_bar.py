"""The life of a run as a bar: how long it waited, and how long it took."""

from datetime import datetime, timedelta
from typing import NamedTuple

from kala.api import schema
from kala.core.figures import length
from kala.core.run import Cause

WIDTH = 1000
# A run of a moment can be seen, too.
_LEAST = 3


class RunBar(NamedTuple):
    """Where each of the two parts of the bar begins and how wide it is, and the same in words."""

    waited: tuple[int, int]
    ran: tuple[int, int] | None
    words: str


def run_bar(run: schema.Run, now: datetime) -> RunBar:
    """Return the bar of a run, from when it was due or queued until its end or, if it has not ended, until now."""
    # A run that someone retries, for a slot of long ago, is due at once.
    due = run.slot if run.slot and run.cause is not Cause.MANUAL else run.queued_at
    begin = min(due, run.queued_at)
    end = max(run.ended_at or now, begin)
    started = run.started_at
    total = end - begin
    if started is None:
        return RunBar((0, WIDTH), None, f"{_waits(run)} {length(total.total_seconds())}")
    # Clocks are set: a run can seem to start before it was queued.
    waited, ran = max(started - begin, timedelta()), max(end - started, timedelta())
    edge = min(_share(waited, total), WIDTH - _LEAST)
    words = f"Waited {length(waited.total_seconds())}, {_runs(run)} {length(ran.total_seconds())}"
    return RunBar((0, edge), (edge, WIDTH - edge), words)


def _share(part: timedelta, total: timedelta) -> int:
    return round(WIDTH * (part / total)) if total else 0


def _waits(run: schema.Run) -> str:
    return "Waited" if run.ended_at else "Has been waiting for"


def _runs(run: schema.Run) -> str:
    return "ran" if run.ended_at else "has been running for"
