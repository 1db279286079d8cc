"""The queue has a limit: when it is full, starts are refused or skipped. A step never takes long."""

from concurrent.futures import Future
from datetime import timedelta
from itertools import count

import pytest
from samples import FAR

from kala.core.caller import KALA
from kala.core.errors import Busy, Conflict
from kala.core.job import Command, Missed, Overlap, Spec
from kala.core.run import State
from kala.engine.inbox import Asked
from kala.engine.messages import CreateJob, DeleteAllJobs, StartJob, Stop

SECONDLY = "R/2030-01-01T12:00:01Z/PT1S"
OF_JOB = "2 runs of the job are queued, which is the limit; let some start, or cancel some"
OF_ALL = "3 runs are queued, which is the limit; let some start, or cancel some"


@pytest.fixture
def kala(new_kala, monkeypatch):
    """Kala with one worker; two runs of a job can be queued, and three in all."""
    monkeypatch.setattr("kala.engine.capacity.QUEUED_OF_JOB", 2)
    monkeypatch.setattr("kala.engine.capacity.QUEUED", 3)
    return new_kala(workers=1)


@pytest.fixture
def full(kala) -> str:
    """A job with a running run and as many queued ones as it can have."""
    job = kala.create(name="full", schedule=FAR)
    for _ in range(3):
        kala.start(job)
    return job


class TestAFullQueue:
    def test_of_a_job_refuses_a_manual_start(self, kala, full):
        with pytest.raises(Conflict) as refusal:
            kala.start(full)
        assert str(refusal.value) == OF_JOB
        assert kala.story(full) == ["manual running", "manual queued", "manual queued"]

    def test_of_all_jobs_refuses_a_manual_start(self, kala, full):
        first, second = (kala.create(name=f"{number}", schedule=FAR) for number in range(2))
        kala.start(first)
        with pytest.raises(Conflict) as refusal:
            kala.start(second)
        assert str(refusal.value) == OF_ALL

    def test_accepts_a_start_after_a_run_has_started_or_was_cancelled(self, kala, full):
        kala.succeed(full)
        kala.start(full)
        kala.cancel(kala.runs(full)[-1].id)
        kala.start(full)

    def test_does_not_refuse_a_run_that_can_start_at_once(self, new_kala, monkeypatch):
        monkeypatch.setattr("kala.engine.capacity.QUEUED", 1)
        kala = new_kala(workers=3, closed=0)
        held = kala.create(name="held", schedule=FAR, pool="closed")
        kala.start(held)
        free = kala.create(name="free", schedule=FAR)
        kala.start(free)
        assert kala.story(free) == ["manual running"]

    def test_skips_the_run_of_a_slot(self, kala):
        job = kala.create(schedule=SECONDLY, overlap=Overlap.ALLOW)
        for _ in range(4):
            kala.passes(seconds=1)
        assert kala.story(job) == ["schedule running", "schedule queued", "schedule queued", "schedule skipped"]
        assert kala.runs(job)[-1].outcome.message == f"skipped: {OF_JOB}"

    def test_uses_up_no_repeat(self, kala):
        job = kala.create(schedule="R3/2030-01-01T12:00:01Z/PT1S", overlap=Overlap.ALLOW, missed=Missed.ALL)
        for _ in range(4):
            kala.passes(seconds=1)
        for number in (1, 2, 3):
            kala.step(kala.end_of(number))
        kala.passes(seconds=1)
        states = [run.state for run in kala.runs(job)]
        assert (states.count("skipped"), states.count("succeeded"), states.count("running")) == (1, 3, 1)

    def test_skips_the_run_of_a_child(self, new_kala, monkeypatch):
        monkeypatch.setattr("kala.engine.capacity.QUEUED_OF_JOB", 1)
        monkeypatch.setattr("kala.engine.capacity.QUEUED", 1)
        kala = new_kala(workers=1)
        parent = kala.create(name="parent", schedule=FAR)
        children = [kala.create(name=f"{number}", parents=(parent,)) for number in range(3)]
        kala.start(parent)
        kala.succeed(parent)
        assert [kala.story(child) for child in children] == [["parent running"], ["parent queued"], ["parent skipped"]]

    def test_skips_a_retry_so_that_the_on_failure_job_runs(self, kala):
        alarm = kala.create(name="alarm", schedule=FAR)
        job = kala.create(name="job", schedule=FAR, retries=9, retry_delay="P1D", on_failure_job=alarm)
        for _ in range(2):
            kala.start(job)
            kala.fail(job)
        kala.start(job)
        kala.fail(job)
        assert kala.story(job)[-1] == "retry skipped"
        assert kala.story(alarm) == ["failure running"]
        assert kala.job(job).counts.finished == 1


