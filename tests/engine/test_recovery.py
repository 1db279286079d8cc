"""What a restart keeps, and what it does not repeat."""

from samples import FAR, HOURLY

from kala.core.run import State
from kala.engine.messages import CreateJob, Drain
from kala.runner.spool import Spool, live_path_of, path_of


class TestAfterACrash:
    def test_a_run_that_was_running_is_lost(self, kala):
        job = kala.create()
        kala.restart(minutes=1)
        [run] = kala.runs(job)
        assert run.state is State.LOST
        assert run.outcome.message == "Kala stopped while this run was running; its outcome is unknown"
        assert run.outcome.ended_at == kala.now

    def test_a_lost_run_has_the_size_of_its_stored_output(self, kala):
        job = kala.create()
        [run] = kala.runs(job)
        Spool(kala.store.outputs, run.id, 100).append(b"half of it")
        kala.restart()
        outcome = kala.runs(job)[0].outcome
        assert (outcome.output_size, outcome.output_cut) == (len(b"half of it"), False)
        assert path_of(kala.store.outputs, run.id).read_bytes() == b"half of it"

    def test_a_lost_run_with_an_empty_spool_has_no_output_file(self, kala):
        job = kala.create()
        [run] = kala.runs(job)
        Spool(kala.store.outputs, run.id, 100).append(b"nothing of it")
        live_path_of(kala.store.outputs, run.id).write_bytes(b"")
        kala.restart()
        assert kala.runs(job)[0].outcome.output_size == 0
        assert not path_of(kala.store.outputs, run.id).exists()

    def test_a_lost_run_keeps_the_beginning_and_the_end_of_a_long_output(self, kala):
        job = kala.create()
        [run] = kala.runs(job)
        spool = Spool(kala.store.outputs, run.id, 10)
        spool.append(b"begin" + b"-" * 23 + b"the end")
        spool.flush()
        kala.restart()
        outcome, data = kala.runs(job)[0].outcome, path_of(kala.store.outputs, run.id).read_bytes()
        assert data == b"begin\n[kala: 25 bytes omitted here]\ne end"
        assert (outcome.output_size, outcome.output_cut) == (len(data), True)

    def test_a_lost_run_keeps_an_output_that_was_already_finished(self, kala):
        job = kala.create()
        [run] = kala.runs(job)
        spool = Spool(kala.store.outputs, run.id, 100)
        spool.append(b"all of it")
        spool.finish(path_of(kala.store.outputs, run.id))
        kala.restart()
        assert kala.runs(job)[0].outcome.output_size == len(b"all of it")

    def test_no_spool_is_left(self, kala):
        job = kala.create()
        [run] = kala.runs(job)
        Spool(kala.store.outputs, run.id, 10).append(b"-" * 100)
        kala.restart()
        assert list(live_path_of(kala.store.outputs, run.id).parent.iterdir()) == []

    def test_an_output_that_cannot_be_stored_does_not_prevent_the_start(self, kala, caplog):
        job = kala.create()
        [run] = kala.runs(job)
        Spool(kala.store.outputs, run.id, 10).append(b"-" * 100)
        path_of(kala.store.outputs, run.id).mkdir(parents=True)
        kala.restart()
        assert kala.runs(job)[0].state is State.LOST
        assert "cannot store the output of run 1 of backup: [Errno 21] Is a directory" in caplog.text

    def test_a_lost_run_is_not_retried(self, kala):
        job = kala.create(retries=3)
        kala.restart(minutes=1)
        kala.passes(hours=1)
        assert kala.story(job) == ["creation lost"]

    def test_a_lost_run_starts_no_on_failure_job(self, kala):
        alarm = kala.create(schedule=FAR)
        kala.create(on_failure_job=alarm)
        kala.restart(minutes=1)
        assert kala.runs(alarm) == []

    def test_a_job_whose_run_was_lost_runs_at_its_next_slot(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.restart(minutes=1)
        kala.passes(minutes=59)
        assert kala.story(job) == ["schedule lost", "schedule running"]

    def test_a_slot_that_waited_for_the_lost_run_starts(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.passes(hours=1)
        kala.passes(hours=1)
        kala.restart(minutes=1)
        assert kala.story(job) == ["schedule lost", "schedule running"]

    def test_manual_starts_that_waited_for_the_lost_run_all_start(self, kala):
        job = kala.create()
        kala.start(job)
        kala.start(job)
        kala.restart(minutes=1)
        kala.succeed(job)
        kala.succeed(job)
        assert kala.story(job) == ["creation lost", "manual succeeded", "manual succeeded"]

    def test_a_queued_retry_starts(self, new_kala):
        kala = new_kala(workers=1)
        job, other = kala.create(retries=1), kala.create()
        kala.fail(job)
        kala.restart(minutes=1)
        kala.succeed(job)
        assert kala.story(other) == ["creation lost"]
        assert kala.story(job) == ["creation failed", "retry succeeded"]

    def test_queued_runs_start_once_and_oldest_first(self, new_kala):
        kala = new_kala(workers=1)
        jobs = [kala.create() for _ in range(3)]
        kala.restart(minutes=1)
        kala.succeed(jobs[1])
        kala.succeed(jobs[2])
        assert [kala.story(job) for job in jobs] == [["creation lost"], ["creation succeeded"], ["creation succeeded"]]

    def test_a_job_whose_only_run_was_lost_is_done(self, kala):
        job = kala.create()
        kala.restart(minutes=1)
        assert kala.job(job).is_done

    def test_a_run_of_a_deleted_job_is_lost(self, kala):
        job = kala.create()
        kala.delete(job)
        kala.restart(minutes=1)
        assert kala.story(job) == ["creation lost"]

    def test_a_second_crash_changes_nothing(self, kala):
        kala.create()
        kala.restart(minutes=1)
        before = kala.runs()
        kala.restart(minutes=1)
        assert kala.runs() == before


class TestDraining:
    def test_starts_no_run(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.drain()
        kala.passes(hours=1)
        assert kala.runs(job) == []

    def test_starts_no_run_of_the_same_step(self, kala):
        [_, created] = kala.step(Drain(), CreateJob(kala.job(kala.create()).spec))
        assert kala.runs(created.result().id) == []

    def test_queues_manual_starts_until_the_restart(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.drain()
        kala.start(job)
        assert kala.story(job) == ["manual queued"]
        kala.restart(minutes=1)
        assert kala.story(job) == ["manual running"]

    def test_records_the_last_ends_and_queues_what_follows(self, kala):
        parent = kala.create()
        child = kala.create(parents=(parent,))
        kala.drain()
        kala.succeed(parent)
        assert [kala.story(parent), kala.story(child)] == [["creation succeeded"], ["parent queued"]]
        kala.restart(minutes=1)
        assert kala.story(child) == ["parent running"]

    def test_leaves_slots_to_the_next_start_which_runs_the_latest(self, kala):
        job = kala.create(schedule=HOURLY)
        kala.drain()
        for _ in range(3):
            kala.passes(hours=1)
        kala.restart(minutes=1)
        assert kala.slots(job) == ["15:00"]
