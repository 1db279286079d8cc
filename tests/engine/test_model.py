"""The runs that Kala makes are those that a slow and obvious reading of docs/jobs.md foretells, one by one.

Time is counted in minutes, of Kala's clock, which can be set; zones are so many minutes east of UTC. There are workers
enough, so that each job can be told by itself.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta, timezone

from effort import effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kala.core.errors import Conflict
from kala.core.job import Missed, Overlap
from kala.core.run import Run, State
from kala.engine.messages import CancelRun, StartJob

MINUTE = timedelta(minutes=1)
JOBS = 4
FOR_EVER = 3000
DAY, CORRECTION = 24 * 60, 3 * 60
ENUMS = {"overlap": Overlap, "missed": Missed}
COUNTED = re.compile(r"(\d+) missed slots? skipped, ")


class Told:
    """A run. It waits for its `turn`, then for a `worker`; or for its `time`, or until its job is `able`."""

    def __init__(self, cause: str, slot: int | None, due: int, attempt: int = 0, state: str = "queued") -> None:
        self.cause, self.slot, self.due, self.attempt, self.state = cause, slot, due, attempt, state
        self.waits_for = ""
        self.queued = 0
        self.not_before: int | None = None
        self.missed = 0
        self.is_asked_to_end = False

    def __repr__(self) -> str:
        missed = f" of {self.missed}" if self.missed else ""
        return f"{self.cause} for {self.slot}, attempt {self.attempt}: {self.state}{missed}"


class Foretold:
    """What a job means."""

    def __init__(self, now: int, offset: int, **rules: object) -> None:
        self.rules = rules
        repeats = rules["repeats"]
        count = FOR_EVER if repeats is None else repeats + 1
        self.is_elapsed = rules["every"] < DAY and repeats != 0
        self.is_planned = rules["has_schedule"] and not rules["has_parent"]
        self.offset = offset
        self.wall = rules["start"] + self.east
        self.slots = self.grid()
        self.claimed_until = now
        self.last_wall: int | None = None
        self.left, self.cause = count, "schedule"
        if rules["has_parent"]:
            self.slots = []
        elif not rules["has_schedule"]:
            self.slots, self.left, self.cause = [now], 1, "creation"
        self.is_able = not rules["disabled"]
        self.runs: list[Told] = []
        self.children: list[Foretold] = []
        self.cleaner: Foretold | None = None

    @property
    def east(self) -> int:
        """How far east of UTC START is read."""
        return self.offset if self.rules["is_local"] else 0

    def grid(self) -> list[int]:
        """All slots of the schedule, in the zone as it is."""
        start = self.wall - self.east
        numbers = range(1 if self.rules["repeats"] == 0 else FOR_EVER)
        return [start + self.rules["every"] * number for number in numbers]

    def zone_is(self, offset: int) -> bool:
        """A time of day stays what it is; elapsed time goes on from where slots were claimed. Whether it moves."""
        before, is_other = self.grid(), offset != self.offset
        self.offset = offset
        if not (is_other and self.is_planned and self.rules["is_local"] and self.slots):
            return False
        if self.is_elapsed:
            self.slots = [slot for slot in self.grid() if slot > self.claimed_until]
        else:
            self.slots = self.grid()[before.index(self.slots[0]) :]
        return True

    def clock_is_set_back(self, by: int, now: int) -> None:
        if not self.is_planned or not self.left or self.claimed_until <= now:
            return
        comes = [slot for slot in self.grid() if slot > now]
        if not self.is_elapsed and by <= CORRECTION and self.last_wall is not None:
            comes = [slot for slot in comes if slot > self.last_wall - self.east]
        first = min([*self.slots[:1], *comes[:1]], default=None)
        self.slots = [] if first is None else [slot for slot in self.grid() if slot >= first]
        self.claimed_until = now

    def those(self, state: str, *waits: str) -> list[Told]:
        return [run for run in self.runs if run.state == state and (not waits or run.waits_for in waits)]

    @property
    def has_run_in_the_way(self) -> bool:
        """A retry that waits for its time is in nobody's way."""
        return bool(self.those("running") or [run for run in self.those("queued") if run.waits_for != "time"])

    @property
    def is_under_way(self) -> bool:
        return bool(self.those("running") or self.those("queued", "worker"))

    def comes(self, run: Told) -> Told:
        self.runs.append(run)
        overlap = self.rules["overlap"]
        if overlap == "allow" or not self.has_run_in_the_way_of(run):
            run.state = "running"
            return run
        if overlap == "skip":
            run.state = "skipped"
            return run
        if overlap == "replace":
            for other in self.those("running"):
                other.is_asked_to_end = True
            for other in self.those("queued"):
                other.state = "cancelled" if other is not run else other.state
        if self.has_run_in_the_way_of(run):
            run.waits_for = "turn"
        else:
            run.state = "running"
        return run

    def has_run_in_the_way_of(self, run: Told) -> bool:
        self.runs.remove(run)
        found = self.has_run_in_the_way
        self.runs.append(run)
        return found

    def next_takes_its_turn(self) -> None:
        for run in self.those("queued", "turn")[:1]:
            run.waits_for = "worker"

    def ends(self, run: Told, state: str, now: int) -> None:
        if run.is_asked_to_end and state in ("failed", "timed_out"):
            state = "cancelled"
        run.state = state
        if state in ("failed", "timed_out") and self.is_tried_again(run, now):
            return
        self.next_takes_its_turn()
        if state == "succeeded":
            for child in self.children:
                child.follows("parent", now)
        elif state in ("failed", "timed_out") and self.cleaner:
            self.cleaner.follows("failure", now)

    def follows(self, cause: str, now: int) -> None:
        """Where one that came about alike waits still, that one is enough."""
        waits = [run for run in self.those("queued") if run.cause == cause]
        if self.is_able and not (waits and self.rules["overlap"] in ("wait", "allow")):
            self.comes(Told(cause, None, now))

    def is_tried_again(self, run: Told, now: int) -> bool:
        at = now + min(self.rules["delay"] * 2**run.attempt, self.rules["longest_delay"])
        in_time = self.rules["epsilon"] is None or at - run.due <= self.rules["epsilon"]
        if not self.is_able or run.attempt >= self.rules["retries"] or not in_time:
            return False
        retry = Told("retry", run.slot, run.due, run.attempt + 1)
        retry.queued = now
        self.runs.append(retry)
        if at == now:
            retry.state = "running"
        else:
            retry.waits_for, retry.not_before = "time", at
            self.next_takes_its_turn()
        return True

    def time_is(self, now: int, watched_since: int) -> None:
        """What is due comes first, so that it can become part of what has its turn, or replace it."""
        if not self.is_able:
            return
        self.slots_pass(now, watched_since)
        for run in sorted(self.those("queued", "time"), key=lambda run: run.not_before):
            if run.not_before <= now:
                has_way = self.rules["overlap"] == "allow" or not self.has_run_in_the_way
                run.waits_for = "worker" if has_way else "turn"
        for run in self.those("queued", "worker"):
            run.state = "running"

    def slots_pass(self, now: int, watched_since: int) -> None:
        passed = [slot for slot in self.slots if slot <= now]
        self.slots = [slot for slot in self.slots if slot > now]
        if not passed:
            return
        self.claimed_until = now
        if self.cause == "schedule":
            passed = self.made_up_for(passed, now, watched_since)
        replaced = passed[:-1] if self.rules["overlap"] == "replace" else []
        for slot in passed[len(replaced) :]:
            if self.left and self.comes(Told(self.cause, slot, slot)).state != "skipped":
                self.left -= 1
                self.last_wall = slot + self.east
        self.runs += [Told(self.cause, slot, slot, state="skipped") for slot in replaced]
        if not self.left:
            self.slots = []

    def made_up_for(self, passed: list[int], now: int, watched_since: int) -> list[int]:
        missed, deadline = self.rules["missed"], self.rules["deadline"]
        a_slot_waits = [run for run in self.those("queued") if run.cause == "schedule"]
        are_kept_apart = missed == "all" and passed[0] < watched_since
        if self.rules["overlap"] == "wait" and a_slot_waits and not are_kept_apart:
            return []
        chosen = passed[-self.rules["limit"] :] if missed == "all" else passed[-1:]
        if missed == "skip":
            chosen = [slot for slot in chosen if slot >= watched_since]
        if deadline is not None:
            chosen = [slot for slot in chosen if now - slot <= deadline]
        left_out = [slot for slot in passed if slot not in chosen]
        if left_out:
            self.runs.append(Told("schedule", left_out[-1], left_out[-1], state="skipped"))
            self.runs[-1].missed = len(left_out)
        return chosen

    def is_cancelled(self, run: Told) -> None:
        run.state = "cancelled"
        if not self.is_under_way:
            self.next_takes_its_turn()

    def becomes(self, is_able: bool, now: int) -> None:
        was_able, self.is_able = self.is_able, is_able
        for run in self.those("queued"):
            if not is_able:
                run.waits_for = "able"
            elif not was_able:
                run.waits_for = "turn" if run.not_before is None else "time"
        if is_able and not was_able:
            if not self.is_under_way:
                self.next_takes_its_turn()
            self.slots_pass(now, watched_since=now)

    def is_lost(self, now: int) -> None:
        for run in self.those("running"):
            self.ends(run, "lost", now)


