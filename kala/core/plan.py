"""A job's plan: its schedule as a value, the rules that its slots depend on, and the delay after each slot."""

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

from kala.core import duration, schedule
from kala.core.clock import rules_of
from kala.core.jitter import delay_of
from kala.core.job import Job, Spec
from kala.core.schedule import AT_BOOT, Schedule

_MOMENT = timedelta(microseconds=1)


def plan_of(spec: Spec, zone: tzinfo) -> Schedule:
    """Return the schedule of a job that has one. Raise Invalid with the reason."""
    return schedule.parse(spec.schedule, zone, spec.name, is_own_zone=bool(spec.timezone))


def times_of(spec: Spec) -> tuple[str, str, str]:
    """Return what decides which slots a job has. An `H` in a schedule depends on the job's name."""
    return spec.schedule, spec.timezone, schedule.resolved(spec.schedule, spec.name)


def is_stale_basis(zone_rules: str, zone_of: Callable[[str], tzinfo]) -> bool:
    """Whether plans with this in `zone_rules` were made with other rules than those of now.

    `zone_of` returns the zone of a name, and the server's for "".
    """
    if zone_rules == AT_BOOT:
        return False
    name = zone_of_basis(zone_rules)
    return zone_rules != basis_of(name, zone_of(name))


def zone_of_basis(zone_rules: str) -> str:
    """Return the name of the zone that is in a plan's `zone_rules`, and "" for the server's."""
    return zone_rules.rpartition(" ")[0]


def basis_of(name: str, zone: tzinfo) -> str:
    return f"{name} {rules_of(zone)}".lstrip()


def due_at(job: Job, slot: datetime) -> datetime:
    """Return when a slot of a job is due: at once, or later by its jitter."""
    try:
        return slot + delay_of(job.id, slot, jitter_of(job.spec)) if job.spec.jitter else slot
    except OverflowError:
        return slot


def jitter_of(spec: Spec) -> timedelta:
    return duration.parse(spec.jitter, "jitter").longest if spec.jitter else timedelta()


def due_until(job: Job, plan: Schedule, since: datetime, now: datetime) -> datetime:
    """Return until when slots since one that is due are due, too: before the first whose delay is not over by `now`."""
    if not job.spec.jitter:
        return now
    slot = plan.next_after(max(since, now - jitter_of(job.spec)) - _MOMENT)
    while slot is not None and slot <= now:
        if due_at(job, slot) > now:
            return slot - _MOMENT
        slot = plan.next_after(slot)
    return now


def next_slots(job: Job, zone: tzinfo, limit: int) -> list[datetime]:
    """Return the next slots of a job, at most `limit`."""
    slots = [job.slot] if job.slot else []
    if not slots or not job.spec.schedule:
        return slots
    plan = plan_of(job.spec, zone)
    left = limit if plan.runs is None else plan.runs - job.slots_started
    while len(slots) < min(left, limit) and (slot := plan.next_after(slots[-1])):
        slots.append(slot)
    return slots
