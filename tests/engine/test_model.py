"""The runs that Kala makes are exactly those that a slow, obvious model of docs/jobs.md predicts.

Times are minutes of Kala's clock, which can be set; a zone is its offset from UTC in minutes. There are enough workers
that the model can look at each job alone.
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


class ModelRun:
    """A run. It waits for its `turn`, then for a `worker`; or for its `time`, or until its job is `enabled`."""

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


class ModelJob:
    """A job, by the model."""

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
        self.is_enabled = not rules["disabled"]
        self.runs: list[ModelRun] = []
        self.children: list[ModelJob] = []
        self.cleaner: ModelJob | None = None

    @property
    def east(self) -> int:
        """The offset of the zone in which START is read."""
        return self.offset if self.rules["is_local"] else 0

    def grid(self) -> list[int]:
        """Return all slots of the schedule, in the current zone."""
        start = self.wall - self.east
        numbers = range(1 if self.rules["repeats"] == 0 else FOR_EVER)
        return [start + self.rules["every"] * number for number in numbers]

    def set_zone(self, offset: int) -> bool:
        """Keep times of day; continue elapsed time after the claimed slots. Return whether the slots have moved."""
        before, is_other = self.grid(), offset != self.offset
        self.offset = offset
        if not (is_other and self.is_planned and self.rules["is_local"] and self.slots):
            return False
        if self.is_elapsed:
            self.slots = [slot for slot in self.grid() if slot > self.claimed_until]
        else:
            self.slots = self.grid()[before.index(self.slots[0]) :]
        return True

    def set_clock_back(self, by: int, now: int) -> None:
        if not self.is_planned or not self.left or self.claimed_until <= now:
            return
        later = [slot for slot in self.grid() if slot > now]
        if not self.is_elapsed and by <= CORRECTION and self.last_wall is not None:
            later = [slot for slot in later if slot > self.last_wall - self.east]
        first = min([*self.slots[:1], *later[:1]], default=None)
        self.slots = [] if first is None else [slot for slot in self.grid() if slot >= first]
        self.claimed_until = now

    def runs_in(self, state: str, *waits: str) -> list[ModelRun]:
        return [run for run in self.runs if run.state == state and (not waits or run.waits_for in waits)]

    @property
    def is_busy(self) -> bool:
        """A retry that waits for its time blocks no other run."""
        return bool(self.runs_in("running") or [run for run in self.runs_in("queued") if run.waits_for != "time"])

    @property
    def is_active(self) -> bool:
        return bool(self.runs_in("running") or self.runs_in("queued", "worker"))

    def add(self, run: ModelRun) -> ModelRun:
        self.runs.append(run)
        overlap = self.rules["overlap"]
        if overlap == "allow" or not self.is_busy_without(run):
            run.state = "running"
            return run
        if overlap == "skip":
            run.state = "skipped"
            return run
        if overlap == "replace":
            for other in self.runs_in("running"):
                other.is_asked_to_end = True
            for other in self.runs_in("queued"):
                other.state = "cancelled" if other is not run else other.state
        if self.is_busy_without(run):
            run.waits_for = "turn"
        else:
            run.state = "running"
        return run

    def is_busy_without(self, run: ModelRun) -> bool:
        self.runs.remove(run)
        found = self.is_busy
        self.runs.append(run)
        return found

    def release_next(self) -> None:
        for run in self.runs_in("queued", "turn")[:1]:
            run.waits_for = "worker"

    def end(self, run: ModelRun, state: str, now: int) -> None:
        if run.is_asked_to_end and state in ("failed", "timed_out"):
            state = "cancelled"
        run.state = state
        if state in ("failed", "timed_out") and self.add_retry(run, now):
            return
        self.release_next()
        if state == "succeeded":
            for child in self.children:
                child.queue_once("parent", now)
        elif state in ("failed", "timed_out") and self.cleaner:
            self.cleaner.queue_once("failure", now)

    def queue_once(self, cause: str, now: int) -> None:
        """Add a run, unless one with the same cause is queued."""
        waits = [run for run in self.runs_in("queued") if run.cause == cause]
        if self.is_enabled and not (waits and self.rules["overlap"] in ("wait", "allow")):
            self.add(ModelRun(cause, None, now))

    def add_retry(self, run: ModelRun, now: int) -> bool:
        at = now + min(self.rules["delay"] * 2**run.attempt, self.rules["longest_delay"])
        in_time = self.rules["epsilon"] is None or at - run.due <= self.rules["epsilon"]
        if not self.is_enabled or run.attempt >= self.rules["retries"] or not in_time:
            return False
        retry = ModelRun("retry", run.slot, run.due, run.attempt + 1)
        retry.queued = now
        self.runs.append(retry)
        if at == now:
            retry.state = "running"
        else:
            retry.waits_for, retry.not_before = "time", at
            self.release_next()
        return True

    def advance(self, now: int, watching_since: int) -> None:
        """Claim due slots first, so that they can collapse into queued runs, or replace them."""
        if not self.is_enabled:
            return
        self.pass_slots(now, watching_since)
        for run in sorted(self.runs_in("queued", "time"), key=lambda run: run.not_before):
            if run.not_before <= now:
                may_run = self.rules["overlap"] == "allow" or not self.is_busy
                run.waits_for = "worker" if may_run else "turn"
        for run in self.runs_in("queued", "worker"):
            run.state = "running"

    def pass_slots(self, now: int, watching_since: int) -> None:
        passed = [slot for slot in self.slots if slot <= now]
        self.slots = [slot for slot in self.slots if slot > now]
        if not passed:
            return
        self.claimed_until = now
        if self.cause == "schedule":
            passed = self.slots_to_run(passed, now, watching_since)
        replaced = passed[:-1] if self.rules["overlap"] == "replace" else []
        for slot in passed[len(replaced) :]:
            if self.left and self.add(ModelRun(self.cause, slot, slot)).state != "skipped":
                self.left -= 1
                self.last_wall = slot + self.east
        self.runs += [ModelRun(self.cause, slot, slot, state="skipped") for slot in replaced]
        if not self.left:
            self.slots = []

    def slots_to_run(self, passed: list[int], now: int, watching_since: int) -> list[int]:
        missed, deadline = self.rules["missed"], self.rules["deadline"]
        a_slot_waits = [run for run in self.runs_in("queued") if run.cause == "schedule"]
        are_kept_apart = missed == "all" and passed[0] < watching_since
        if self.rules["overlap"] == "wait" and a_slot_waits and not are_kept_apart:
            return []
        chosen = passed[-self.rules["limit"] :] if missed == "all" else passed[-1:]
        if missed == "skip":
            chosen = [slot for slot in chosen if slot >= watching_since]
        if deadline is not None:
            chosen = [slot for slot in chosen if now - slot <= deadline]
        left_out = [slot for slot in passed if slot not in chosen]
        if left_out:
            self.runs.append(ModelRun("schedule", left_out[-1], left_out[-1], state="skipped"))
            self.runs[-1].missed = len(left_out)
        return chosen

    def cancel(self, run: ModelRun) -> None:
        run.state = "cancelled"
        if not self.is_active:
            self.release_next()

    def set_enabled(self, is_enabled: bool, now: int) -> None:
        was_enabled, self.is_enabled = self.is_enabled, is_enabled
        for run in self.runs_in("queued"):
            if not is_enabled:
                run.waits_for = "enabled"
            elif not was_enabled:
                run.waits_for = "turn" if run.not_before is None else "time"
        if is_enabled and not was_enabled:
            if not self.is_active:
                self.release_next()
            self.pass_slots(now, watching_since=now)

    def lose_running(self, now: int) -> None:
        for run in self.runs_in("running"):
            self.end(run, "lost", now)


class Machine(RuleBasedStateMachine):
    """Kala, and the model of each of its jobs."""

    def __init__(self, new_kala: Callable) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.kala = self._stack.enter_context(new_kala(workers=1000))
        self.began = self.kala.now
        self.watching_since = self.looked_at = self.latest = 0
        self.offset = 0
        self.jobs: dict[str, ModelJob] = {}

    def teardown(self) -> None:
        self._stack.close()

    @property
    def now(self) -> int:
        return (self.kala.now - self.began) // MINUTE

    def minute(self, instant) -> int | None:
        return instant and (instant - self.began) // MINUTE

    def as_model(self, run: Run) -> str:
        actual = ModelRun(run.cause.value, self.minute(run.slot), 0, run.attempt, run.state.value)
        counted = COUNTED.match(run.outcome.message) if run.outcome else None
        actual.missed = int(counted[1]) if counted else 0
        return repr(actual)

    @invariant()
    def the_runs_are_those_that_the_model_predicts(self):
        for job_id, job in self.jobs.items():
            assert [self.as_model(run) for run in self.kala.runs(job_id)] == [repr(run) for run in job.runs]

    @invariant()
    def a_job_is_done_when_the_model_predicts_it(self):
        for job_id, job in self.jobs.items():
            comes_again = bool(job.slots) or job.rules["has_parent"]
            has_live = job.runs_in("running") or job.runs_in("queued")
            # A job that is done stays done while a manual run is running.
            assert has_live or self.kala.job(job_id).is_done is not comes_again
            assert not (comes_again and self.kala.job(job_id).is_done)

    def after_step(self) -> None:
        """Do what each step of the engine does."""
        has_gap = self.now - self.looked_at > 1
        self.watching_since = self.now if has_gap else min(self.watching_since, self.now)
        self.looked_at = self.now
        self.latest = max(self.latest, self.now)
        for job in self.jobs.values():
            job.advance(self.now, self.watching_since)

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
        expected = ModelJob(self.now, self.offset, **rules)
        job_id = self.kala.create(parents=(parent,) if parent else (), on_failure_job=cleaner, **fields(self, rules))
        self.jobs[job_id] = expected
        expected.cleaner = self.jobs.get(cleaner)
        if parent:
            self.jobs[parent].children.append(expected)
        self.after_step()

    def leads_to(self, start: str, goal: str) -> bool:
        """Return whether a run of `start` can lead to a run of `goal`."""
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
        assert isinstance(answer.exception(), Conflict) is not job.is_enabled
        if job.is_enabled:
            job.add(ModelRun("manual", None, self.now))
        self.after_step()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), disabled=st.booleans())
    def disable_or_enable(self, data, disabled):
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        self.kala.update(job_id, disabled=disabled)
        self.jobs[job_id].set_enabled(not disabled, self.now)
        self.after_step()

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed", "timed_out", "cancelled"]))
    def a_run_ends(self, data, state):
        job, expected, run = data.draw(st.sampled_from(self.any_in("running")))
        self.kala.step(self.kala.end_of(run.id, State(state)))
        job.end(expected, state, self.now)
        self.after_step()

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data())
    def cancel_a_queued_run(self, data):
        job, expected, run = data.draw(st.sampled_from(self.any_in("queued")))
        self.kala.ask(CancelRun(run.id))
        job.cancel(expected)
        self.after_step()

    def any_in(self, state: str) -> list[tuple[ModelJob, ModelRun, Run]]:
        pairs = [
            (job, expected, run)
            for job_id, job in self.jobs.items()
            for expected, run in zip(job.runs, self.kala.runs(job_id), strict=True)
        ]
        return [(job, expected, run) for job, expected, run in pairs if expected.state == state]

    @rule(passed=st.sampled_from([1, 1, 1, 2, 3, 5, 10, 60, 200]))
    def time_passes(self, passed):
        self.kala.passes(minutes=passed)
        self.after_step()

    @rule(by=st.sampled_from([1, 2, 10, 60, 179, 181, 600]))
    def the_clock_is_set_back(self, by):
        self.kala.passes(minutes=-by)
        by = self.latest - self.now
        if by > 1:
            self.latest = self.now
            for run in self.retries():
                run.not_before -= by
            self.replan(self.offset, by)
        self.after_step()

    @rule(offset=st.sampled_from([0, 60, 330, -300]), passed=st.sampled_from([0, 1, 10]))
    def the_zone_changes(self, offset, passed):
        self.kala.zone = timezone(offset * MINUTE)
        self.kala.passes(minutes=passed)
        self.replan(offset, 0)
        self.after_step()

    @rule(down=st.sampled_from([0, 1, 3, 10, 60, -1, -2, -60, -600]), offset=st.sampled_from([0, 0, 330, -300]))
    def kala_restarts(self, down, offset):
        self.kala.zone = timezone(offset * MINUTE)
        self.kala.restart(minutes=down)
        self.watching_since = self.looked_at = self.latest = self.now
        for run in self.retries():
            if run.queued > self.now + 1:
                run.not_before += self.now - run.queued
        for job in self.jobs.values():
            job.lose_running(self.now)
        claimed = [job.claimed_until for job in self.jobs.values() if job.is_planned and job.left]
        set_back = max(claimed, default=self.now) - self.now
        if set_back <= 1:
            self.latest, set_back = max(self.now, self.now + set_back), 0
        self.replan(offset, set_back)
        self.after_step()

    def retries(self) -> list[ModelRun]:
        runs = [run for job in self.jobs.values() for run in job.runs_in("queued")]
        return [run for run in runs if run.not_before is not None]

    def replan(self, offset: int, set_back: int) -> None:
        self.offset = offset
        for job in self.jobs.values():
            is_moved = job.set_zone(offset)
            if set_back:
                job.set_clock_back(set_back, self.now)
            if is_moved and job.is_enabled:
                job.pass_slots(self.now, watching_since=self.now)


def fields(machine: Machine, rules: dict) -> dict[str, object]:
    """Return the rules as the fields of a job."""
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


def test_the_runs_of_every_job_are_those_that_the_model_predicts(kala_per_example):
    run_state_machine_as_test(lambda: Machine(kala_per_example), settings=effort(25, stateful_step_count=30))
