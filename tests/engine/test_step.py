"""A step: one transaction for all messages, and its effects only after the commit."""

import sqlite3
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

import msgspec
import pytest
from samples import HOURLY

from kala.core import policy
from kala.core.caller import KALA
from kala.core.errors import Busy, Invalid, NotFound
from kala.core.job import Command, Overlap, Spec
from kala.core.run import RunEnded, State
from kala.engine.effects import Effects
from kala.engine.feed import Change
from kala.engine.inbox import Asked
from kala.engine.messages import CreateJob, DeleteJob, DeleteRun, StartJob, UpdateJob
from kala.runner.spool import path_of

SPEC = Spec(name="backup", action=Command("true"))
INVALID = CreateJob(Spec(name="backup", action=Command("true"), schedule="hourly"))
BIG = "x" * 200_000


@contextmanager
def disk_full(kala):
    """The database cannot grow."""
    kala.store._writing.pragma("max_page_count", kala.store._writing.pragma("page_count"))
    yield
    kala.store._writing.pragma("max_page_count", 1 << 30)


@contextmanager
def disk_locked(kala):
    """Another program, such as a backup, locks the database for longer than Kala waits."""
    kala.store._writing.connection().execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(kala.store.outputs.parent / "kala.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


class TestAnAnswer:
    def test_comes_when_the_job_is_on_disk(self, kala):
        seen = []
        answer = Future()
        answer.add_done_callback(lambda done: seen.append(kala.job(done.result().id)))
        kala.engine.step([], [Asked(CreateJob(SPEC), answer, KALA)], kala.now)
        assert [job.spec for job in seen] == [SPEC]

    def test_of_a_start_comes_when_the_run_is_on_disk(self, kala):
        job = kala.create(schedule=HOURLY)
        seen = []
        answer = Future()
        answer.add_done_callback(lambda done: seen.append(kala.run(done.result().id)))
        kala.engine.step([], [Asked(StartJob(job), answer, KALA)], kala.now)
        assert [run.job_id for run in seen] == [job]

    def test_to_an_invalid_request_is_the_error(self, kala):
        [answer] = kala.step(INVALID)
        assert isinstance(answer.exception(timeout=0), Invalid)


class TestManyMessages:
    def test_share_a_commit(self, kala):
        commits = []
        kala.store._writing.connection().set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else 0)
        kala.step(*[CreateJob(SPEC)] * 50)
        assert len(kala.jobs()) == 50
        assert len(commits) == 1

    def test_are_applied_in_the_order_in_which_they_came(self, kala):
        job = kala.create(schedule=HOURLY)
        deleted, started = kala.step(DeleteJob(job), StartJob(job))
        assert list(deleted.result()) == [job]
        assert isinstance(started.exception(), NotFound)

    def test_do_not_fail_with_one_that_is_invalid(self, kala):
        before, invalid, after = kala.step(CreateJob(SPEC), INVALID, CreateJob(SPEC))
        assert kala.jobs() == [before.result().id, after.result().id]
        assert isinstance(invalid.exception(), Invalid)

    def test_do_not_fail_with_one_that_has_an_internal_error(self, kala, caplog):
        job = kala.create(schedule=HOURLY)
        broken, created = kala.step(UpdateJob(job, lambda spec: 1 / 0), CreateJob(SPEC))
        assert isinstance(broken.exception(), ZeroDivisionError)
        assert created.result().id in kala.jobs()
        assert [record.getMessage() for record in caplog.records] == ["UpdateJob failed with an internal error"]

    def test_that_fail_have_no_effects(self, kala, monkeypatch):
        told = kala.feed.last
        monkeypatch.setattr(Effects, "job_became", lambda *_: 1 / 0)
        [answer] = kala.step(CreateJob(SPEC))
        assert isinstance(answer.exception(), ZeroDivisionError)
        assert kala.jobs() == []
        assert (kala.feed.last, kala.workers.given) == (told, [])

    def test_do_not_fail_with_one_that_names_a_parent_twice(self, kala):
        parent = kala.create(schedule=HOURLY)
        _, created = kala.step(
            CreateJob(Spec(name="c", action=Command("true"), parents=(parent,) * 2)), CreateJob(SPEC)
        )
        assert created.result().id in kala.jobs()


