"""Which jobs are due next, how often each of them is due in a period, and how many slots each step of it has."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

from kala.api import fields
from kala.api import system_schema as schema
from kala.api.histogram import whole_minutes
from kala.api.http import Request, Response, json
from kala.api.kept import Kept
from kala.core import upcoming
from kala.core.duration import Duration
from kala.core.errors import Invalid
from kala.core.instants import from_microseconds, rfc3339, to_microseconds
from kala.core.upcoming import StepCounts
from kala.core.words import describe_job
from kala.store.store import Store
from kala.zone import zone_of

_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)
_LONGEST = 31 * _DAY
_MOST_STEPS = 1500
# The steps count the slots of at most this many jobs, those that are due first.
_COUNTED_JOBS = 20_000
# And of no more after so much effort, which takes a few seconds.
_MOST_EFFORT = 1_000_000

Owners = tuple[str, ...]


class UpcomingRoutes:
    """The handler of `/api/v1/upcoming/`."""

    def __init__(self, store: Store, zone: Callable[[], tzinfo]) -> None:
        self._store = store
        self._zone = zone
        self._kept = Kept[schema.UpcomingSteps]()

    def upcoming(self, request: Request) -> Response:
        query, now = request.query, datetime.now(UTC)
        until = _until(query["until"], now)
        step = query["step"] and _step(query["step"], now, until)
        owners = request.caller.owners
        jobs, has_more = self._jobs(owners, now, until, query["limit"], query["per_job"])
        return json(
            schema.Upcoming(now, until, jobs, has_more, self._steps(owners, now, until, step) if step else None)
        )

    def _jobs(
        self, owners: Owners, now: datetime, until: datetime, limit: int, per_job: int
    ) -> tuple[list[schema.UpcomingJob], bool]:
        server, end = self._zone(), to_microseconds(until)
        with self._store.reading(owners) as session:
            found = session.coming.jobs(to_microseconds(now), end, limit + 1)
        jobs = []
        for job in found[:limit]:
            zone, is_own = zone_of(job.timezone, server), bool(job.timezone)
            slots = upcoming.coming(job.schedule, zone, job.first, end, job.started, name=job.name, is_own_zone=is_own)
            sentence = describe_job(job.schedule, zone, name=job.name, is_own_zone=is_own, jitter=job.jitter)
            first = [from_microseconds(slot) for slot in islice(slots, per_job)]
            jobs.append(schema.UpcomingJob(job.id, job.name, sentence, len(slots), first))
        return jobs, len(found) > limit

    def _steps(self, owners: Owners, now: datetime, until: datetime, step: int) -> schema.UpcomingSteps:
        first, last = to_microseconds(now) // step, (to_microseconds(until) - 1) // step
        return self._kept.get((owners, step, first, last), lambda: self._count(owners, now, step, first, last))

    def _count(self, owners: Owners, now: datetime, step: int, first: int, last: int) -> schema.UpcomingSteps:
        zone, start, end = self._zone(), first * step, (last + 1) * step
        with self._store.reading(owners) as session:
            jobs = session.coming.slots(to_microseconds(now), end, _COUNTED_JOBS + 1)
        counts = StepCounts(start, step, last - first + 1)
        counted = 0
        for due, started, text, own, name in jobs[:_COUNTED_JOBS]:
            if counts.effort >= _MOST_EFFORT:
                break
            counted += 1
            counts.add(
                upcoming.coming(
                    text or "", zone_of(own or "", zone), due, end, started, name=name, is_own_zone=bool(own)
                )
            )
        steps = [
            schema.UpcomingStep(from_microseconds(start + number * step), slots)
            for number, slots in enumerate(counts.totals())
        ]
        return schema.UpcomingSteps(step // 1_000_000, now, counted, counted < len(jobs), steps)


def _until(given: datetime | None, now: datetime) -> datetime:
    if given is None:
        return now + _DAY
    if not now < given <= now + _LONGEST:
        raise fields.invalid("until", rfc3339(given), f"a time within the next {_LONGEST // _DAY} days")
    return given


def _step(given: Duration, now: datetime, until: datetime) -> int:
    """Return the length of a step in microseconds. Raise Invalid for one that makes too many steps."""
    length = timedelta(minutes=whole_minutes(given))
    if (until - now) // length >= _MOST_STEPS:
        raise Invalid(f"step: there would be more than {_MOST_STEPS:,} steps; use a longer one")
    return length // _MICROSECOND