class Machine(RuleBasedStateMachine):
    """A Kala, and beside it what is foretold of each of its jobs."""

    def __init__(self, new_kala: Callable) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.kala = self._stack.enter_context(new_kala(workers=1000))
        self.began = self.kala.now
        self.watched_since = self.looked_at = self.latest = 0
        self.offset = 0
        self.jobs: dict[str, Foretold] = {}

    def teardown(self) -> None:
        self._stack.close()

    @property
    def now(self) -> int:
        return (self.kala.now - self.began) // MINUTE

    def minute(self, instant) -> int | None:
        return instant and (instant - self.began) // MINUTE

    def as_told(self, run: Run) -> str:
        told = Told(run.cause.value, self.minute(run.slot), 0, run.attempt, run.state.value)
        counted = COUNTED.match(run.outcome.message) if run.outcome else None
        told.missed = int(counted[1]) if counted else 0
        return repr(told)

    @invariant()
    def the_runs_are_those_that_were_foretold(self):
        for job_id, job in self.jobs.items():
            assert [self.as_told(run) for run in self.kala.runs(job_id)] == [repr(run) for run in job.runs]

    @invariant()
    def a_job_is_done_when_it_was_foretold(self):
        for job_id, job in self.jobs.items():
            comes_again = bool(job.slots) or job.rules["has_parent"]
            has_live = job.those("running") or job.those("queued")
            # A start by hand does not undo that a job is done.
            assert has_live or self.kala.job(job_id).is_done is not comes_again
            assert not (comes_again and self.kala.job(job_id).is_done)

    def time_is_now(self) -> None:
        """What a step does, however it came about."""
        has_gap = self.now - self.looked_at > 1
        self.watched_since = self.now if has_gap else min(self.watched_since, self.now)
        self.looked_at = self.now
        self.latest = max(self.latest, self.now)
        for job in self.jobs.values():
            job.time_is(self.now, self.watched_since)

    @precondition(lambda self: len(self.jobs) < JOBS)
    @rule(
        data=st.data(),
        start=st.integers(1, 20),
        rules=st.fixed_dictionaries(
            {
                "has_schedule": st.sampled_from([True, True, False]),
                "every": st.sampled_from([1, 2, 7, 60, DAY]),
                "is_local": st.booleans(),
                "repeats": st.sampled_from([None, None, 0, 1, 2, 5]),
                "overlap": st.sampled_from(["wait", "skip", "allow", "replace"]),
                "missed": st.sampled_from(["once", "skip", "all"]),
                "limit": st.integers(1, 4),
                "deadline": st.none() | st.integers(0, 9),
                "retries": st.integers(0, 2),
                "delay": st.sampled_from([0, 0, 1, 5]),
                "longest_delay": st.sampled_from([1, 5, 7]),
                "epsilon": st.none() | st.integers(0, 20),
                "disabled": st.sampled_from([False, False, True]),
            }
        ),
    )
    def create(self, data, start, rules):
        parent = data.draw(st.sampled_from(["", *self.jobs])) if not rules["has_schedule"] else ""
        cleaner = data.draw(st.sampled_from(["", *self.jobs]))
        if cleaner and self.leads_to(cleaner, parent):
            cleaner = ""
        rules = rules | {"start": self.now + start, "has_parent": bool(parent)}
        told = Foretold(self.now, self.offset, **rules)
        job_id = self.kala.create(parents=(parent,) if parent else (), on_failure_job=cleaner, **fields(self, rules))
        self.jobs[job_id] = told
        told.cleaner = self.jobs.get(cleaner)
        if parent:
            self.jobs[parent].children.append(told)
        self.time_is_now()

    def leads_to(self, start: str, goal: str) -> bool:
        """Whether the run of a job can lead to one of another."""
        seen, todo = set(), [self.jobs[start]]
        while todo:
            job = todo.pop()
            seen.add(id(job))
            todo += [one for one in [*job.children, job.cleaner] if one and id(one) not in seen]
        return bool(goal) and id(self.jobs[goal]) in seen

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def start(self, data):
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        [answer] = self.kala.step(StartJob(job_id))
        assert isinstance(answer.exception(), Conflict) is not job.is_able
        if job.is_able:
            job.comes(Told("manual", None, self.now))
        self.time_is_now()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), disabled=st.booleans())
    def disable_or_enable(self, data, disabled):
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        self.kala.update(job_id, disabled=disabled)
        self.jobs[job_id].becomes(not disabled, self.now)
        self.time_is_now()

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed", "timed_out", "cancelled"]))
    def a_run_ends(self, data, state):
        job, told, run = data.draw(st.sampled_from(self.any_in("running")))
        self.kala.step(self.kala.end_of(run.id, State(state)))
        job.ends(told, state, self.now)
        self.time_is_now()

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data())
    def cancel_what_is_queued(self, data):
        job, told, run = data.draw(st.sampled_from(self.any_in("queued")))
        self.kala.ask(CancelRun(run.id))
        job.is_cancelled(told)
        self.time_is_now()

    def any_in(self, state: str) -> list[tuple[Foretold, Told, Run]]:
        pairs = [
            (job, told, run)
            for job_id, job in self.jobs.items()
            for told, run in zip(job.runs, self.kala.runs(job_id), strict=True)
        ]
        return [(job, told, run) for job, told, run in pairs if told.state == state]

    @rule(passed=st.sampled_from([1, 1, 1, 2, 3, 5, 10, 60, 200]))
    def time_passes(self, passed):
        self.kala.passes(minutes=passed)
        self.time_is_now()

    @rule(by=st.sampled_from([1, 2, 10, 60, 179, 181, 600]))
    def the_clock_is_set_back(self, by):
        self.kala.passes(minutes=-by)
        by = self.latest - self.now
        if by > 1:
            self.latest = self.now
            for run in self.retries():
                run.not_before -= by
            self.plans_are_made_again(self.offset, by)
        self.time_is_now()

    @rule(offset=st.sampled_from([0, 60, 330, -300]), passed=st.sampled_from([0, 1, 10]))
    def the_zone_changes(self, offset, passed):
        self.kala.zone = timezone(offset * MINUTE)
        self.kala.passes(minutes=passed)
        self.plans_are_made_again(offset, 0)
        self.time_is_now()

    @rule(down=st.sampled_from([0, 1, 3, 10, 60, -1, -2, -60, -600]), offset=st.sampled_from([0, 0, 330, -300]))
    def kala_dies(self, down, offset):
        self.kala.zone = timezone(offset * MINUTE)
        self.kala.restart(minutes=down)
        self.watched_since = self.looked_at = self.latest = self.now
        for run in self.retries():
            if run.queued > self.now + 1:
                run.not_before += self.now - run.queued
        for job in self.jobs.values():
            job.is_lost(self.now)
        claimed = [job.claimed_until for job in self.jobs.values() if job.is_planned and job.left]
        set_back = max(claimed, default=self.now) - self.now
        if set_back <= 1:
            self.latest, set_back = max(self.now, self.now + set_back), 0
        self.plans_are_made_again(offset, set_back)
        self.time_is_now()

    def retries(self) -> list[Told]:
        runs = [run for job in self.jobs.values() for run in job.those("queued")]
        return [run for run in runs if run.not_before is not None]

    def plans_are_made_again(self, offset: int, set_back: int) -> None:
        self.offset = offset
        for job in self.jobs.values():
            is_moved = job.zone_is(offset)
            if set_back:
                job.clock_is_set_back(set_back, self.now)
            if is_moved and job.is_able:
                job.slots_pass(self.now, watched_since=self.now)