class TestEndsOfRuns:
    """The ends of runs are written together."""

    def test_are_each_counted(self, kala):
        job = kala.create(schedule=HOURLY, overlap=Overlap.ALLOW)
        runs = [kala.start(job) for _ in range(4)]
        states = [State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.CANCELLED]
        kala.step(*[kala.end_of(run.id, state) for run, state in zip(runs, states, strict=True)])
        counts = kala.job(job).counts
        assert (counts.successes, counts.errors, counts.finished) == (2, 1, 3)

    def test_that_cannot_be_written_fail_alone(self, kala, monkeypatch, caplog):
        broken, good = kala.create(), kala.create()
        child = kala.create(parents=(good,))
        ends = [kala.done(broken), kala.done(good)]
        follow = policy.follow

        def failing(spec, run, now):
            return 1 / 0 if run.job_id == broken else follow(spec, run, now)

        monkeypatch.setattr(policy, "follow", failing)
        kala.step(*ends)
        stories = [kala.story(job) for job in (broken, good, child)]
        assert stories == [["creation running"], ["creation succeeded"], ["parent running"]]
        assert [record.getMessage() for record in caplog.records] == ["cannot store the outcome of run 1"]


class TestARun:
    def test_is_on_disk_as_running_before_a_worker_gets_it(self, kala):
        states = []
        kala.workers.on_submit = lambda run: states.append(kala.run(run.id).state)
        kala.create()
        assert states == ["running"]

    def test_that_ended_is_written_and_its_children_start_in_the_same_step(self, kala):
        parent = kala.create()
        child = kala.create(parents=(parent,))
        kala.succeed(parent)
        assert [kala.story(parent), kala.story(child)] == [["creation succeeded"], ["parent running"]]

    def test_that_ended_frees_its_worker_in_the_same_step(self, new_kala):
        kala = new_kala(workers=1)
        first, second = kala.create(), kala.create()
        kala.succeed(first)
        assert kala.story(second) == ["creation running"]

    def test_whose_end_is_reported_twice_frees_one_worker(self, new_kala):
        kala = new_kala(workers=2)
        first, second, third, fourth = (kala.create() for _ in range(4))
        kala.step(kala.done(first), kala.done(first, State.FAILED))
        assert [kala.story(job) for job in (second, third, fourth)] == [
            ["creation running"],
            ["creation running"],
            ["creation queued"],
        ]

    def test_whose_end_is_reported_twice_is_counted_once(self, kala):
        job = kala.create()
        done = kala.done(job)
        kala.step(done)
        kala.step(done)
        assert kala.job(job).counts.successes == 1

    def test_keeps_the_start_time_that_its_worker_reports(self, kala):
        job = kala.create()
        done = kala.done(job)
        really = kala.now + timedelta(seconds=5)
        kala.step(RunEnded(msgspec.structs.replace(done.run, started_at=really), done.outcome))
        assert kala.runs(job)[0].started_at == really


class TestADatabaseThatCannotBeWritten:
    def test_raises_busy_and_stores_nothing_if_it_is_full(self, kala):
        with disk_full(kala):
            small, big = kala.step(CreateJob(SPEC), CreateJob(Spec(name="big", action=Command(BIG))))
        for answer in (small, big):
            assert isinstance(answer.exception(), Busy)
            assert str(answer.exception()) == (
                "storage: the database cannot be written: database or disk is full; nothing was changed"
            )
        assert kala.jobs() == []

    def test_raises_busy_if_another_program_locks_it(self, kala):
        with disk_locked(kala):
            [answer] = kala.step(CreateJob(SPEC))
        assert isinstance(answer.exception(), Busy)
        assert kala.jobs() == []

    def test_starts_no_run(self, kala):
        job = kala.create(schedule=HOURLY)
        with disk_locked(kala):
            kala.passes(hours=1)
        assert (kala.workers.given, kala.runs(job)) == ([], [])

    def test_publishes_no_change(self, kala):
        job = kala.create()
        before = kala.feed.after(0, timeout=0)
        with disk_locked(kala):
            kala.succeed(job)
        assert kala.feed.after(0, timeout=0) == before

    def test_starts_a_due_run_once_when_it_is_writable_again(self, kala):
        job = kala.create(schedule=HOURLY)
        with disk_locked(kala):
            kala.passes(hours=1)
            kala.passes(seconds=1)
        kala.passes(seconds=1)
        assert kala.story(job) == ["schedule running"]

    def test_stores_the_end_of_a_run_when_it_is_writable_again(self, kala):
        parent = kala.create()
        child = kala.create(parents=(parent,))
        with disk_locked(kala):
            kala.succeed(parent)
            assert kala.story(parent) == ["creation running"]
        kala.passes(seconds=1)
        assert [kala.story(parent), kala.story(child)] == [["creation succeeded"], ["parent running"]]

    def test_stores_all_ends_when_it_is_writable_again(self, kala):
        jobs = [kala.create() for _ in range(3)]
        with disk_locked(kala):
            for job in jobs:
                kala.succeed(job)
        kala.passes(seconds=1)
        assert [kala.job(job).counts.successes for job in jobs] == [1, 1, 1]

    def test_does_not_start_more_runs_than_there_are_workers_afterwards(self, new_kala):
        kala = new_kala(workers=2)
        jobs = [kala.create() for _ in range(5)]
        with disk_locked(kala):
            kala.succeed(jobs[0])
            kala.passes(seconds=1)
        kala.passes(seconds=1)
        assert sum(run.state is State.RUNNING for run in kala.runs()) == 2

    def test_loses_no_run_that_waits_for_a_worker(self, new_kala):
        kala = new_kala(workers=2)
        first, second, third = kala.create(), kala.create(), kala.create()
        kala.create(name=BIG, schedule=HOURLY)  # the disk has no room for its run
        with disk_full(kala):
            kala.now = kala.now.replace(hour=13)
            kala.step(kala.done(first), kala.done(second))
            assert kala.story(third) == ["creation queued"]
        kala.passes(seconds=1)
        assert kala.story(third) == ["creation running"]

    def test_is_logged_once_and_not_at_each_retry(self, kala, caplog):
        with disk_locked(kala):
            for _ in range(3):
                kala.passes(seconds=1)
        assert [record.getMessage() for record in caplog.records] == [
            "storage: the database cannot be written: database is locked; nothing was changed; retrying every 1 s"
        ]

    def test_is_not_logged_as_writable_while_only_reading_works(self, kala, caplog):
        kala.store._writing.pragma("query_only", 1)
        kala.step(CreateJob(SPEC))
        kala.passes(seconds=1)
        kala.step(CreateJob(SPEC))
        assert [record.levelname for record in caplog.records] == ["ERROR"]

    def test_is_logged_when_it_is_writable_again(self, kala, caplog):
        kala.store._writing.pragma("query_only", 1)
        kala.step(CreateJob(SPEC))
        kala.store._writing.pragma("query_only", 0)
        kala.passes(seconds=1)
        assert [record.getMessage() for record in caplog.records][1:] == ["the database is writable again"]

    def test_does_not_fail_if_the_output_of_a_deleted_run_cannot_be_removed(self, kala, caplog):
        job = kala.create()
        kala.succeed(job)
        [run] = kala.runs(job)
        path_of(kala.store.outputs, run.id).mkdir(parents=True)  # unlink() cannot remove a directory
        [answer] = kala.step(DeleteRun(run.id))
        assert (answer.result(timeout=0), kala.runs(job)) == (None, [])
        assert ", which is no longer needed: Is a directory" in caplog.text


