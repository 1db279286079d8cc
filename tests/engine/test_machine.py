"""Random requests and crashes: no slot runs twice, no job overlaps with itself, and nothing is forgotten."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta

import msgspec
import pytest
from effort import effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kala.core.errors import Busy, Conflict, KalaError
from kala.core.job import Job, Missed, Overlap, ParentsMode, Spec
from kala.core.run import FAILURES, LED_TO, MOVES, Cause, Run, State
from kala.core.schedule import parse
from kala.engine.messages import (
    CancelRun,
    DeleteAllJobs,
    DeleteJob,
    DeleteRun,
    Message,
    ReconsiderPools,
    StartJob,
    UpdateJob,
)
from kala.store.job_filter import JobFilter

WORKERS = 2
JOBS = 4  # few, so that much happens to each of them
POOL = "disk"
MOMENT = timedelta(microseconds=1)


class View(msgspec.Struct):
    """What is on disk after a step, the deleted runs, and the runs that were given to workers.

    `size` is the size of the pool, or None without a limit.
    """

    now: datetime
    jobs: list[Job]
    runs: list[Run]
    given: list[int]
    size: int | None

    def of(self, state: State) -> list[Run]:
        return [run for run in self.runs if run.state is state]

    @property
    def ready(self) -> list[Run]:
        return [run for run in self.of(State.QUEUED) if not run.waiting]

    @property
    def held(self) -> list[Run]:
        return [run for run in self.of(State.QUEUED) if run.waiting == "pool"]

    @property
    def disabled(self) -> set[str]:
        return {job.id for job in self.jobs if job.spec.disabled}

    @property
    def overlapping(self) -> set[str]:
        return {job.id for job in self.jobs if job.spec.overlap is Overlap.ALLOW}


def no_slot_runs_twice(view: View) -> None:
    ran = [run for run in view.runs if run.slot and run.state is not State.SKIPPED]
    slots = Counter((run.job_id, run.slot, run.attempt) for run in ran)
    assert [slot for slot, times in slots.items() if times > 1] == []


def no_job_overlaps_with_itself(view: View) -> None:
    known = {job.id for job in view.jobs} - view.overlapping
    live = Counter(run.job_id for run in [*view.of(State.RUNNING), *view.ready, *view.held])
    assert [job for job, runs in live.items() if runs > 1 and job in known] == []


def no_run_waits_while_a_worker_is_free(view: View) -> None:
    assert len(view.of(State.RUNNING)) == WORKERS or not view.ready


def no_more_runs_than_workers(view: View) -> None:
    assert len(view.of(State.RUNNING)) <= WORKERS


def no_run_waits_for_a_pool_with_room(view: View) -> None:
    taken = [run for run in [*view.of(State.RUNNING), *view.ready] if run.pool == POOL]
    assert not view.held or (view.size is not None and len(taken) >= view.size)


def no_run_waits_for_nothing(view: View) -> None:
    before = {run.job_id for run in [*view.of(State.RUNNING), *view.ready, *view.held]}
    assert {run.job_id for run in view.of(State.QUEUED) if run.waiting == "job"} <= before | view.disabled


def no_run_waits_for_a_run_that_it_may_overlap(view: View) -> None:
    assert [run for run in view.of(State.QUEUED) if run.waiting == "job" and run.job_id in view.overlapping] == []


def each_running_run_was_given_to_a_worker_once(view: View) -> None:
    assert len(view.given) == len(set(view.given))
    assert {run.id for run in view.of(State.RUNNING)} <= set(view.given)


def counts_agree_with_the_history(view: View) -> None:
    retried = {run.cause_run for run in view.runs if run.cause is Cause.RETRY}
    for job in view.jobs:
        own = [run for run in view.runs if run.job_id == job.id]
        successes = sum(run.state is State.SUCCEEDED for run in own)
        failures = [run for run in own if run.state in FAILURES]
        finished = successes + sum(run.id not in retried for run in failures)
        assert (job.counts.successes, job.counts.errors, job.counts.finished) == (successes, len(failures), finished)


def a_job_is_done_exactly_when_nothing_is_planned(view: View) -> None:
    live = {run.job_id for run in view.runs if run.state in MOVES}
    for job in view.jobs:
        comes_again = job.next_due is not None or bool(job.spec.parents)
        assert not (job.is_done and comes_again)
        assert job.is_done or comes_again or job.id in live


def repeats_are_not_exceeded(view: View) -> None:
    for job in view.jobs:
        runs = parse(job.spec.schedule, view.now.tzinfo).runs if job.spec.schedule else None
        assert runs is None or job.slots_started <= runs


def no_enabled_job_is_overdue(view: View) -> None:
    assert [job for job in view.jobs if not job.spec.disabled and job.next_due and job.next_due <= view.now] == []


def a_finished_run_never_changes(before: View, after: View) -> None:
    runs = {run.id: run for run in after.runs}
    assert [run for run in before.runs if run.state not in MOVES and runs.get(run.id) != run] == []


def no_run_of_a_disabled_job_starts(before: View, after: View) -> None:
    # A run of a job that is disabled in this step may have started earlier in the step.
    disabled = before.disabled & after.disabled
    started = {run.id for run in before.runs if run.started_at}
    assert [run for run in after.runs if run.started_at and run.id not in started and run.job_id in disabled] == []


def no_pool_overflows(before: View, after: View) -> None:
    """Runs that are running stay when their pool gets smaller."""
    earlier, now = ([run for run in view.of(State.RUNNING) if run.pool == POOL] for view in (before, after))
    assert after.size is None or len(now) <= max(after.size, len(earlier))


def runs_start_by_priority_and_then_age(before: View, after: View) -> None:
    """Runs that other runs led to have an order of their own, as they take turns with all others."""
    waiting = {run.id for run in before.ready}
    for causes in (LED_TO, set(Cause) - LED_TO):
        ready = [run for run in after.ready if run.cause in causes]
        running = [run for run in after.of(State.RUNNING) if run.cause in causes]
        passed_over = [(-run.priority, run.id) for run in ready if run.id in waiting]
        started = [(-run.priority, run.id) for run in running if run.id not in before.given]
        assert not passed_over or not started or max(started) < min(passed_over)


PROMISES: list[Callable[[View], None]] = [
    no_slot_runs_twice,
    no_job_overlaps_with_itself,
    no_run_waits_while_a_worker_is_free,
    no_more_runs_than_workers,
    no_run_waits_for_a_pool_with_room,
    no_run_waits_for_nothing,
    no_run_waits_for_a_run_that_it_may_overlap,
    each_running_run_was_given_to_a_worker_once,
    counts_agree_with_the_history,
    a_job_is_done_exactly_when_nothing_is_planned,
    repeats_are_not_exceeded,
    no_enabled_job_is_overdue,
]


PROMISES_OF_A_STEP: list[Callable[[View, View], None]] = [
    a_finished_run_never_changes,
    no_run_of_a_disabled_job_starts,
    no_pool_overflows,
    runs_start_by_priority_and_then_age,
]


def enable(spec: Spec) -> Spec:
    return msgspec.structs.replace(spec, disabled=False)


def disable(spec: Spec) -> Spec:
    return msgspec.structs.replace(spec, disabled=True)


class Machine(RuleBasedStateMachine):
    """Requests, time and failures, in any order."""

    def __init__(self, new_kala) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.kala = self._stack.enter_context(new_kala(workers=WORKERS, **{POOL: 1}))
        self.latest = self.kala.now
        self.deleted: list[Run] = []
        self.before = self.view = self.look()

    def look(self) -> View:
        with self.kala.store.reading(()) as session:
            jobs = [job for _, job in session.jobs.search(JobFilter())]
        given = [run.id for run in self.kala.workers.given]
        return View(self.kala.now, jobs, [*self.deleted, *self.kala.runs()], given, self.kala.pools.get(POOL))

    def step(self, *messages: Message) -> None:
        """Send messages; each is carried out, or refused with a KalaError."""
        for answer in self.kala.step(*messages):
            assert isinstance(answer.exception(), KalaError | None)

    def teardown(self) -> None:
        with self._stack:
            self.every_queued_run_gets_its_turn()

    def every_queued_run_gets_its_turn(self) -> None:
        self.kala.pools.pop(POOL, None)
        self.step(ReconsiderPools())
        for job in self.kala.jobs():
            self.kala.enable(job)
        self.kala.now = max(self.latest, self.kala.now) + timedelta(hours=1)  # every retry has waited long enough
        self.kala.step()
        while running := self.look().of(State.RUNNING):
            self.kala.step(*[self.kala.end_of(run.id) for run in running])
        assert [run for run in self.kala.runs() if run.state in MOVES] == []

    @invariant()
    def every_promise_is_kept(self):
        self.before, self.view = self.view, self.look()
        for promise in PROMISES:
            promise(self.view)
        for promise in PROMISES_OF_A_STEP:
            promise(self.before, self.view)

    # Requests.

    @precondition(lambda self: len(self.view.jobs) < JOBS)
    @rule(
        data=st.data(),
        repeat=st.sampled_from(["", "R", "R0", "R1", "R2"]),
        minutes=st.sampled_from([7, 30, 60]),
        fields=st.fixed_dictionaries(
            {"retries": st.integers(0, 2)},
            optional={
                "disabled": st.just(True),
                "missed": st.sampled_from(Missed),
                "overlap": st.sampled_from(Overlap),
                "missed_limit": st.integers(1, 3),
                "start_deadline": st.sampled_from(["PT1S", "PT45M"]),
                "retry_delay": st.just("PT10M"),
                "retry_backoff": st.just(3.0),
                "retry_max_delay": st.just("PT20M"),
                "epsilon": st.sampled_from(["PT1S", "PT25M"]),
                "pool": st.just(POOL),
                "priority": st.integers(0, 1),
            },
        ),
    )
    def create(self, data, repeat, minutes, fields):
        if POOL not in self.kala.pools:
            fields.pop("pool", None)
        on_failure_job = data.draw(st.sampled_from(["", *self.kala.jobs()]))
        schedule = repeat and self.schedule(repeat, minutes)
        self.kala.create(schedule=schedule, on_failure_job=on_failure_job, **fields)

    def schedule(self, repeat: str, minutes: int) -> str:
        """Return a schedule that starts after all times so far, so that no slot repeats if the clock is set back."""
        self.latest = max(self.latest, self.kala.now)
        return f"{repeat}/{(self.latest + MOMENT).isoformat()}/PT{minutes}M"

    @precondition(lambda self: 0 < len(self.view.jobs) < JOBS)
    @rule(
        data=st.data(), retries=st.integers(0, 1), mode=st.sampled_from(ParentsMode), overlap=st.sampled_from(Overlap)
    )
    def create_child(self, data, retries, mode, overlap):
        parents = data.draw(st.lists(st.sampled_from(self.kala.jobs()), min_size=1, max_size=2, unique=True))
        self.kala.create(parents=tuple(parents), retries=retries, parents_mode=mode, overlap=overlap)

    @precondition(lambda self: self.view.jobs)
    @rule(data=st.data())
    def disable_or_enable(self, data):
        job = self.any_job(data)
        self.kala.update(job, disabled=not self.kala.job(job).spec.disabled)

    @precondition(lambda self: self.view.jobs)
    @rule(data=st.data(), repeat=st.sampled_from(["R", "R1"]))
    def change_schedule(self, data, repeat):
        self.kala.update(self.any_job(data), schedule=self.schedule(repeat, 30), parents=())

    @precondition(lambda self: self.view.jobs)
    @rule(data=st.data())
    def start_twice(self, data):
        job = self.any_job(data)
        answers = self.kala.step(StartJob(job), StartJob(job))
        is_refused = [isinstance(answer.exception(), Conflict) for answer in answers]
        assert is_refused == [self.kala.job(job).spec.disabled] * 2

    @precondition(lambda self: self.view.jobs)
    @rule(data=st.data())
    def delete(self, data):
        self.kala.delete(self.any_job(data))

    @precondition(lambda self: self.view.of(State.QUEUED))
    @rule(data=st.data())
    def cancel_a_queued_run(self, data):
        run = data.draw(st.sampled_from(self.view.of(State.QUEUED)))
        self.kala.ask(CancelRun(run.id))
        assert self.kala.run(run.id).state == "cancelled"

    @rule()
    def delete_all(self):
        self.step(DeleteAllJobs())
        assert self.kala.jobs() == []

    @precondition(lambda self: self.view.runs)
    @rule(data=st.data())
    def delete_a_run(self, data):
        run = data.draw(st.sampled_from(self.view.runs))
        self.step(DeleteRun(run.id))
        if run.state not in MOVES and run not in self.deleted:
            self.deleted.append(run)
        assert (self.kala.run(run.id) is None) == (run.state not in MOVES)

    @rule(size=st.sampled_from([0, 1, 2, None]))
    def the_size_of_the_pool_changes(self, size):
        self.kala.pools.pop(POOL, None)
        if size is not None:
            self.kala.pools[POOL] = size
        self.step(ReconsiderPools())

    @rule(data=st.data(), change=st.sampled_from([enable, disable]))
    def several_messages_in_a_step(self, data, change):
        self.step(*data.draw(st.lists(self.messages(change), min_size=2, max_size=5)))

    def messages(self, change: Callable[[Spec], Spec]) -> st.SearchStrategy[Message]:
        """Return a strategy for messages that can share a step. No job is enabled and disabled in the same step."""
        jobs, runs = st.sampled_from(self.kala.jobs() or ["none"]), st.sampled_from(self.view.runs or [None])
        ids = runs.map(lambda run: run.id if run else 0)
        ends = st.sampled_from([State.SUCCEEDED, State.FAILED])
        running = [run.id for run in self.view.of(State.RUNNING)]
        asked = [
            st.builds(StartJob, jobs),
            st.builds(UpdateJob, jobs, st.just(change)),
            st.builds(DeleteJob, jobs),
            st.builds(CancelRun, ids),
        ]
        if running:
            asked.append(st.builds(self.kala.end_of, st.sampled_from(running), ends))
        return st.one_of(asked)

    def any_job(self, data) -> str:
        """Draw a job; jobs with queued or running runs are more likely."""
        jobs = [job.id for job in self.view.jobs]
        live = [run.job_id for run in self.view.runs if run.state in MOVES and run.job_id in jobs]
        return data.draw(st.sampled_from([*jobs, *live]))

    # Time and failures.

    @rule(minutes=st.sampled_from([0.01, 1, 7, 30, 60, 200, 3000, -0.01, -90]))
    def time_passes(self, minutes):
        self.kala.passes(minutes=minutes)
        self.latest = max(self.latest, self.kala.now)

    @precondition(lambda self: self.view.of(State.RUNNING))
    @rule(data=st.data(), state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED]))
    def a_run_ends(self, data, state):
        run = data.draw(st.sampled_from(self.view.of(State.RUNNING)))
        self.kala.step(self.kala.end_of(run.id, state))

    @precondition(lambda self: self.view.of(State.RUNNING))
    @rule(data=st.data(), state=st.sampled_from([State.SUCCEEDED, State.FAILED]), minutes=st.sampled_from([0.02, 30]))
    def the_disk_fails_for_a_step(self, data, state, minutes):
        """Nothing of a failed step is stored. The end of a run is stored by a later step, as it is reported once."""
        run = data.draw(st.sampled_from(self.view.of(State.RUNNING)))
        job = self.any_job(data) if self.view.jobs else "none"
        self.kala.now += timedelta(minutes=minutes)
        self.latest = max(self.latest, self.kala.now)
        with self.kala.failing_disk(after=data.draw(st.integers(0, 25))):
            [start] = self.kala.step(self.kala.end_of(run.id, state), StartJob(job))
        if isinstance(start.exception(), Busy):
            found = self.look()
            assert (found.jobs, found.runs, found.given) == (self.view.jobs, self.view.runs, self.view.given)
        self.kala.passes(seconds=1)
        was_asked_to_end = run.id in [one for one, _ in self.kala.workers.cancelled] and state is State.FAILED
        assert self.kala.run(run.id).state == (State.CANCELLED if was_asked_to_end else state)

    @rule(minutes=st.sampled_from([0, 10, 100]), is_crash=st.booleans())
    def kala_restarts(self, minutes, is_crash):
        if not is_crash:
            self.kala.drain()
            self.kala.passes(minutes=minutes)
            assert [run.id for run in self.kala.workers.given] == self.view.given
            self.kala.step(*[self.kala.end_of(run.id) for run in self.view.of(State.RUNNING)])
        self.kala.restart(minutes=minutes)
        self.latest = max(self.latest, self.kala.now)


# Hundreds of sequences: on a busy machine they take longer than the timeout of other tests.
@pytest.mark.timeout(600)
def test_the_promises_hold_in_any_sequence_of_events(kala_per_example):
    run_state_machine_as_test(
        lambda: Machine(kala_per_example),
        settings=effort(30, stateful_step_count=30),
    )
