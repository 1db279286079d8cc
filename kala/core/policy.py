"""What follows from what happened: pure decisions over values. The engine carries them out."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from enum import Enum, auto
from itertools import accumulate

import msgspec
from msgspec.structs import replace

from kala.core import duration
from kala.core.clock import CORRECTION
from kala.core.errors import Invalid, Outdated
from kala.core.fields import Duration
from kala.core.job import FIELDS, Job, Missed, Overlap, Spec
from kala.core.limits import RETRIES_AT_ONCE
from kala.core.plan import basis_of, due_at, due_until, jitter_of, plan_of, times_of
from kala.core.run import FAILURES, Outcome, Run, State, Waiting
from kala.core.schedule import AT_BOOT, MANUAL, Never, Schedule

_MOMENT = timedelta(microseconds=1)
_LONGEST_DELAY = "P1Y"
_LEAST_DELAY = timedelta(seconds=1)
_LONGEST_JITTER = timedelta(days=1)
_DURATIONS = {name: field.kind for name, field in FIELDS.items() if isinstance(field.kind, Duration)}


class MissedSlots(msgspec.Struct, frozen=True):
    """Slots that passed and are not made up for, from the first to the last of them. `why` can say more."""

    count: int
    first: datetime
    last: datetime
    why: str = ""


class Move(msgspec.Struct, frozen=True):
    """How a plan goes on: the job with its next slot, and what becomes of each slot that lies before that.

    `slots` start, `skipped` are those that another run of the job is in the way of, and all others are in `missed`,
    unless they became part of a run that waits. Only this module makes one, so no slot goes away in silence.
    """

    job: Job
    slots: tuple[datetime, ...] = ()
    missed: MissedSlots | None = None
    skipped: tuple[datetime, ...] = ()


class Admission(Enum):
    """What becomes of a new run."""

    START = auto()  # nothing of its own job is in its way
    WAIT = auto()  # until the job's run before it ends
    SKIP = auto()
    REPLACE = auto()  # the job's other runs are cancelled, then it starts


_WHILE_BUSY = {
    Overlap.ALLOW: Admission.START,
    Overlap.WAIT: Admission.WAIT,
    Overlap.SKIP: Admission.SKIP,
    Overlap.REPLACE: Admission.REPLACE,
}


class Follow(msgspec.Struct, frozen=True):
    """What a finished run leads to: a retry at an instant, or one of the others, or nothing."""

    retry_at: datetime | None = None
    children: bool = False
    on_failure: bool = False


def check(spec: Spec, zone: tzinfo) -> None:
    """Raise Invalid where the parts of a job contradict each other or a text has no meaning.

    `zone` is the job's here and below: the one that its `timezone` names, else the server's.
    """
    if spec.schedule and spec.parents and spec.schedule.lower() != MANUAL:
        raise Invalid("schedule: a job can have either a schedule or parent_jobs; remove one of them")
    if spec.schedule:
        plan_of(spec, zone)
    elif spec.jitter:
        raise Invalid("jitter: a job without a schedule has no slots to delay; remove jitter, or add a schedule")
    for field, kind in _DURATIONS.items():
        if getattr(spec, field):
            length = duration.parse(getattr(spec, field), field)
            if not (kind.can_be_zero or length.longest):
                raise Invalid(
                    f"{field}: must be longer than zero, not {getattr(spec, field)!r}; remove it for no limit"
                )
    if jitter_of(spec) > _LONGEST_JITTER:
        raise Invalid(f"jitter: must be at most a day (P1D), not {spec.jitter!r}")


def check_unchanged(job: Job, digests: Collection[str] | None) -> None:
    """Raise Outdated if the job has none of the digests that a client expects. None stands for any."""
    if digests is not None and job.spec.digest not in digests:
        raise Outdated(f"job {job.id} ({job.spec.name}) was changed since you read it; read it again")


def first_due(spec: Spec, zone: tzinfo, now: datetime) -> datetime | None:
    """Return the first slot of a new job: its start, or now without a schedule; None for one that waits for others.

    A START that has passed is accepted for an interval without an end, which goes on with its next slot; with a count,
    nobody knows how many of its runs are meant to be left.
    """
    if spec.parents:
        return None
    if not spec.schedule:
        return now
    plan = plan_of(spec, zone)
    if isinstance(plan, Never):
        return None
    if plan.runs is not None and plan.start <= now:
        raise Invalid(f"schedule: {spec.schedule!r} starts in the past; use a start time after now")
    slot = plan.next_after(now)
    if slot is None:
        raise Invalid(f"schedule: {spec.schedule!r} has no time after now; use one that comes within 28 years")
    return slot


def new_job(job_id: str, spec: Spec, zone: tzinfo, now: datetime) -> Job:
    """A job that nobody has seen before, with its first slot."""
    due = first_due(spec, zone, now)
    return _planned(Job(id=job_id, spec=spec, created_at=now, next_due=None), zone, due, now)


def replan(job: Job, spec: Spec, zone: tzinfo, now: datetime, zone_before: tzinfo | None = None) -> Move:
    """The job with a new spec. The plan and the count of repeats start again only where the schedule is another.

    `zone_before` is the job's zone until now, if that is another one.
    """
    if times_of(spec) == times_of(job.spec):
        changed = replace(job, spec=spec)
        if spec.parents:
            return Move(_planned(changed, zone, None, None))
        return Move(changed if spec.jitter == job.spec.jitter else _delayed(changed, job.slot))
    due = first_due(spec, zone, now) if spec.schedule else None
    fresh = replace(job, spec=spec, slots_started=0, last_wall=None)
    return Move(_planned(fresh, zone, due, now), missed=_left_behind(job, zone_before or zone, now))


def _left_behind(job: Job, zone: tzinfo, now: datetime) -> MissedSlots | None:
    """What has passed of a schedule that is about to be replaced."""
    if not job.spec.schedule:
        return None
    since = correct(job, zone, now, timedelta()).job.slot
    if since is None:
        return None
    count, newest = plan_of(job.spec, zone).due(since, now, 1)
    return MissedSlots(count, since, newest[-1], "the schedule was changed") if count else None


def is_of_other_zone(job: Job, zone: tzinfo) -> bool:
    """Whether the plan was made with other rules of the zone than those of now."""
    return job.zone_rules not in (None, AT_BOOT, basis_of(job.spec.timezone, zone))


def correct(job: Job, zone: tzinfo, now: datetime, set_back: timedelta) -> Move:
    """Plan a job by the zone and the clock as they are now; `set_back` is by how much the latter was set back.

    This passes no slot: what is due by then is still to be claimed, as missed.
    """
    if not job.spec.schedule:
        return Move(_planned(job, zone, job.next_due, None))
    plan = plan_of(job.spec, zone)
    due, claimed_until = job.slot, job.claimed_until
    if due is not None and is_of_other_zone(job, zone):
        due = _in_zone(job, plan, due)
    if set_back and claimed_until is not None and claimed_until > now:
        due = min(filter(None, (due, _resumed(job, plan, now, set_back))), default=None)
        claimed_until = now
    return Move(_planned(job, zone, due, claimed_until))


def after_boot(job: Job, zone: tzinfo, now: datetime) -> Move:
    """Plan a run of a job that is due after each boot. If the one after an earlier boot is still due, it is that."""
    return Move(_planned(job, zone, job.slot or now, now))


def _in_zone(job: Job, plan: Schedule, due: datetime) -> datetime | None:
    """The next slot when the schedule's zone is another: the same time of day, or the next one of elapsed time."""
    if not job.zone_rules:  # planned by a Kala that did not keep it: it is taken for that of now
        return plan.next_after(due - _MOMENT)
    if job.next_wall is not None:
        return plan.slot_at(job.next_wall)
    assert job.claimed_until is not None, job
    return plan.next_after(job.claimed_until)