class TestTheFeed:
    def test_has_each_state_of_a_run_in_order(self, new_kala):
        kala = new_kala(workers=1)
        first = kala.create()
        second = kala.create()
        kala.succeed(first)
        told = [change for _, change in kala.feed.after(0, timeout=0) if change.subject == "run"]
        assert told == [
            Change("run", "1", "running", first, ""),
            Change("run", "2", "queued", second, ""),
            Change("run", "1", "succeeded", first, ""),
            Change("run", "2", "running", second, ""),
        ]

    def test_has_the_cancellation_of_a_queued_run(self, kala):
        job = kala.create()
        queued = kala.start(job)
        kala.delete(job)
        told = [change for _, change in kala.feed.after(0, timeout=0)]
        assert Change("run", str(queued.id), "cancelled", job) in told

    def test_has_each_change_of_a_job(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.update(job, name="other")
        kala.delete(job)
        assert [change for _, change in kala.feed.after(0, timeout=0)] == [
            Change("job", job, "created", owner=""),
            Change("job", job, "updated", owner="", former_owner=""),
            Change("job", job, "deleted", owner=""),
        ]

    def test_has_nothing_of_a_refused_request(self, kala):
        kala.step(INVALID)
        assert kala.feed.after(0, timeout=0) == []


class TestTheLog:
    @pytest.fixture
    def log(self, caplog):
        caplog.set_level("INFO", "kala.runs")
        return lambda: [record.getMessage() for record in caplog.records]

    def test_has_a_line_when_a_run_starts_and_one_when_it_ends(self, kala, log):
        job = kala.create()
        kala.succeed(job)
        assert log() == ["backup: run 1 started (creation)", "backup: run 1 succeeded after 0.000 s"]

    def test_says_why_a_run_failed(self, kala, log):
        job = kala.create()
        kala.step(kala.done(job, State.FAILED, "exit status 3"))
        assert log()[-1] == "backup: run 1 failed after 0.000 s: exit status 3"

    def test_has_the_same_facts_as_fields_for_machines(self, kala, caplog, log):
        job = kala.create()
        kala.step(kala.done(job, State.FAILED, "exit status 3"))
        start, end = (record.fields for record in caplog.records)
        facts = {"job_id": job, "job_name": "backup", "run_id": 1, "cause": "creation", "attempt": 0}
        assert start == facts | {"action": "run_started", "state": "running"}
        assert end == facts | {"action": "run_ended", "state": "failed", "exit_code": None, "duration_s": 0.0}
