"""The last and the next 24 hours as one bar for each hour: how runs ended, and how many slots are to come."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from kala.api.schema import Histogram, HistogramStep
from kala.api.system_schema import UpcomingSteps
from kala.core.run import State

HOURS = 24
HOUR = timedelta(hours=1)
WIDTH, HEIGHT = 24, 120
# Failures hang below this line, so that they are seen without colour.
_LINE = 84
_ABOVE, _BELOW = _LINE - 4, HEIGHT - _LINE - 4
_LEAST_ABOVE, _LEAST_BELOW = 2.0, 6.0
# Fewer runs than these in the fullest hour do not fill the height, so that a quiet day looks quiet.
_QUIET = 5
_UP = (State.SUCCEEDED, State.CANCELLED, State.SKIPPED)
_DOWN = (State.FAILED, State.TIMED_OUT, State.LOST)
_WORDS: Mapping[str, str] = {State.TIMED_OUT: "timed out", "coming": "slots to come"}
# Each state has a shape of its own: where its boxes begin and how wide they are, and whether they are only outlined.
_SHAPES: Mapping[str, tuple[tuple[tuple[float, float], ...], bool]] = {
    State.SUCCEEDED: (((3, 18),), False),
    State.CANCELLED: (((9, 6),), False),
    State.SKIPPED: (((5, 14),), True),
    State.FAILED: (((3, 18),), False),
    State.TIMED_OUT: (((3, 7), (14, 7)), False),
    State.LOST: (((4, 16),), True),
    "coming": (((5, 14),), True),
}


LEGEND = [(kind, _WORDS.get(kind, kind), *shape) for kind, shape in _SHAPES.items()]
"""For each kind of box: the kind, its name, its columns, and whether they are outlined."""


class Box(msgspec.Struct, frozen=True):
    """A part of a bar. The kind is a state, or `coming`."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    is_outlined: bool


class Bar(msgspec.Struct, frozen=True):
    """An hour: what it has, in words, and its picture. `away` is how many hours are between it and now."""

    start: datetime
    end: datetime
    is_past: bool
    away: int
    words: str
    boxes: list[Box]


class Strip(msgspec.Struct, frozen=True):
    """All bars, oldest first, and what they add up to."""

    bars: list[Bar]
    ended: int
    failed: int
    coming: int


def first_hour(now: datetime) -> datetime:
    """Return when the first bar begins. The current hour has a bar on either side of now."""
    return now - (HOURS - 1) * HOUR


def strip(past: Histogram, coming: UpcomingSteps) -> Strip:
    """Return the bars of both; one scale holds for all of them, above and below the line."""
    steps, slots = past.steps[-HOURS:], coming.steps[:HOURS]
    most = max([_QUIET, *(_sum(step, _UP) for step in steps), *(step.slots for step in slots)])
    most_failures = max([_QUIET, *(_sum(step, _DOWN) for step in steps)])
    bars = [_past(step, len(steps) - 1 - place, most, most_failures) for place, step in enumerate(steps)]
    for place, step in enumerate(slots):
        words = f"{step.slots:,} {'slot' if step.slots == 1 else 'slots'} to come" if step.slots else ""
        boxes = _stacked([("coming", step.slots)], most)
        bars.append(Bar(step.start, step.start + HOUR, False, place, words, boxes))
    return Strip(
        bars,
        ended=sum(_sum(step, (*_UP, *_DOWN)) for step in steps),
        failed=sum(_sum(step, _DOWN) for step in steps),
        coming=sum(step.slots for step in slots),
    )


def _past(step: HistogramStep, away: int, most: int, most_failures: int) -> Bar:
    up, down = ([(state, getattr(step, state)) for state in states] for states in (_UP, _DOWN))
    words = ", ".join(f"{count:,} {_WORDS.get(state, state)}" for state, count in [*down, *up] if count)
    boxes = [*_stacked(up, most), *_stacked(down, most_failures, is_down=True)]
    return Bar(step.start, step.start + HOUR, True, away, words, boxes)


def _sum(step: HistogramStep, states: Sequence[State]) -> int:
    return sum(getattr(step, state) for state in states)


def _stacked(counts: Sequence[tuple[str, int]], most: int, *, is_down: bool = False) -> list[Box]:
    """Return the boxes of one bar, away from the line. Even one run among thousands is seen."""
    room, least = (_BELOW, _LEAST_BELOW) if is_down else (_ABOVE, _LEAST_ABOVE)
    boxes, used = [], 0.0
    for kind, count in counts:
        if not count:
            continue
        height = max(least, room * count / most) if used == 0 else min(room - used, max(least, room * count / most))
        y = _LINE + 2 + used if is_down else _LINE - 2 - used - height
        columns, is_outlined = _SHAPES[kind]
        boxes += [Box(kind, x, round(y, 1), width, round(height, 1), is_outlined) for x, width in columns]
        used = min(room, used + height)
    return boxes