def _resumed(job: Job, plan: Schedule, now: datetime, set_back: timedelta) -> datetime | None:
    """The next slot when the clock was set back: a time of day comes once, unless the clock was wrong before."""
    following = plan.next_after(now)
    if following is None or job.last_wall is None or set_back > CORRECTION:
        return following
    return max(following, plan.slot_at(job.last_wall + _MOMENT))


def _planned(
    job: Job, zone: tzinfo, slot: datetime | None, claimed_until: datetime | None, plan: Schedule | None = None
) -> Job:
    """The job with its next slot, and what that was computed from. `plan` is its schedule, if that is at hand."""
    if job.spec.schedule and not plan:
        plan = plan_of(job.spec, zone)
    next_wall = zone_rules = None
    if plan and plan.is_local and slot:
        zone_rules = basis_of(job.spec.timezone, zone)
        next_wall = None if plan.is_elapsed else plan.wall_time(slot)
    elif isinstance(plan, Never) and plan.at_boot:
        zone_rules = AT_BOOT
    job = replace(job, claimed_until=claimed_until if plan else None, next_wall=next_wall, zone_rules=zone_rules)
    return _delayed(job, slot)


def _delayed(job: Job, slot: datetime | None) -> Job:
    """The job with its next slot, which is due later by its jitter. Nothing else sets `next_due`."""
    next_slot = slot if job.spec.jitter else None
    return replace(job, next_due=slot and due_at(job, slot), next_slot=next_slot)


