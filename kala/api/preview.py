"""What a schedule means, before a job has it: in words, its next slots, and what clock changes do to them."""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from typing import Any

from kala.api import fields, job_input, schema, views
from kala.api.names import by_name
from kala.api.parameters import Time
from kala.core import policy, schedule
from kala.core.change_words import describe_changes
from kala.core.job import Command, Spec
from kala.core.plan import plan_of
from kala.core.words import describe_job
from kala.zone import zone_of

_SLOTS = 10
_MOST_SLOTS = 1000
_AHEAD = timedelta(days=366)
# In which years changes of the clock are looked for.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_FIELDS: dict[str, fields.Check] = {
    "schedule": fields.line,
    "timezone": fields.zone_name,
    "jitter": fields.line,
    "name": fields.line,
    "count": fields.whole(1, _MOST_SLOTS),
    "after": lambda field, value: Time().parse(field, fields.line(field, value)),
}


def preview(given: dict[str, Any], server: tzinfo, now: datetime) -> schema.Slots:
    """Return what the schedule in a request means. Raise Invalid where the creation of a job would."""
    values = job_input.with_zone(_checked(given))
    text, name = values.get("schedule", ""), values.get("timezone", "")
    zone = zone_of(name, server)
    schedule.parse(text, zone)  # here, no schedule is none
    spec = Spec(
        name=values.get("name", ""), action=Command(""), schedule=text, timezone=name, jitter=values.get("jitter", "")
    )
    policy.check(spec, zone)
    policy.first_due(spec, zone, now)
    plan, after = plan_of(spec, zone), values.get("after", now)
    count = values.get("count", _SLOTS)
    found = list(islice(_slots(plan, after), min(count, plan.runs or count)))
    changes = describe_changes(plan, zone, after, after + _AHEAD) if _FIRST_YEAR <= after.year <= _LAST_YEAR else []
    return schema.Slots(
        slots=found,
        local=[views.local_time(slot, zone) for slot in found],
        sentence=describe_job(text, zone, name=spec.name, is_own_zone=bool(name), jitter=spec.jitter),
        timezone=str(zone),
        resolved=schedule.resolved(text, spec.name),
        clock_changes=[schema.ClockChange(change.at, change.effect) for change in changes],
    )


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    found = by_name("", given, _FIELDS)
    return {name: _FIELDS[name](field, value) for name, (field, value) in found.items() if value is not None}


def _slots(plan: schedule.Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the slots of a schedule after an instant."""
    while (slot := plan.next_after(after)) is not None:
        yield slot
        after = slot
