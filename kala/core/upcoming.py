"""Which slots of a job are still to come, and how many there are in each step of a period. Times are in microseconds.

They are whole microseconds since 1970. Slots of the same distance are a `range`, which is counted without a walk: a job
that is due every second has 2.7 million slots in a month. Those of cron are counted once for all jobs with the same
expression. The others are a day or more apart, so there are few.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta, tzinfo
from functools import lru_cache
from itertools import accumulate, chain, islice, takewhile

import msgspec

from kala.core import duration, schedule
from kala.core.cron import Cron
from kala.core.instants import from_microseconds, to_microseconds
from kala.core.schedule import Every

_MICROSECOND = timedelta(microseconds=1)
# Up to this many slots are counted one by one.
_FEW = 4
# More than a period can have of slots that are a day or more apart.
_MOST = 1_000


class CronSlots(msgspec.Struct, frozen=True):
    """The slot `first`, and those of an expression after it and before `until`."""

    plan: Cron
    first: int
    until: int

    def __len__(self) -> int:
        return 1 + _count(self.plan, self.first + 1, self.until)

    def __iter__(self) -> Iterator[int]:
        yield self.first
        slot = self.plan.next_after(from_microseconds(self.first))
        while slot is not None and (number := to_microseconds(slot)) < self.until:
            yield number
            slot = self.plan.next_after(slot)


Slots = Sequence[int] | CronSlots


@lru_cache(maxsize=1024)
def _count(plan: Cron, start: int, end: int) -> int:
    return plan.count(from_microseconds(start), from_microseconds(end)) if start < end else 0


def coming(
    text: str, zone: tzinfo, first: int, until: int, started: int, *, name: str = "", is_own_zone: bool = False
) -> Slots:
    """Return the slots of a schedule from `first`, which is when it is due next, to before `until`.

    `started` is how many runs the schedule has started. An empty `text` is a job that is due a single time. The zone
    and the name are those of `schedule.parse`.
    """
    if first >= until:
        return ()
    plan = schedule.parse(text, zone, name, is_own_zone=is_own_zone) if text and not text.startswith("R") else None
    if isinstance(plan, Cron):
        return CronSlots(plan, first, until)
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


@lru_cache(maxsize=1024)
def _walked(slots: CronSlots) -> tuple[int, ...]:
    return tuple(slots)


class StepCounts:
    """The number of slots in each of `steps` steps of `length` microseconds, the first of which begins at `start`."""

    def __init__(self, start: int, length: int, steps: int) -> None:
        self._start = start
        self._length = length
        self._counts = [0] * steps
        # By how much more each step has than the one before it, apart from its own count: for slots that all steps
        # between two have alike.
        self._changes = [0] * (steps + 1)
        # By cron expression: for how many jobs all slots of a step count, and of all those after it.
        self._whole: dict[Cron, Counter[int]] = {}
        self.effort = 0
        """About how many slots or steps of cron expressions were, or will be, looked at one by one."""

    def add(self, slots: Slots) -> None:
        """Count slots, none of which is outside of all steps."""
        if isinstance(slots, CronSlots):
            self._add_cron(slots)
        elif isinstance(slots, range) and len(slots) > _FEW and not self._length % slots.step:
            self._add_alike(slots)
        elif isinstance(slots, range) and len(slots) > len(self._counts):
            self._add_many(slots)
        else:
            for slot in slots:
                self._counts[(slot - self._start) // self._length] += 1

    def _add_cron(self, slots: CronSlots) -> None:
        """Count the slots one by one or, if there are more than steps, by step."""
        if len(slots) <= len(self._counts):
            self.effort += len(slots)
            self.add(_walked(slots))
            return
        step = (slots.first - self._start) // self._length
        self._counts[step] += 1 + _count(slots.plan, slots.first + 1, self._start + (step + 1) * self._length)
        if slots.plan not in self._whole:
            self._whole[slots.plan] = Counter()
            self.effort += len(self._counts)
        self._whole[slots.plan][step + 1] += 1

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
        totals = [count + alike for count, alike in zip(self._counts, accumulate(self._changes), strict=False)]
        for plan, begun in self._whole.items():
            jobs = 0
            for step in range(len(totals)):
                jobs += begun[step]
                if jobs:
                    start = self._start + step * self._length
                    totals[step] += jobs * plan.count(from_microseconds(start), from_microseconds(start + self._length))
        return totals


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
