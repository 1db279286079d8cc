"""Cancelling: a queued run ends at once, a running one is asked to end, and one that has ended stays as it is."""

import pytest
from samples import FAR

from kala.core.errors import Conflict, NotFound
from kala.core.run import State
from kala.engine.feed import Change
from kala.engine.messages import CancelRun, DeleteRun


@pytest.fixture
def job(kala) -> str:
    return kala.create(schedule=FAR)


class TestAQueuedRun:
    def test_ends_at_once_with_the_reason(self, kala, job):
        kala.start(job)
        queued = kala.start(job)
        kala.cancel(queued.id)
        run = kala.run(queued.id)
        assert (run.state, run.started_at) == ("cancelled", None)
        assert (run.outcome.message, run.outcome.ended_at) == ("cancelled by request", kala.now)

    def test_never_starts_after_that(self, kala, job):
        kala.start(job)
        kala.cancel(kala.start(job).id)
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded", "manual cancelled"]

    def test_lets_the_next_queued_run_start(self, kala, job):
        kala.start(job)
        queued = kala.start(job)
        kala.start(job)
        kala.cancel(queued.id)
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded", "manual cancelled", "manual running"]

    def test_that_waited_for_a_worker_releases_the_next_run_of_its_job(self, new_kala):
        kala = new_kala(workers=1)
        other = kala.create(name="other")
        kala.step()
        job = kala.create(schedule=FAR)
        first = kala.start(job)
        second = kala.start(job)
        assert [first.waiting, second.waiting] == ["", "job"]
        kala.cancel(first.id)
        kala.succeed(other)
        assert kala.story(job) == ["manual cancelled", "manual running"]

    def test_leaves_its_job_done_if_nothing_else_is_planned(self, new_kala):
        kala = new_kala(workers=1)
        kala.create(name="other")
        kala.step()
        job = kala.create()
        kala.step()
        kala.cancel(kala.runs(job)[0].id)
        assert kala.job(job).is_done

    def test_is_not_cancelled_through_the_executor(self, kala, job):
        kala.start(job)
        kala.cancel(kala.start(job).id)
        assert kala.workers.cancelled == []

    def test_is_not_retried_and_not_counted(self, kala):
        job = kala.create(schedule=FAR, retries=3)
        kala.start(job)
        kala.cancel(kala.start(job).id)
        assert kala.story(job) == ["manual running", "manual cancelled"]
        assert kala.job(job).counts.errors == 0

    def test_of_a_disabled_job_can_be_cancelled(self, kala, job):
        kala.start(job)
        queued = kala.start(job)
        kala.disable(job)
        kala.cancel(queued.id)
        kala.succeed(job)
        kala.enable(job)
        assert kala.story(job) == ["manual succeeded", "manual cancelled"]


class TestARunningRun:
    def test_is_cancelled_through_the_executor(self, kala, job):
        run = kala.start(job)
        kala.cancel(run.id)
        assert kala.workers.cancelled == [(run.id, "cancelled by request")]
        assert kala.story(job) == ["manual running"]

    def test_is_cancelled_when_the_executor_reports_its_end(self, kala, job):
        run = kala.start(job)
        kala.cancel(run.id)
        kala.step(kala.end_of(run.id, State.CANCELLED, "cancelled by request"))
        assert kala.story(job) == ["manual cancelled"]
        assert kala.workers.forgotten == [run.id]

    def test_is_not_retried_and_starts_no_other_job(self, kala):
        cleaner = kala.create(name="cleaner", schedule=FAR)
        job = kala.create(schedule=FAR, retries=3, on_failure_job=cleaner)
        child = kala.create(name="child", parents=(job,))
        run = kala.start(job)
        kala.cancel(run.id)
        kala.step(kala.end_of(run.id, State.CANCELLED))
        assert kala.story(job) == ["manual cancelled"]
        assert kala.runs(child) + kala.runs(cleaner) == []
        assert kala.job(job).counts.errors == 0

    @pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
    def test_that_fails_by_itself_meanwhile_is_cancelled_and_not_retried(self, kala, state):
        job = kala.create(schedule=FAR, retries=3)
        run = kala.start(job)
        kala.cancel(run.id)
        kala.step(kala.end_of(run.id, state, "exit status 1", exit_code=1))
        assert kala.story(job) == ["manual cancelled"]
        assert (kala.run(run.id).outcome.message, kala.run(run.id).outcome.exit_code) == ("cancelled by request", 1)

    def test_that_succeeds_before_it_is_stopped_has_succeeded(self, kala, job):
        run = kala.start(job)
        kala.cancel(run.id)
        kala.succeed(job)
        assert kala.story(job) == ["manual succeeded"]

    def test_lets_the_next_run_of_its_job_start_after_its_end(self, kala, job):
        run = kala.start(job)
        kala.start(job)
        kala.cancel(run.id)
        assert kala.story(job) == ["manual running", "manual queued"]
        kala.step(kala.end_of(run.id, State.CANCELLED))
        assert kala.story(job) == ["manual cancelled", "manual running"]

    def test_can_be_cancelled_twice(self, kala, job):
        run = kala.start(job)
        kala.cancel(run.id)
        kala.cancel(run.id)
        assert kala.story(job) == ["manual running"]

    def test_can_be_cancelled_in_the_step_that_starts_it(self, kala, job):
        kala.step(CancelRun(kala.start(job).id))
        assert len(kala.workers.cancelled) == 1

    def test_of_a_deleted_job_can_be_cancelled(self, kala, job):
        run = kala.start(job)
        kala.delete(job)
        kala.cancel(run.id)
        assert kala.workers.cancelled == [(run.id, "cancelled by request")]


class TestARunThatHasEnded:
    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED])
    def test_cannot_be_cancelled(self, kala, job, state):
        run = kala.start(job)
        kala.step(kala.end_of(run.id, state))
        sentence = rf"^run 1 has ended \({state}\); only queued or running runs can be cancelled$"
        with pytest.raises(Conflict, match=sentence):
            kala.cancel(run.id)
        assert kala.run(run.id).state == state


def test_a_run_that_does_not_exist_cannot_be_cancelled(kala):
    with pytest.raises(NotFound, match=r"^no run has the id 7$"):
        kala.cancel(7)


class TestDeletingARun:
    def test_removes_it_from_the_history_and_keeps_the_counts(self, kala, job):
        run = kala.start(job)
        kala.succeed(job)
        kala.ask(DeleteRun(run.id))
        assert kala.run(run.id) is None
        assert kala.job(job).counts.successes == 1

    def test_is_published_to_the_feed(self, kala, job):
        run = kala.start(job)
        kala.succeed(job)
        kala.ask(DeleteRun(run.id))
        assert kala.feed.since(kala.feed.last - 1, 1)[0][1] == Change("run", str(run.id), "deleted", run.job_id, "")

    def test_removes_its_output(self, kala, job):
        run = kala.start(job)
        file = kala.store.outputs / "0" / f"{run.id}.out"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("hello")
        kala.succeed(job)
        kala.ask(DeleteRun(run.id))
        assert not file.exists()

    def test_that_is_running_or_queued_is_refused(self, kala, job):
        for run in (kala.start(job), kala.start(job)):
            with pytest.raises(Conflict, match=f"^run {run.id} is {run.state}; cancel it before deleting it$"):
                kala.ask(DeleteRun(run.id))
        assert len(kala.runs(job)) == 2

    def test_that_does_not_exist_is_refused(self, kala):
        with pytest.raises(NotFound, match=r"^no run has the id 7$"):
            kala.ask(DeleteRun(7))