class TestManyRunsOfChildren:
    @pytest.fixture
    def kala(self, new_kala):
        """Kala with one worker, which runs the first of eight children."""
        kala = new_kala(workers=1)
        parent = kala.create(name="parent", schedule=FAR)
        for number in range(8):
            kala.create(name=f"child {number}", parents=(parent,))
        kala.start(parent)
        kala.succeed(parent)
        return kala

    def order(self, kala) -> list[str]:
        """Return the names of the jobs in the order in which their runs start."""
        names = []
        while kala.engine.running:
            run = kala.workers.given[-1]
            names.append(run.job_name)
            kala.step(kala.end_of(run.id))
        return names

    def test_take_turns_with_other_runs(self, kala):
        for number in range(2):
            kala.start(kala.create(name=f"other {number}", schedule=FAR))
        expected = ["child 0", "other 0", "child 1", "other 1", *(f"child {number}" for number in range(2, 8))]
        assert self.order(kala) == expected

    def test_leave_the_next_worker_to_a_slot_that_comes_due(self, kala):
        kala.create(name="slot", schedule=SECONDLY.replace("R/", "R0/"))
        kala.passes(seconds=1)
        assert self.order(kala)[:3] == ["child 0", "slot", "child 1"]

    def test_start_first_if_their_priority_is_higher(self, kala):
        kala.start(kala.create(name="less", schedule=FAR, priority=-1))
        assert self.order(kala)[-1] == "less"


class TestAStep:
    def answers(self, kala, clock, *messages) -> "list[Future]":
        """Send messages in one step, with a clock of the test's; return their futures."""
        kala.engine._clock = clock
        asked = [Asked(message, Future(), KALA) for message in messages]
        kala.engine.step([], asked, kala.now)
        return [one.answer for one in asked]

    def test_that_takes_long_leaves_messages_to_the_next(self, new_kala):
        kala = new_kala()
        job = kala.create(schedule=FAR)
        seconds = count(step=0.02)
        answers = self.answers(kala, lambda: next(seconds), *[StartJob(job)] * 5)
        assert [answer.done() for answer in answers] == [True, True, True, False, False]
        assert kala.engine.is_behind
        kala.step()
        assert [answer.result(0).id for answer in answers] == [1, 2, 3, 4, 5]
        assert not kala.engine.is_behind

    def test_carries_out_at_least_one_message(self, new_kala):
        kala = new_kala()
        job = kala.create(schedule=FAR)
        seconds = count(step=9)
        answers = self.answers(kala, lambda: next(seconds), *[StartJob(job)] * 3)
        assert [answer.done() for answer in answers] == [True, False, False]

    def test_that_cannot_write_rejects_postponed_messages(self, new_kala):
        kala = new_kala()
        job = kala.create(schedule=FAR)
        seconds = count(step=9)
        answers = self.answers(kala, lambda: next(seconds), *[StartJob(job)] * 3)
        with kala.dead_disk():
            kala.step()
        assert [type(answer.exception(0)) for answer in answers] == [type(None), Busy, Busy]

    def test_starts_due_slots_before_postponed_messages(self, new_kala):
        kala = new_kala()
        job = kala.create(schedule=FAR)
        other = kala.create(schedule=SECONDLY)
        seconds = count(step=9)
        kala.now += timedelta(seconds=1)
        answers = self.answers(kala, lambda: next(seconds), *[StartJob(job)] * 2)
        assert not answers[1].done()
        assert kala.story(other) == ["schedule running"]

    def test_cancels_runs_of_deleted_jobs_in_batches_and_starts_none(self, new_kala, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.REMAINS", 3)
        kala = new_kala(workers=1)
        jobs = [kala.create(name=f"{number}", schedule=FAR) for number in range(10)]
        for job in jobs:
            kala.start(job)
        kala.ask(DeleteAllJobs())
        assert kala.jobs() == []
        kala.step(kala.end_of(1))
        while kala.engine.is_behind:
            kala.step()
        assert [run.state for run in kala.runs()] == ["succeeded", *["cancelled"] * 9]
        assert {run.outcome.message for run in kala.runs()[1:]} == {"the job was deleted"}

    def test_cancels_runs_of_deleted_jobs_after_a_crash(self, new_kala, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.REMAINS", 3)
        kala = new_kala(workers=1)
        for number in range(9):
            kala.start(kala.create(name=f"{number}", schedule=FAR))
        kala.ask(DeleteAllJobs())
        kala.restart()
        while kala.engine.is_behind:
            kala.step()
        assert {run.state for run in kala.runs()} == {State.LOST, State.CANCELLED}

    def test_that_is_rolled_back_is_repeated(self, new_kala, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.REMAINS", 3)
        kala = new_kala(workers=1)
        for number in range(9):
            kala.start(kala.create(name=f"{number}", schedule=FAR))
        kala.ask(DeleteAllJobs())
        for after in range(1, 12):
            with kala.failing_disk(after):
                kala.step()
        while kala.engine.is_behind:
            kala.step()
        kala.step()
        assert {run.state for run in kala.runs()} == {State.RUNNING, State.CANCELLED}

    def test_of_a_stopping_loop_answers_all_earlier_messages(self, new_kala):
        kala = new_kala()
        seconds = count(step=9)
        kala.engine._clock = lambda: next(seconds)
        asked = [
            kala.engine.ask(CreateJob(Spec(name=f"{number}", action=Command("true"), schedule=FAR)), KALA)
            for number in range(3)
        ]
        stopped = kala.engine.ask(Stop(), KALA)
        kala.store.release_writer()
        kala.engine.start()
        kala.engine._thread.join()
        assert all(answer.done() for answer in [*asked, stopped])
        assert len(kala.jobs()) == 3
