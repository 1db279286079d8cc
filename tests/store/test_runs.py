"""Runs are stored, move forward from state to state, and outlive their jobs."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.core.limits import MESSAGE
from kala.core.run import MOVES, Cause, Outcome, Run, State, Waiting

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DONE = Outcome(state=State.SUCCEEDED, ended_at=NOON + SECOND, duration=10**9, exit_code=0)


def run(job: str = "1", **fields: object) -> Run:
    return Run(
        **{"job_id": job, "job_name": "backup", "cause": Cause.MANUAL, "queued_at": NOON, "due_at": NOON} | fields
    )


@pytest.fixture
def runs(store):
    """The runs, inside a transaction that is still open."""
    with store.transaction():
        yield store.writer.runs


def started(runs, job: str = "1", **fields: object) -> Run:
    [running] = runs.start([runs.add(run(job, **fields))], NOON)
    return running


def ended(runs, **fields: object) -> Run:
    [finished] = runs.finish([(started(runs, **fields), DONE)])
    return finished


def in_state(runs, state: State) -> Run:
    """A run that reached a state by legal moves."""
    if state is State.SKIPPED:
        return runs.add(run(state=state, outcome=Outcome(state=state, ended_at=NOON, message="no time")))
    stored = runs.add(run())
    if state is State.QUEUED:
        return stored
    [stored] = runs.start([stored], NOON)
    if state is State.RUNNING:
        return stored
    [finished] = runs.finish([(stored, replace(DONE, state=state))])
    return finished


def move(runs, stored: Run, state: State) -> None:
    """Try to move a run to another state, whatever its state is."""
    if state is State.RUNNING:
        runs.start([stored], NOON + SECOND)
    elif state is State.CANCELLED and stored.state is not State.RUNNING:
        runs.cancel_queued(stored, NOON + SECOND, "too late")
    else:
        with suppress(AssertionError):
            runs.finish([(stored, Outcome(state=state, ended_at=NOON + 2 * SECOND))])


text = st.text(st.characters(codec="utf-8"), max_size=20)
instants = st.datetimes(timezones=st.just(UTC))
small = st.none() | st.integers(0, 600)
new_runs = st.builds(
    Run,
    job_id=text,
    job_name=text,
    cause=st.sampled_from(Cause),
    queued_at=instants,
    due_at=instants,
    waiting=st.sampled_from(Waiting),
    not_before=st.none() | instants,
    pool=text,
    priority=st.integers(-1000, 1000),
    cause_run=st.none() | st.integers(1, 2**60),
    slot=st.none() | instants,
    attempt=st.integers(0, 2**31),
)
outcomes = st.builds(
    Outcome,
    state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.LOST]),
    ended_at=instants,
    duration=st.integers(0, 2**60),
    message=text,
    exit_code=small,
    signal=small,
    http_status=small,
    output_size=st.integers(0, 2**40),
    output_cut=st.booleans(),
)


class TestARun:
    @given(new_runs)
    def test_is_read_as_it_was_written(self, undone, given_run):
        with undone() as store:
            added = store.writer.runs.add(given_run)
            assert store.writer.runs.get(added.id) == added == replace(given_run, id=added.id)

    @given(new_runs, instants, outcomes)
    def test_keeps_how_it_ended(self, undone, given_run, started_at, outcome):
        with undone() as store:
            runs = store.writer.runs
            [running] = runs.start([runs.add(given_run)], started_at)
            [finished] = runs.finish([(running, outcome)])
            assert runs.get(finished.id) == finished
            assert (finished.state, finished.started_at, finished.outcome) == (outcome.state, started_at, outcome)

    def test_that_has_ended_does_not_end_again(self, runs):
        over, running = ended(runs), started(runs)
        late = replace(DONE, message="late")
        assert [one.id for one in runs.finish([(over, late), (running, late)])] == [running.id]
        assert (runs.get(over.id), runs.get(running.id).outcome) == (over, late)

    def test_that_does_not_exist_is_none(self, runs):
        assert runs.get(1) is None

    @pytest.mark.parametrize(
        ("before", "after"), [(before, after) for before in State for after in State if after is not State.QUEUED]
    )
    def test_makes_every_legal_move_and_no_other(self, runs, before, after):
        stored = in_state(runs, before)
        move(runs, stored, after)
        is_legal = after in MOVES.get(before, ()) and after is not State.SKIPPED  # what is skipped never was queued
        assert runs.get(stored.id).state is (after if is_legal else before)
        if not is_legal:
            assert runs.get(stored.id) == stored

    def test_id_is_never_used_again(self, store):
        with store.transaction():
            first = store.writer.runs.add(run())
            store._writing.execute_sql("DELETE FROM run")
            assert store.writer.runs.add(run()).id > first.id

    def test_that_never_starts_is_written_with_its_end(self, runs):
        end = Outcome(state=State.CANCELLED, ended_at=NOON, message="another run of the job is running")
        skipped = runs.add(run(state=State.CANCELLED, outcome=end))
        assert runs.get(skipped.id) == skipped


class TestTheQueue:
    def test_is_ordered_by_priority_and_then_age(self, runs):
        first, second, third, fourth = (runs.add(run(priority=priority)) for priority in (0, 5, -5, 5))
        assert runs.ready(10) == [second, fourth, first, third]

    def test_has_the_runs_that_only_need_a_worker_oldest_first(self, runs):
        queued = [runs.add(run(job)) for job in "abc"]
        runs.add(run("a", waiting=Waiting.JOB))
        started(runs, job="d")
        assert runs.ready(10) == queued

    def test_is_limited_to_the_number_of_workers(self, runs):
        queued = [runs.add(run(job)) for job in "abc"]
        assert runs.ready(2) == queued[:2]

    def test_releases_only_the_oldest_waiting_run_of_a_job(self, runs):
        first, _, other, third = (runs.add(run(job, waiting=Waiting.JOB)) for job in "aabc")
        assert runs.release(["a", "c", "nobody"])
        assert [one.id for one in runs.ready(10)] == [first.id, third.id]
        assert runs.get(other.id).waiting == Waiting.JOB
        assert not runs.release(["c"])

    def test_of_a_job_is_listed_oldest_first(self, runs):
        queued = [runs.add(run()), runs.add(run(waiting=Waiting.JOB))]
        started(runs)
        runs.add(run("2"))
        assert runs.queued("1") == queued

    def test_is_counted_for_each_job_and_for_all(self, runs):
        started(runs)
        for job_id in ("1", "1", "2"):
            runs.add(run(job_id))
        assert [runs.count_queued(job_id) for job_id in ("1", "2", "3", None)] == [2, 1, 0, 3]
        assert sorted(runs.jobs_with_queued()) == ["1", "2"]

    def test_knows_why_a_run_of_a_job_waits(self, runs):
        started(runs, job="2")
        runs.add(run())
        found = [runs.is_queued(job_id, cause) for job_id in ("1", "2") for cause in (Cause.MANUAL, Cause.PARENT)]
        assert found == [True, False, False, False]

    def test_of_several_jobs_is_cancelled_a_few_runs_at_a_time(self, runs):
        kept, *others = (runs.add(run(job_id)) for job_id in "31122")
        running = started(runs)
        cancelled = [runs.cancel_queued_of(["1", "2"], NOON, "the job was deleted", 3) for _ in range(3)]
        assert [len(some) for some in cancelled] == [3, 1, 0]
        assert sorted(run_id for some in cancelled for run_id, _, _ in some) == [one.id for one in others]
        assert (runs.get(kept.id).state, runs.get(running.id).state) == ("queued", "running")
        assert runs.get(others[0].id).outcome == Outcome(
            state=State.CANCELLED, ended_at=NOON, message="the job was deleted"
        )

    def test_loses_a_run_that_is_cancelled_with_the_reason(self, runs):
        queued = runs.add(run())
        runs.cancel_queued(queued, NOON, "the job was deleted")
        gone = runs.get(queued.id)
        assert (gone.state, gone.outcome.message, gone.outcome.ended_at) == ("cancelled", "the job was deleted", NOON)
        assert runs.queued("1") == []

    def test_does_not_lose_a_run_that_is_running_already(self, runs):
        running = started(runs)
        runs.cancel_queued(running, NOON, "the job was deleted")
        assert runs.get(running.id) == running

    def test_holds_the_runs_of_a_job_until_they_are_resumed_oldest_first(self, runs):
        first, second, other = (runs.add(run(job)) for job in "aab")
        runs.hold("a")
        assert [one.id for one in runs.ready(10)] == [other.id]
        runs.resume("a")
        assert [one.id for one in runs.ready(10)] == [first.id, other.id]
        assert runs.get(second.id).waiting == Waiting.JOB

    def test_resumes_behind_a_running_run(self, runs):
        started(runs)
        queued = runs.add(run(waiting=Waiting.JOB))
        runs.hold("1")
        runs.resume("1")
        assert runs.get(queued.id).waiting == Waiting.JOB


class TestAJob:
    @pytest.mark.parametrize(
        ("make", "is_busy"),
        [
            (lambda runs: runs.add(run()), True),
            (lambda runs: runs.add(run(waiting=Waiting.JOB)), True),
            (lambda runs: runs.add(run(waiting=Waiting.POOL)), True),
            (lambda runs: runs.add(run(waiting=Waiting.RETRY, not_before=NOON)), False),
            (started, True),
            (ended, False),
            (lambda runs: started(runs, job="2"), False),
            (lambda runs: None, False),
        ],
        ids=["queued", "waiting", "in its pool", "a later retry", "running", "ended", "another job's", "none"],
    )
    def test_is_busy_while_it_has_a_run_that_is_queued_or_running(self, runs, make, is_busy):
        make(runs)
        assert runs.busy(["1", "nobody"]) == ({"1"} if is_busy else set())

    @pytest.mark.parametrize(
        ("make", "is_waiting"),
        [
            (lambda runs: runs.add(run(cause=Cause.SCHEDULE)), True),
            (lambda runs: runs.add(run(cause=Cause.SCHEDULE, waiting=Waiting.JOB)), True),
            (lambda runs: runs.add(run(cause=Cause.MANUAL)), False),
            (lambda runs: started(runs, cause=Cause.SCHEDULE), False),
            (lambda runs: runs.add(run("2", cause=Cause.SCHEDULE)), False),
        ],
        ids=["queued", "behind another", "by hand", "running", "another job's"],
    )
    def test_has_a_waiting_slot_where_a_scheduled_run_is_queued(self, runs, make, is_waiting):
        make(runs)
        assert runs.with_slot_waiting(["1", "nobody"]) == ({"1"} if is_waiting else set())


class TestLastAttempts:
    def test_are_the_runs_that_started_and_ended_oldest_first(self, runs):
        first, second = ended(runs), ended(runs)
        started(runs)
        runs.add(run())
        ended(runs, job="2")
        assert runs.last_attempts("1", 9) == [first, second]

    def test_are_the_newest_where_a_limit_is_set(self, runs):
        _, second, third = ended(runs), ended(runs), ended(runs)
        assert runs.last_attempts("1", 2) == [second, third]

    def test_can_be_read_before_a_run(self, runs):
        first, second, third = ended(runs), ended(runs), ended(runs)
        assert runs.first_last_attempt("1", 2, before=third.id) == first.id
        assert list(runs.last_attempts_from(first.id, "1", before=third.id)) == [first, second]

    def test_leave_out_those_that_were_retried(self, runs):
        first = ended(runs)
        second = ended(runs, cause=Cause.RETRY, cause_run=first.id, attempt=1)
        assert runs.last_attempts("1", 9) == [second]
        runs.add(run(cause=Cause.RETRY, cause_run=second.id, attempt=2))
        assert runs.last_attempts("1", 9) == []

    def test_have_a_run_whose_retry_never_started(self, runs):
        first = ended(runs)
        retry = runs.add(run(cause=Cause.RETRY, cause_run=first.id, attempt=1))
        runs.cancel_queued(retry, NOON, "cancelled by request")
        assert runs.last_attempts("1", 9) == [first]

    def test_are_none_where_a_queued_run_was_cancelled(self, runs):
        runs.cancel_queued(runs.add(run()), NOON, "the job was deleted")
        assert runs.last_attempts("1", 9) == []


class TestAMessage:
    def test_from_before_there_was_a_limit_is_cut_when_it_is_read(self, runs):
        found = ended(runs)
        runs._sql("UPDATE run SET message = ? WHERE id = ?", ("x" * 5_000_000, found.id))
        assert len(runs.get(found.id).outcome.message) == MESSAGE
        assert len(runs.last_attempts("1", 1)[0].outcome.message) == MESSAGE


class TestAPool:
    @pytest.fixture
    def waiting(self, runs) -> list[Run]:
        places = [("gpu", 0), ("gpu", 5), ("gpu", 5), ("tape", 9)]
        made = [runs.add(run(pool=pool, priority=priority)) for pool, priority in places]
        for one in made:
            runs.wait_for_pool(one)
        return made

    def ready(self, runs) -> list[int]:
        return [one.id for one in runs.ready(10)]

    def test_lets_no_run_start_without_being_released(self, runs, waiting):
        assert runs.ready(10) == []
        assert {runs.get(one.id).waiting for one in waiting} == {Waiting.POOL}

    def test_releases_one_of_its_runs_by_priority_and_then_age(self, runs, waiting):
        found = []
        for _ in range(4):
            runs.release_pool("gpu")
            found.append(set(self.ready(runs)))
        first, second, third, _ = (one.id for one in waiting)
        assert found == [{second}, {second, third}, {first, second, third}, {first, second, third}]

    def test_releases_all_its_runs_where_none_is_named(self, runs, waiting):
        held = runs.add(run(waiting=Waiting.JOB))
        runs.release_pool()
        assert sorted(self.ready(runs)) == [one.id for one in waiting]
        assert runs.get(held.id) == held

    def test_does_not_hold_a_run_that_is_running_already(self, runs):
        running = started(runs, pool="gpu")
        runs.wait_for_pool(running)
        assert runs.get(running.id) == running


class TestADelayedRetry:
    def delayed(self, runs, seconds: int, **fields: object) -> Run:
        fields = {"cause": Cause.RETRY, "waiting": Waiting.RETRY, "not_before": NOON + seconds * SECOND} | fields
        return runs.add(run(**fields))

    def test_is_not_ready_before_its_time_and_due_at_it(self, runs):
        late, early, middle = (self.delayed(runs, seconds) for seconds in (3, 1, 2))
        assert (runs.ready(10), runs.next_retry()) == ([], early.not_before)
        assert runs.due_retries(NOON, 10) == []
        assert runs.due_retries(NOON + 2 * SECOND, 10) == [early, middle]
        assert runs.due_retries(NOON + 9 * SECOND, 2) == [early, middle]
        assert runs.due_retries(NOON + 9 * SECOND, 10) == [early, middle, late]

    @pytest.mark.parametrize(("waiting", "is_ready"), [("", True), (Waiting.JOB, False)])
    def test_whose_time_has_come_waits_for_something_else(self, runs, waiting, is_ready):
        retry = self.delayed(runs, 1)
        runs.end_retry_wait(retry, waiting)
        assert runs.get(retry.id).waiting == waiting
        assert (runs.next_retry(), runs.due_retries(NOON + SECOND, 10)) == (None, [])
        assert [one.id for one in runs.ready(10)] == [retry.id] * is_ready

    def test_is_not_due_where_there_is_none(self, runs):
        runs.add(run())
        assert runs.next_retry() is None

    def test_that_is_held_is_not_due_and_keeps_its_time_when_it_is_resumed(self, runs):
        retry = self.delayed(runs, 1)
        runs.hold("1")
        assert (runs.get(retry.id).waiting, runs.next_retry()) == (Waiting.ENABLING, None)
        runs.resume("1")
        assert runs.get(retry.id) == retry
        assert runs.due_retries(NOON + SECOND, 10) == [retry]

    def test_that_is_resumed_does_not_block_other_runs(self, runs):
        retry, manual = self.delayed(runs, 1), runs.add(run())
        runs.hold("1")
        runs.resume("1")
        assert [one.id for one in runs.ready(10)] == [manual.id]
        assert runs.get(retry.id) == retry

    def test_can_be_cancelled(self, runs):
        runs.cancel_queued(self.delayed(runs, 1), NOON, "the job was deleted")
        assert (runs.next_retry(), runs.due_retries(NOON + SECOND, 10)) == (None, [])

    def test_wakes_the_engine_like_a_job(self, store):
        with store.transaction():
            self.delayed(store.writer.runs, 1)
        assert store.next_due() == NOON + SECOND

    @pytest.mark.parametrize(
        ("make", "is_unfinished", "is_blocking"),
        [
            (lambda runs: runs.add(run()), True, True),
            (lambda runs: runs.add(run(waiting=Waiting.POOL)), True, True),
            (started, True, True),
            (lambda runs: runs.add(run(waiting=Waiting.JOB)), True, False),
            (lambda runs: runs.add(run(waiting=Waiting.RETRY, not_before=NOON)), True, False),
            (lambda runs: runs.add(run(waiting=Waiting.ENABLING)), True, False),
            (ended, False, False),
            (lambda runs: started(runs, job="2"), False, False),
        ],
        ids=["queued", "in its pool", "running", "behind another", "retry", "held", "ended", "another job's"],
    )
    def test_may_be_unfinished_without_blocking_another(self, runs, make, is_unfinished, is_blocking):
        make(runs)
        assert runs.unfinished(["1", "nobody"]) == ({"1"} if is_unfinished else set())
        runs.add(run(waiting=Waiting.JOB))
        assert runs.release(["1"]) is not is_blocking


class TestOutput:
    @pytest.mark.parametrize("data", [b"", b"hello\n", bytes(range(256))])
    def test_is_read_as_it_was_written(self, runs, data):
        runs.store_outputs([(7, data)])
        assert runs.output(7) == data

    def test_that_is_not_in_the_database_is_none(self, runs):
        assert runs.output(7) is None


class TestDeletingRuns:
    def test_deletes_those_that_have_ended_with_their_output_and_no_others(self, runs):
        gone, kept = ended(runs), ended(runs)
        live = [runs.add(run()), runs.add(run(waiting=Waiting.JOB)), started(runs)]
        runs.store_outputs([(one.id, b"x") for one in (gone, kept, *live)])
        runs.delete([gone.id, *(one.id for one in live), 999])
        assert (runs.get(gone.id), runs.output(gone.id)) == (None, None)
        assert [runs.get(one.id) for one in (kept, *live)] == [kept, *live]
        assert [runs.output(one.id) for one in (kept, *live)] == [b"x"] * 4

    def test_without_ids_deletes_none(self, runs):
        kept = ended(runs)
        runs.delete([])
        assert runs.get(kept.id) == kept


steps = st.lists(st.tuples(st.sampled_from(["start", "finish", "delete"]), st.integers(0, 9), st.integers(0, 2**40)))


@given(steps)
def test_the_sum_of_all_output_is_right_whatever_happens(undone, steps):
    with undone() as store:
        runs = store.writer.runs
        known: list[Run] = []
        for what, which, size in steps:
            if what == "start" or not known:
                known.append(started(runs))
                continue
            chosen = known[which % len(known)]
            if what == "finish":
                runs.finish([(chosen, replace(DONE, output_size=size))])
            else:
                runs.delete([chosen.id])
        left = filter(None, (runs.get(one.id) for one in known))
        assert store.writer.retention.output_bytes() == sum(one.outcome.output_size for one in left if one.outcome)