def claim(
    job: Job, zone: tzinfo, now: datetime, *, watching_since: datetime, is_waiting: bool, is_busy: bool = False
) -> Move:
    """Decide what a job that is due since `job.next_due` starts.

    A slot from before `watching_since` was missed: Kala was down, the job disabled, or the clock jumped. Where a slot
    already waits for the run before it to end, one that comes due on time is part of it. `is_busy` says that a run of
    the job is queued or running.
    """
    since = job.slot
    assert job.next_due is not None
    assert since is not None
    spec = job.spec
    if not spec.schedule:
        return Move(_planned(job, zone, None, None), (job.next_due,))
    plan = plan_of(spec, zone)
    until = due_until(job, plan, since, now)
    makes_up_for_all = spec.missed is Missed.ALL
    if is_waiting and not (makes_up_for_all and job.next_due < watching_since):
        return Move(_advanced(job, plan, zone, until, []))
    count, newest = plan.due(since, until, spec.missed_limit if makes_up_for_all else 1)
    # A slot waits for those before it, also where its own delay is shorter.
    dues = accumulate((due_at(job, slot) for slot in newest), max)
    slots = [slot for slot, due in zip(newest, dues, strict=True) if _is_in_time(spec, due, now, watching_since)]
    missed = _missed(plan, since, newest, count, len(slots))
    slots, skipped = _skip_overlapping(spec, slots, is_busy=is_busy)
    if plan.runs is not None and job.slots_started + len(slots) >= plan.runs:
        # The schedule ends with the last run that it asks for: what comes after that is no slot of it.
        slots = slots[: plan.runs - job.slots_started]
        skipped = [slot for slot in skipped if slots and slot < slots[-1]]
    return Move(_advanced(job, plan, zone, until, slots), tuple(slots), missed, tuple(skipped))


def _advanced(job: Job, plan: Schedule, zone: tzinfo, until: datetime, slots: list[datetime]) -> Job:
    """The job when all slots until an instant are claimed, and these of them start."""
    started = job.slots_started + len(slots)
    last_wall = plan.wall_time(slots[-1]) if slots and not plan.is_elapsed else job.last_wall
    job = replace(job, slots_started=started, last_wall=last_wall)
    if plan.runs is not None and started >= plan.runs:
        return _planned(job, zone, None, None, plan)
    return _planned(job, zone, plan.next_after(until), until, plan)


def as_started(move: Move, started: int, zone: tzinfo, now: datetime) -> Job:
    """The job of a move of whose slots only so many found room to start; the others count for no repeat."""
    job = move.job
    if started == len(move.slots):
        return job
    job = replace(job, slots_started=job.slots_started - len(move.slots) + started)
    if not job.spec.schedule:
        return _planned(job, zone, None, now)
    plan = plan_of(job.spec, zone)
    until = due_until(job, plan, move.slots[-1], now)
    return _planned(job, zone, plan.next_after(until), until)


def _skip_overlapping(spec: Spec, slots: list[datetime], *, is_busy: bool) -> tuple[list[datetime], list[datetime]]:
    """The slots that start, and those that do not, and so count for no repeat."""
    if not is_busy and len(slots) <= 1:
        return slots, []
    if spec.overlap is Overlap.REPLACE:
        return slots[-1:], slots[:-1]
    starts = [admit(spec, is_busy=is_busy or place > 0) is not Admission.SKIP for place in range(len(slots))]
    return slots[: sum(starts)], slots[sum(starts) :]


def _is_in_time(spec: Spec, due: datetime, now: datetime, watching_since: datetime) -> bool:
    if spec.missed is Missed.SKIP and due < watching_since:
        return False
    return not spec.start_deadline or _is_within(spec.start_deadline, due, now)


