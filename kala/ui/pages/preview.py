"""What a schedule means, as people see it before they save a job: in words, as slots, and among those of all jobs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from kala.api import kinds, schema, system_schema
from kala.api.http import Request, Response
from kala.api.job_fields import JOB
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.words import describe_job
from kala.ui.site import Site

_SLOTS = 5
# So many slots are asked for, to find those of the next day. If there are more, all later steps have some.
_MOST_SLOTS = 1000
_STEP = timedelta(minutes=15)
# The fields of a job that a preview of its schedule needs, and those that matter without a schedule.
_OF_SCHEDULE = ("name", "schedule", "timezone", "jitter")
_FIELDS = (*_OF_SCHEDULE, "parent_jobs", "parents_mode")
_HEIGHT = 40


class Bar(NamedTuple):
    """A step of the load: its place, how high the bar for all jobs is, and whether the job itself has slots in it."""

    x: int
    height: float
    is_own: bool


class Load(NamedTuple):
    """The slots of all jobs and of this one in the next 24 hours. The text says what the picture shows."""

    bars: list[Bar]
    most: int
    busiest: datetime | None
    own: int
    is_more: bool
    shared: int


class Preview(NamedTuple):
    """What a schedule means, or the sentence that says what is wrong with it."""

    sentence: str
    error: str = ""
    zone: str = ""
    resolved: str = ""
    slots: Sequence[tuple[datetime, str]] = ()
    changes: Sequence[schema.ClockChange] = ()
    load: Load | None = None


class PreviewPage:
    """`/jobs/new/preview`, which the form fetches while people type."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        query = request.query
        given = {name: query.get(name, "") for name in _FIELDS}
        parents = [line for line in query.get("parent_jobs", "").splitlines() if line.strip()]
        return self._site.page("preview.html", preview=self.of({**given, "parent_jobs": parents}))

    def of(self, job: Mapping[str, Any]) -> Preview:
        """Return what the schedule of a job means, from the job's JSON."""
        try:
            for name in _FIELDS:
                if job.get(name) is not None:
                    kinds.check(JOB[name].kind)(name, job[name])
            return self._of(job)
        except Invalid as error:
            return Preview("", presentable(str(error)))

    def _of(self, job: Mapping[str, Any]) -> Preview:
        parents, text = job.get("parent_jobs") or [], job.get("schedule") or ""
        if not text or parents:
            needs_all = job.get("parents_mode") == "all"
            return Preview(describe_job("", UTC, parents=len(parents), needs_all_parents=needs_all))
        given = {name: job[name] for name in _OF_SCHEDULE if job.get(name)}
        found = self._site.backend.ask(schema.Slots, "previewSchedule", given | {"count": _MOST_SLOTS})
        return Preview(
            sentence=found.sentence,
            zone=found.timezone,
            resolved=found.resolved if found.resolved != text else "",
            slots=[(slot, _shown(local)) for slot, local in zip(found.slots[:_SLOTS], found.local, strict=False)],
            changes=found.clock_changes,
            load=self._load(found.slots) if found.slots else None,
        )

    def _load(self, slots: list[datetime]) -> Load | None:
        minutes = int(_STEP / timedelta(minutes=1))
        upcoming = self._site.backend.read(system_schema.Upcoming, "listUpcoming", step=f"PT{minutes}M", limit="0")
        if upcoming.histogram is None:
            return None
        steps = upcoming.histogram.steps
        ends = [*(later.start for _, later in pairwise(steps)), upcoming.until]
        own = _counted(slots, upcoming.until, steps)
        most = max(step.slots for step in steps)
        last = slots[-1] if len(slots) == _MOST_SLOTS else upcoming.until
        is_own = [bool(own[step.start]) or last < end for step, end in zip(steps, ends, strict=True)]
        return Load(
            [
                Bar(index * 10, _HEIGHT * step.slots / most if most else 0, is_own[index])
                for index, step in enumerate(steps)
            ],
            most,
            next((step.start for step in steps if step.slots == most), None) if most else None,
            own.total(),
            last < upcoming.until,
            max((step.slots for index, step in enumerate(steps) if is_own[index]), default=0),
        )


def _shown(local: str) -> str:
    """Return a local time in RFC 3339 as pages show it, such as `2030-01-31 08:00:00 +01:00`."""
    date, _, time = local.partition("T")
    return f"{date} {time[:-6]} {time[-6:]}"


def _counted(slots: list[datetime], until: datetime, steps: list[system_schema.UpcomingStep]) -> Counter[datetime]:
    first = steps[0].start
    return Counter(first + (slot - first) // _STEP * _STEP for slot in slots if slot < until)
