"""The loop in its own thread: it handles messages, wakes up when something is due, and ends when it is stopped."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from queue import Queue
from threading import Event, Thread

import pytest
from samples import FAR

from kala.core.caller import KALA
from kala.core.errors import Busy, Invalid
from kala.core.job import Command, Job, Spec
from kala.core.run import Outcome, Run, State
from kala.engine import engine as module
from kala.engine import inbox, plans
from kala.engine.engine import Engine
from kala.engine.feed import Feed
from kala.engine.messages import CreateJob, Drain, StartJob
from kala.store.store import Store

SPEC = Spec(name="backup", action=Command("true"))
LATER = Spec(name="later", action=Command("true"), schedule=FAR)
PATIENCE = 5  # seconds; a test that passes does not wait for it


class Workers:
    """An executor whose runs end when a test says so; `given` is a queue of the runs that were submitted."""

    workers = 4

    def __init__(self) -> None:
        self.given: Queue[Run] = Queue()
        self.stuck = 0.0

    def start(self, done: Callable[[Run, Outcome, bytes | None], None]) -> None:
        self._done = done

    def submit(self, run: Run, job: Job) -> None:
        self.given.put(run)

    def relieve(self) -> bool:
        return False

    def stuck_seconds(self) -> float:
        return self.stuck

    def forget(self, run_id: int) -> None:
        pass

    def end(self, run: Run) -> None:
        self._done(run, Outcome(state=State.SUCCEEDED, ended_at=datetime.now(UTC)), None)


@pytest.fixture
def workers():
    return Workers()


@pytest.fixture
def new_engine(tmp_path, workers):
    """Make an engine on the same files; the one before it is stopped."""
    stores, engines = [], []

    def stop():
        for engine in engines:
            engine.stop()
        for store in stores:
            store.close()
        engines.clear()
        stores.clear()

    def new(**options) -> Engine:
        stop()
        stores.append(Store(tmp_path / "kala"))
        engines.append(Engine(stores[0], workers, Feed(), lambda: UTC, **options))
        return engines[0]

    yield new
    stop()


@pytest.fixture
def engine(new_engine):
    engine = new_engine()
    engine.start()
    return engine


class TestAsking:
    def test_answers_each_of_many_callers(self, engine):
        answers = [engine.ask(CreateJob(LATER), KALA) for _ in range(100)]
        assert len({answer.result(PATIENCE).id for answer in answers}) == 100

    def test_raises_the_error_in_the_caller(self, engine):
        with pytest.raises(Invalid, match=r"^schedule: must be R\[n\]/START/INTERVAL, .*, not 'hourly'"):
            engine.call(CreateJob(Spec(name="backup", action=Command("true"), schedule="hourly")), KALA)

    def test_raises_busy_after_the_timeout(self, new_engine, monkeypatch):
        monkeypatch.setattr(module, "_ANSWER_SECONDS", 0)
        with pytest.raises(
            Busy, match=r"^no response within 0 s; check whether the change was made before you try again$"
        ):
            new_engine().call(CreateJob(LATER), KALA)

    def test_raises_busy_after_an_internal_error(self, engine, workers, monkeypatch):
        monkeypatch.setattr(workers, "submit", lambda run, job: 1 / 0)
        with pytest.raises(Busy):
            engine.call(CreateJob(SPEC), KALA)


class TestTheLoop:
    def test_starts_a_run_that_is_due_at_once(self, engine, workers):
        job = engine.call(CreateJob(SPEC), KALA)
        assert workers.given.get(timeout=PATIENCE).job_id == job.id

    def test_wakes_up_when_a_slot_is_due(self, engine, workers):
        soon = datetime.now(UTC) + timedelta(seconds=0.2)
        engine.call(CreateJob(Spec(name="soon", action=Command("true"), schedule=f"R0/{soon.isoformat()}")), KALA)
        run = workers.given.get(timeout=PATIENCE)
        assert run.slot == soon <= run.started_at

    def test_wakes_up_when_a_run_ends(self, engine, workers):
        parent = engine.call(CreateJob(SPEC), KALA)
        child = engine.call(CreateJob(Spec(name="child", action=Command("true"), parents=(parent.id,))), KALA)
        workers.end(workers.given.get(timeout=PATIENCE))
        assert workers.given.get(timeout=PATIENCE).job_id == child.id

    def test_starts_the_queued_runs_of_the_engine_before(self, new_engine, workers):
        first = new_engine()
        first.start()
        job = first.call(CreateJob(LATER), KALA)
        first.call(Drain(), KALA)
        first.call(StartJob(job.id), KALA)
        new_engine().start()
        assert workers.given.get(timeout=PATIENCE).job_id == job.id

    def test_beats_while_idle(self, new_engine):
        beats = Queue()
        new_engine(beat=lambda: beats.put(1), beat_interval=0.01).start()
        assert sum(beats.get(timeout=PATIENCE) for _ in range(5)) == 5

    def test_does_not_beat_while_commands_cannot_start_and_logs_that_once(self, new_engine, workers, caplog):
        beats = Queue()
        engine = new_engine(beat=lambda: beats.put(1))
        for workers.stuck in (20.0, 20.1, 30.0, 0.0, 0.0):
            engine._beat_unless_stuck()
        assert beats.qsize() == 3
        assert [record.getMessage() for record in caplog.records] == [
            "no command was started for 20 s, and no worker is free; the watchdog gets no beat",
            "commands are starting again",
        ]

    def test_does_not_log_an_internal_error_as_an_outage_of_the_database(self, new_engine, monkeypatch, caplog):
        engine = new_engine()
        engine.start()
        claim_due, faults = plans.claim_due, [ZeroDivisionError]

        def fail_once(*arguments):
            if faults:
                raise faults.pop()
            claim_due(*arguments)

        monkeypatch.setattr(plans, "claim_due", fail_once)
        with pytest.raises(Busy, match=r"^internal error; see Kala's log$"):
            engine.call(CreateJob(LATER), KALA)
        while engine._outage.is_on:
            engine.ask(CreateJob(LATER), KALA).exception(PATIENCE)
        assert [record.getMessage() for record in caplog.records if record.name == "kala.engine"] == [
            "a step of the engine failed with an internal error",
            "internal error; see Kala's log; retrying every 1 s",
            "the engine works again after an internal error",
        ]

    def test_that_cannot_start_raises_the_error_in_start(self, new_engine, tmp_path):
        engine = new_engine()
        engine._store._writing.timeout = 0
        other = sqlite3.connect(tmp_path / "kala" / "kala.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy):
            engine.start()
        other.close()


class TestEndsOfRuns:
    @pytest.fixture
    def steps(self, engine, monkeypatch) -> Queue:
        """The kinds of messages and ends that each step from now on has taken."""
        steps, step = Queue(), engine.step

        def noting(ends, asked, now):
            step(ends, asked, now)
            steps.put([type(message).__name__ for message in [*ends, *(message for message, *_ in asked)]])

        monkeypatch.setattr(engine, "step", noting)
        return steps

    @pytest.fixture
    def runs(self, engine, workers) -> list[Run]:
        for _ in range(3):
            engine.call(CreateJob(SPEC), KALA)
        return [workers.given.get(timeout=PATIENCE) for _ in range(3)]

    def test_that_come_close_together_are_written_together(self, workers, runs, steps, monkeypatch):
        monkeypatch.setattr(inbox, "_GATHER_SECONDS", 0.5)
        for run in runs:
            workers.end(run)
        while "RunEnded" not in (written := steps.get(timeout=PATIENCE)):
            pass
        assert written == ["RunEnded"] * 3

    def test_delay_no_caller_while_they_gather(self, engine, workers, runs, steps, monkeypatch):
        monkeypatch.setattr(inbox, "_GATHER_SECONDS", 60)
        workers.end(runs[0])
        engine.call(CreateJob(LATER), KALA)
        while "CreateJob" not in (written := steps.get(timeout=PATIENCE)):
            assert written == []
        assert written in (["RunEnded", "CreateJob"], ["CreateJob"])

    def test_delay_no_slot_while_they_gather(self, engine, workers, runs, monkeypatch):
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        engine.call(CreateJob(Spec(name="soon", action=Command("true"), schedule=f"R0/{soon.isoformat()}")), KALA)
        monkeypatch.setattr(inbox, "_GATHER_SECONDS", 60)
        workers.end(runs[0])
        assert workers.given.get(timeout=PATIENCE).slot == soon


class TestBeingIdle:
    def test_is_true_at_the_start(self, engine):
        assert engine.wait_idle(0)

    def test_is_false_while_a_run_is_running(self, engine, workers):
        engine.call(CreateJob(SPEC), KALA)
        workers.given.get(timeout=PATIENCE)
        engine.call(Drain(), KALA)
        assert not engine.wait_idle(0)

    def test_is_true_when_the_last_run_has_been_recorded(self, engine, workers):
        engine.call(CreateJob(SPEC), KALA)
        run = workers.given.get(timeout=PATIENCE)
        engine.call(Drain(), KALA)
        workers.end(run)
        assert engine.wait_idle(PATIENCE)
        assert engine._store.writer.runs.running() == []


class TestStopping:
    def test_comes_after_all_earlier_messages(self, engine):
        answers = [engine.ask(CreateJob(LATER), KALA) for _ in range(100)]
        engine.stop()
        assert all(answer.done() for answer in answers)

    def test_can_be_repeated(self, engine):
        engine.stop()
        engine.stop()

    def test_of_an_engine_that_never_started_does_nothing(self, new_engine):
        new_engine().stop()

    def test_can_race_with_another_thread_that_stops_it(self, engine, monkeypatch):
        ask = engine.ask

        def ask_while_another_stops(message, caller):
            monkeypatch.setattr(engine, "ask", ask)
            other = Thread(target=engine.stop)
            other.start()
            other.join(PATIENCE)
            return ask(message, caller)

        monkeypatch.setattr(engine, "ask", ask_while_another_stops)
        engine.stop()

    def test_can_be_called_by_ten_threads_at_once(self, engine):
        go, faults = Event(), []

        def stop():
            go.wait()
            try:
                engine.stop()
            except BaseException as fault:  # noqa: BLE001  the test is that there is none
                faults.append(fault)

        threads = [Thread(target=stop) for _ in range(10)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert faults == []
        assert not any(thread.is_alive() for thread in threads)