def fields(machine: Machine, rules: dict) -> dict[str, object]:
    """The same rules as Kala has them."""
    start = (machine.began + rules["start"] * MINUTE).astimezone(machine.kala.zone)
    start = (start.replace(tzinfo=None) if rules["is_local"] else start).isoformat()
    repeats = "" if rules["repeats"] is None else rules["repeats"]
    interval = "P1D" if rules["every"] == DAY else f"PT{rules['every']}M"
    given = {
        "schedule": f"R{repeats}/{start}/{interval}" if rules["has_schedule"] else "",
        "overlap": rules["overlap"],
        "missed": rules["missed"],
        "missed_limit": rules["limit"],
        "start_deadline": "" if rules["deadline"] is None else f"PT{rules['deadline']}M",
        "retries": rules["retries"],
        "retry_delay": f"PT{rules['delay']}M" if rules["delay"] else "",
        "retry_backoff": 2.0,
        "retry_max_delay": f"PT{rules['longest_delay']}M",
        "epsilon": "" if rules["epsilon"] is None else f"PT{rules['epsilon']}M",
        "disabled": rules["disabled"],
    }
    return {name: ENUMS[name](value) if name in ENUMS else value for name, value in given.items()}


def test_the_runs_of_every_job_are_those_that_were_foretold(kala_of_its_own):
    run_state_machine_as_test(lambda: Machine(kala_of_its_own), settings=effort(25, stateful_step_count=30))
