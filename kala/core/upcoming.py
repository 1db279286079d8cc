"""Which slots of a job are still to come, and how many there are in each step of a period. Times are in microseconds.

They are whole microseconds since 1970. Slots of the same distance are a `range`, which is counted without a walk: a job
that is due every second has 2.7 million slots in a month. The others are a day or more apart, so there are few; or
those of cron, which are walked through once for all jobs with the same expression.
"""

from array import array
from collections.abc import Sequence
from datetime import timedelta, tzinfo
from functools import lru_cache
from itertools import accumulate, chain, islice, takewhile

from kala.core import duration, schedule
from kala.core.cron import Cron
from kala.core.instants import from_microseconds, to_microseconds
from kala.core.schedule import Every

_MICROSECOND = timedelta(microseconds=1)
# Up to this many slots are counted one by one.
_FEW = 4
# More than a period can have of slots that are a day or more apart.
_MOST = 1_000


def coming(
    text: str, zone: tzinfo, first: int, until: int, started: int, *, name: str = "", is_own_zone: bool = False
) -> Sequence[int]:
    """Return the slots of a schedule from `first`, which is when it is due next, to before `until`.

    `started` is how many runs the schedule has started. An empty `text` is a job that is due a single time. The zone
    and the name are those of `schedule.parse`.
    """
    if first >= until:
        return ()
    plan = schedule.parse(text, zone, name, is_own_zone=is_own_zone) if text and not text.startswith("R") else None
    if isinstance(plan, Cron):
        return _of_cron(plan, first, until)
    parts = text.split("/")
    if len(parts) < 3:
        return (first,)
    step, repeats = _even_step(parts[2], is_fixed=_has_offset(parts[1]) and not is_own_zone), parts[0][1:]
    left = max(0, int(repeats) + 1 - started) if repeats else None
    if repeats and not int(repeats):
        return (first,)
    if step:
        return range(first, until, step)[:left]
    plan = schedule.parse(text, zone, is_own_zone=is_own_zone)
    assert isinstance(plan, Every), text
    # The first one can be later than its slot, by the job's jitter.
    slots = plan.slots_from(from_microseconds(first + 1))
    numbers = chain((first,), map(to_microseconds, slots))
    return tuple(islice(takewhile(lambda number: number < until, numbers), _MOST if left is None else min(left, _MOST)))


# A month has up to 44,640 slots, which jobs with the same expression share.
@lru_cache(maxsize=32)
def _of_cron(plan: Cron, first: int, until: int) -> Sequence[int]:
    found, end = array("q", (first,)), from_microseconds(until)
    slot = plan.next_after(from_microseconds(first))
    while slot is not None and slot < end:
        found.append(to_microseconds(slot))
        slot = plan.next_after(slot)
    return found


class StepCounts:
    """The number of slots in each of `steps` steps of `length` microseconds, the first of which begins at `start`."""

    def __init__(self, start: int, length: int, steps: int) -> None:
        self._start = start
        self._length = length
        self._counts = [0] * steps
        # By how much more each step has than the one before it, apart from its own count: for slots that all steps
        # between two have alike.
        self._changes = [0] * (steps + 1)

    def add(self, slots: Sequence[int]) -> None:
        """Count slots, none of which is outside of all steps."""
        if isinstance(slots, range) and len(slots) > _FEW and not self._length % slots.step:
            self._add_alike(slots)
        elif isinstance(slots, range) and len(slots) > len(self._counts):
            self._add_many(slots)
        else:
            for slot in slots:
                self._counts[(slot - self._start) // self._length] += 1

    def _add_alike(self, slots: range) -> None:
        """Count slots of which all steps but the first and the last have the same number."""
        first, last = ((slots[place] - self._start) // self._length for place in (0, -1))
        if first == last:
            self._counts[first] += len(slots)
            return
        in_each = self._length // slots.step
        in_first = self._before(slots, first + 1)
        self._counts[first] += in_first
        self._changes[first + 1] += in_each
        self._changes[last] -= in_each
        self._counts[last] += len(slots) - in_first - in_each * (last - first - 1)

    def _add_many(self, slots: range) -> None:
        """Count more slots than there are steps, by how many of them are before the end of each step."""
        counted, step = 0, (slots.start - self._start) // self._length
        while counted < len(slots):
            before_end = min(len(slots), self._before(slots, step + 1))
            self._counts[step] += before_end - counted
            counted, step = before_end, step + 1

    def _before(self, slots: range, step: int) -> int:
        """Return how many slots there are before a step begins, if they go on until then."""
        return -((slots.start - self._start - step * self._length) // slots.step)

    def totals(self) -> list[int]:
        return [count + alike for count, alike in zip(self._counts, accumulate(self._changes), strict=False)]


def _has_offset(start: str) -> bool:
    """Return whether a start is at a fixed offset from UTC, so that all days from there are 24 hours long."""
    time = start.partition("T")[2]
    return time.endswith("Z") or "+" in time or "-" in time


@lru_cache(maxsize=1024)
def _even_step(interval: str, *, is_fixed: bool) -> int | None:
    """Return the distance between slots if it is always the same."""
    length = duration.parse(interval, "schedule interval")
    if length.months or (length.days and not is_fixed):
        return None
    return length.shortest // _MICROSECOND