def _missed(plan: Schedule, since: datetime, newest: list[datetime], count: int, taken: int) -> MissedSlots | None:
    if count == taken:
        return None
    older = len(newest) - taken
    # Where a zone leaves out a day, the slot of that day and the one after are the same instant.
    last = newest[older - 1] if older else (plan.due(since, newest[0] - _MOMENT, 1)[1] or newest)[0]
    return MissedSlots(count - taken, plan.next_after(since - _MOMENT) or since, last)


def admit(spec: Spec, *, is_busy: bool) -> Admission:
    """Decide about a new run of a job; `is_busy` says that another one is queued or running."""
    return _WHILE_BUSY[spec.overlap] if is_busy else Admission.START


def waiting_for_turn(spec: Spec, *, is_busy: bool) -> Waiting:
    """Return what a queued run waits for that is neither skipped nor replaces another: a retry whose time has come."""
    return Waiting.JOB if is_busy and spec.runs_alone else Waiting.WORKER


def shares_queued_run(spec: Spec) -> bool:
    """Whether a parent or a failure needs no new run where one that is queued came about alike.

    What the new run would do, the queued one does; otherwise a few jobs could make any number of runs.
    """
    return spec.overlap in (Overlap.WAIT, Overlap.ALLOW)


def cancelled_if_asked(outcome: Outcome, reason: str | None) -> Outcome:
    """Count a run as cancelled that was failing by itself when it was asked to end: nobody wants a retry of it."""
    if reason is None or outcome.state not in FAILURES:
        return outcome
    return replace(outcome, state=State.CANCELLED, message=reason)


def follow(spec: Spec, run: Run, now: datetime) -> Follow:
    """What a finished run leads to, by the job as it is now."""
    state = run.outcome.state if run.outcome else run.state
    if state is State.SUCCEEDED:
        return Follow(children=True)
    if state not in FAILURES:
        return Follow()
    retry_at = _retry_at(spec, run, now)
    return Follow(retry_at=retry_at) if retry_at else give_up(spec)


def give_up(spec: Spec) -> Follow:
    """What a failed run leads to that is not tried again."""
    return Follow(on_failure=bool(spec.on_failure_job))


def _retry_at(spec: Spec, run: Run, now: datetime) -> datetime | None:
    if spec.disabled or run.attempt >= spec.retries:
        return None
    if spec.retry_on and (run.outcome is None or run.outcome.exit_code not in spec.retry_on):
        return None
    at = now + _retry_delay(spec, run.attempt, now)
    return at if not spec.epsilon or _is_within(spec.epsilon, run.due_at, at) else None


def _retry_delay(spec: Spec, attempt: int, now: datetime) -> timedelta:
    """How long to wait before the retry of an attempt.

    It is `retry_delay`, grown by `retry_backoff` for each attempt before; after some attempts at least a second, so
    that a job with many retries and no delay does not keep a processor busy.
    """
    least = _LEAST_DELAY if attempt + 1 >= RETRIES_AT_ONCE else timedelta()
    return max(_delay_as_given(spec, attempt, now), least)


def _delay_as_given(spec: Spec, attempt: int, now: datetime) -> timedelta:
    if not spec.retry_delay:
        return timedelta()
    first = _after(spec.retry_delay, now) - now
    most = _after(spec.retry_max_delay or _LONGEST_DELAY, now) - now
    try:
        return min(first * spec.retry_backoff**attempt, most)
    except OverflowError:
        return most


def _is_within(length: str, start: datetime, instant: datetime) -> bool:
    return instant <= _after(length, start)


def _after(length: str, start: datetime) -> datetime:
    return duration.parse(length, "").after_clamped(start)


def take_turns(some: Iterable[Run], others: Iterable[Run]) -> Iterator[Run]:
    """The runs of two queues, those of higher priority first; of equal ones one of each in turn, `some` first."""
    mine, theirs = deque(some), deque(others)
    while mine and theirs:
        if mine[0].priority < theirs[0].priority:
            yield theirs.popleft()
        else:
            is_tie = mine[0].priority == theirs[0].priority
            yield mine.popleft()
            if is_tie:
                mine, theirs = theirs, mine
    yield from mine or theirs


def comes_again(job: Job) -> bool:
    """Whether a job none of whose runs is queued or running is still to run: by itself, or as it is meant to be."""
    return job.next_due is not None or bool(job.spec.parents) or job.spec.schedule.lower() in (AT_BOOT, MANUAL)
