"""The one loop that owns every write.

It waits for messages and for due times, applies all that gathered in one transaction, and only when that is on disk
does it start runs, answer callers and tell the feed. While one commit is being written, messages gather for the next.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

import msgspec

from kala.core.clock import CLOCK_SLACK, rules_of
from kala.core.errors import Busy, KalaError
from kala.core.run import FAILURES, Outcome, Run, State
from kala.engine import run_log
from kala.engine.feed import Feed
from kala.engine.job_writer import JobWriter
from kala.engine.messages import (
    CancelRun,
    CreateJob,
    DeleteAllJobs,
    DeleteJob,
    DeleteRun,
    Drain,
    Message,
    OfJobs,
    OfRuns,
    RunEnded,
    StartJob,
    Stop,
    UpdateJob,
)
from kala.engine.outage import Outage
from kala.engine.pruner import Pruner, Retention
from kala.engine.run_writer import Effects, RunWriter
from kala.runner.executor import Executor
from kala.runner.spool import Spool, clear, path_of, remove
from kala.store.store import Store

logger = logging.getLogger("kala.engine")

Asked = tuple[Message, "Future[Any]"]

# A step takes at most so many messages and slots, so that no caller waits for the whole of a flood.
_STEP_LIMIT = 500
# Ends of runs that come close upon each other are written together, at the latest after so long. Nobody waits for them.
_GATHER_SECONDS = 0.005
# A step takes no further message after so long; the others wait for the next, and what came due in between for neither.
_STEP_SECONDS = 0.05
# The wall clock may be set while the loop waits; it looks at least so often.
_LONGEST_WAIT = 30.0
# Between two steps that lie further apart nobody was watching: the machine slept, or its clock was set.
_GAP = timedelta(seconds=2 * _LONGEST_WAIT)
# After the database could not be written, until the next try.
_PAUSE = 1.0
_ANSWER_SECONDS = 30.0
# How often the loop looks whether commands still wait for a starter.
_RELIEF_SECONDS = 0.5
# For how many intervals between beats every command may fail to start, before the beats end: with WatchdogSec=30, 20 s.
_STUCK_INTERVALS = 4 / 3
_UNWATCHED_INTERVAL = 15.0
_CANCELLED = "cancelled by request"
_LOST = "Kala stopped while this run was running; its outcome is unknown"


class Engine:
    """Owns the writing side of the store, and which runs are running. Everyone else sends messages."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        feed: Feed,
        zone: Callable[[], tzinfo],
        *,
        pools: Callable[[], Mapping[str, int]] = dict,
        keep: Callable[[], Retention] = Retention,
        beat: Callable[[], None] = lambda: None,
        beat_interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`zone` is the server's, asked for in each step, as it can change while Kala runs.

        `pools` has how many runs may be running at a time in each pool, `keep` what is kept of the history.

        `beat` is called at least every `beat_interval` seconds for as long as the loop does its work.
        """
        self._store = store
        self._executor = executor
        self._feed = feed
        self._beat = beat
        self._longest_wait = min(_LONGEST_WAIT, beat_interval or _LONGEST_WAIT)
        self._stuck_limit = _STUCK_INTERVALS * (beat_interval or _UNWATCHED_INTERVAL)
        self._clock = clock
        self._asked: list[Asked] = []
        self._is_behind = False
        self._inbox: SimpleQueue[Asked | None] = SimpleQueue()
        self._ended: deque[RunEnded] = deque()
        self._is_gathering = False
        self._written_at = 0.0
        self._unwritten: list[RunEnded] = []
        self._server_zone = zone
        self._zone = zone()
        self._runs = RunWriter(store.writer, lambda: self._zone, pools)
        self._jobs = JobWriter(store.writer, self._runs, lambda: self._zone, pools)
        self._pruner = Pruner(store.writer, keep, store.outputs)
        self._running: dict[int, Run] = {}
        # Why runs that are running were asked to end.
        self._asked_to_end: dict[int, str] = {}
        self._next_due: datetime | None = None
        self._watching_since = self._latest = self._last_written = datetime.min.replace(tzinfo=UTC)
        self._set_back = timedelta()
        # While jobs may have to be planned again: by how much the clock was set back, nothing for another zone.
        self._stale_by: timedelta | None = timedelta()
        self._is_draining = False
        self._is_stopping = False
        self._outage = Outage("the database is writable again")
        self._stuck = Outage("commands are starting again")
        self._idle = Event()
        self._idle.set()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Run the loop in a thread of its own, from what the last Kala left."""
        started: Future[None] = Future()
        self._thread = Thread(target=self._loop, args=(started,), name="kala-engine", daemon=True)
        self._thread.start()
        started.result()

    def ask(self, message: Message) -> "Future[Any]":
        """Send a message; the future answers when what was asked is on disk, or raises why it is not."""
        answer: Future[Any] = Future()
        self._inbox.put((message, answer))
        return answer

    def call(self, message: Message) -> Any:
        """Send a message and wait for its answer. Raises Busy where none comes in time: it may still be carried out."""
        try:
            return self.ask(message).result(_ANSWER_SECONDS)
        except TimeoutError:
            raise Busy(
                f"no response within {_ANSWER_SECONDS:.0f} s; check whether the change was made before you try again"
            ) from None

    @property
    def running(self) -> int:
        """How many runs are running, as of the last step."""
        return len(self._running)

    @property
    def is_behind(self) -> bool:
        """Whether the last step has left something to the next, which then begins at once."""
        return self._is_behind

    def wait_idle(self, timeout: float) -> bool:
        """Whether no run is running, as soon as that is so, or after `timeout` seconds. Meant for after Drain."""
        return self._idle.wait(timeout)

    def stop(self) -> None:
        """End the loop, once it has written all that was sent before. Idempotent."""
        thread = self._thread
        if thread and thread.is_alive():
            self.ask(Stop())
            thread.join()

    def _loop(self, started: "Future[None]") -> None:
        try:
            self.recover(datetime.now(UTC))
            self._executor.start(self._done)
            self.step([], [], datetime.now(UTC))
        except BaseException as error:  # noqa: BLE001  it is raised where start() waits
            self._store.release_writer()
            started.set_exception(error)
            return
        started.set_result(None)
        while not self._is_stopping or self._asked:
            self._turn()
        self._store.release_writer()

    def _turn(self) -> None:
        ends, asked = self._gather()
        try:
            self.step(ends, asked, datetime.now(UTC))
        except Exception:
            # A fault of ours must not leave Kala alive and deaf. Without a beat, the service manager starts it anew.
            logger.exception("a step of the engine failed with an internal error")
            self._put_off([*self._unwritten, *ends], Busy("internal error; see Kala's log"))
        else:
            self._beat_unless_stuck()

    def _beat_unless_stuck(self) -> None:
        """Beat for as long as runs are started, too: a Kala that only answers is of no use, and is to be restarted."""
        seconds = self._executor.stuck_seconds()
        if seconds > self._stuck_limit:
            self._stuck.begin(
                f"no command was started for {seconds:.0f} s, and no worker is free; the watchdog gets no beat"
            )
            return
        self._stuck.end()
        self._beat()

    def _done(self, run: Run, outcome: Outcome, output: bytes | None) -> None:
        # In this order: whoever finds the loop gathering is found by it. Else it is woken, by a message without words.
        self._ended.append(RunEnded(run, outcome, output))
        if not self._is_gathering:
            self._inbox.put(None)

    def _gather(self) -> tuple[list[RunEnded], list[Asked]]:
        asked = self._await(self._patience())
        if self._ended and not asked:
            self._is_gathering = True
            asked = self._await(min(self._patience(), self._written_at + _GATHER_SECONDS - time.monotonic()))
            self._is_gathering = False
        return [self._ended.popleft() for _ in range(len(self._ended))], asked

    def _await(self, seconds: float) -> list[Asked]:
        """What callers ask, as soon as one does or the loop is woken, or after so long."""
        found = []
        with suppress(Empty):
            found.append(self._inbox.get(timeout=max(0.0, seconds)))
            while len(found) < _STEP_LIMIT:
                found.append(self._inbox.get_nowait())
        return [one for one in found if one]

    def _patience(self) -> float:
        if self._outage.is_on:
            return _PAUSE
        if self._is_behind:
            return 0.0
        longest = _RELIEF_SECONDS if self._executor.relieve() else self._longest_wait
        if self._is_draining or self._next_due is None:
            return longest
        wait = (self._next_due - datetime.now(UTC)).total_seconds()
        return min(max(wait, 0.0), longest)

    def recover(self, now: datetime) -> None:
        """Find the runs that the last Kala left running: how they ended is not known, and they do not run again."""
        self._watching_since = self._latest = self._last_written = now
        with self._store.transaction():
            self._look_back(now)
            self._runs.begin(0, ())
            self._store.writer.runs.release_pool()
            lost = self._store.writer.runs.running()
            for run in lost:
                logger.warning("run %s of %s is lost: %s", run.id, run.job_name, _LOST)
            self._runs.finish([RunEnded(run, self._lost(run, now)) for run in lost], now)
        clear(self._store.outputs)

    def _look_back(self, now: datetime) -> None:
        """Notice that the clock was set back or the zone changed while no Kala ran, by what the last one wrote."""
        self._store.writer.runs.shorten_retries(now, now + CLOCK_SLACK)
        if any(job.zone_rules for job in self._store.writer.jobs.of_other_zone(rules_of(self._zone), 1)):
            self._tell_of_zone()
        last_claim = self._store.writer.jobs.last_claim() or now
        if last_claim - now > CLOCK_SLACK:
            self._plan_again(last_claim - now, now)
        else:
            self._latest = max(now, last_claim)

    def _plan_again(self, set_back: timedelta, now: datetime) -> None:
        self._stale_by = max(self._stale_by or timedelta(), set_back)
        logger.warning(
            "the clock was set back by %s to %s: jobs are planned again",
            timedelta(seconds=round(set_back.total_seconds())),
            f"{now:%Y-%m-%d %H:%M:%S} UTC",
            extra={"fields": {"action": "clock_set_back", "seconds": round(set_back.total_seconds())}},
        )

    def _lost(self, run: Run, now: datetime) -> Outcome:
        size, is_cut = self._mend_output(run)
        return Outcome(state=State.LOST, ended_at=now, message=_LOST, output_size=size, output_cut=is_cut)

    def _mend_output(self, run: Run) -> tuple[int, bool]:
        """Bring what a lost run printed into its final form: the bytes that are kept, and whether some are not."""
        path = path_of(self._store.outputs, run.id)
        try:
            spool = Spool.found(self._store.outputs, run.id)
            if spool:
                spool.finish(path)
            # Where there is no spool, Kala may have died between the end of the run and its being written.
            return path.stat().st_size if path.exists() else 0, spool is not None and spool.is_cut
        except OSError as error:
            logger.warning("cannot store the output of run %s of %s: %s", run.id, run.job_name, error)
            return 0, False

    def step(self, ends: Sequence[RunEnded], asked: Sequence[Asked], now: datetime) -> None:
        """Write what ended, do what is asked, claim what is due, in one transaction; then start, answer and tell."""
        self._notice_gap(now)
        self._notice_zone()
        began = self._clock()
        ends = [*self._unwritten, *ends]
        self._asked += [one for one in asked if not self._obey(*one)]
        free = 0 if self._is_draining else self._executor.workers - len(self._running) + len(ends)
        try:
            with self._store.transaction():
                if self._outage.is_on:
                    self._store.prove_writable()
                if self._set_back:
                    # A slot is an instant of the plan; a retry is to wait for so long, whatever the clock says.
                    self._store.writer.runs.bring_forward(self._set_back)
                effects = self._runs.begin(free, [run.pool for run in self._running.values()])
                self._runs.go_on(now)
                self._finish(ends, effects, now)
                answers = self._apply_some(effects, now, began + _STEP_SECONDS)
                self._jobs.clear(now)
                stale_by = self._start_due(now)
                self._runs.count_starts(now)
                effects.gone += self._pruner.prune(now)
                self._next_due = self._store.next_due()
        except Busy as error:
            self._put_off(ends, error)
            return
        self._unwritten, self._set_back, self._last_written = [], timedelta(), now
        self._stale_by = stale_by
        self._outage.end()
        for end in ends:
            self._running.pop(end.run.id, None)
            self._asked_to_end.pop(end.run.id, None)
        self._written_at = time.monotonic()
        self._carry_out(effects, answers)
        del self._asked[: len(answers)]
        is_stale = self._stale_by is not None and not self._is_draining
        self._is_behind = bool(self._asked) or is_stale or self._runs.is_behind or self._jobs.is_behind

    def _notice_gap(self, now: datetime) -> None:
        # What could not be written was not watched either: it came due, and nothing could become of it.
        has_gap = now - self._last_written > _GAP
        set_back = self._latest - now
        if set_back > CLOCK_SLACK:
            self._set_back += set_back
            self._plan_again(set_back, now)
            self._latest = now
        self._latest = max(self._latest, now)
        self._watching_since = now if has_gap else min(self._watching_since, now)

    def _notice_zone(self) -> None:
        zone = self._server_zone()
        if zone is self._zone:
            return
        is_other = rules_of(zone) != rules_of(self._zone)
        self._zone = zone
        if is_other:
            self._stale_by = self._stale_by or timedelta()
            self._tell_of_zone()

    def _tell_of_zone(self) -> None:
        logger.warning(
            "the server's time zone, now %s, or its rules have changed: jobs that follow it are planned again",
            self._zone,
            extra={"fields": {"action": "zone_changed", "zone": str(self._zone)}},
        )

    def _obey(self, message: Message, answer: "Future[Any]") -> bool:
        """Take what is about the loop itself; it needs no database."""
        if not isinstance(message, Drain | Stop):
            return False
        self._is_draining = True
        self._is_stopping = isinstance(message, Stop)
        answer.set_result(None)
        return True

    def _start_due(self, now: datetime) -> timedelta | None:
        """Claim and start what is due; what comes back is by how much the plans of jobs may still be stale."""
        stale_by = self._stale_by
        if not self._is_draining:
            if stale_by is not None and not self._runs.plan_again(now, self._latest, stale_by, _STEP_LIMIT):
                stale_by = None
            # In this order, so that a slot that comes due becomes part of one that still waits for its turn.
            self._runs.claim_due(now, self._watching_since, _STEP_LIMIT)
            self._runs.start_ready(now)
        return stale_by

    def _put_off(self, ends: list[RunEnded], error: Busy) -> None:
        """What the executor did cannot be asked for again: it is kept for the next step. The others are told."""
        self._outage.begin(f"{error}; retrying every {_PAUSE:g} s")
        self._unwritten = ends
        for _, answer in self._asked:
            if not answer.done():
                answer.set_exception(error)
        self._asked.clear()
        self._runs.undone()
        self._jobs.undone()

    def _finish(self, ends: Sequence[RunEnded], effects: Effects, now: datetime) -> None:
        """Write the ends of runs together; where one cannot be written, each alone, so that it fails alone."""
        if not ends:
            return
        mark = effects.mark()
        try:
            with self._store.savepoint():
                self._runs.finish([self._as_asked(end) for end in ends], now)
        except Busy:
            raise
        except Exception:
            effects.undo(mark)
            if len(ends) == 1:
                logger.exception("cannot store the outcome of run %s", ends[0].run.id)
            else:
                for end in ends:
                    self._finish([end], effects, now)

    def _as_asked(self, end: RunEnded) -> RunEnded:
        """A run that was failing by itself as it was asked to end counts as cancelled: nobody wants it tried again."""
        reason = self._asked_to_end.get(end.run.id)
        if reason is None or end.outcome.state not in FAILURES:
            return end
        outcome = msgspec.structs.replace(end.outcome, state=State.CANCELLED, message=reason)
        return msgspec.structs.replace(end, outcome=outcome)

    def _apply_some(self, effects: Effects, now: datetime, end: float) -> list[Callable[[], None]]:
        """Do what is asked, one after the other and at least one, until it is too late to begin with another."""
        answers = []
        for message, answer in self._asked:
            answers.append(self._apply(message, answer, effects, now))
            if self._clock() >= end:
                break
        return answers

    def _apply(self, message: Message, answer: "Future[Any]", effects: Effects, now: datetime) -> Callable[[], None]:
        """Do what the message asks for, alone in its savepoint; what comes back answers it after the commit."""
        logger.debug("request: %s", type(message).__name__)
        mark = effects.mark()
        try:
            with self._store.savepoint():
                result = self._do(message, now)
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001  it fails alone, and is raised where the asker waits
            effects.undo(mark)
            return partial(self._refuse, message, answer, error)
        return partial(answer.set_result, result)

    def _do(self, message: Message, now: datetime) -> Any:
        if isinstance(message, OfJobs):
            return self._do_for_jobs(message, now)
        if isinstance(message, OfRuns):
            return self._do_for_runs(message, now)
        return self._store.writer.runs.release_pool()

    def _do_for_jobs(self, message: OfJobs, now: datetime) -> Any:
        match message:
            case CreateJob(spec):
                return self._jobs.create(spec, now)
            case UpdateJob(job, revise):
                return self._jobs.update(job, revise, now)
            case DeleteJob(job):
                return self._jobs.delete(job)
            case DeleteAllJobs():
                return self._jobs.delete_all()
            case StartJob(job):
                return self._jobs.start(job, now)

    def _do_for_runs(self, message: OfRuns, now: datetime) -> None:
        match message:
            case CancelRun(run_id):
                self._runs.cancel(run_id, _CANCELLED, now)
            case DeleteRun(run_id):
                self._runs.delete(run_id)

    def _refuse(self, message: Message, answer: "Future[Any]", error: Exception) -> None:
        if not isinstance(error, KalaError):
            logger.error("%s failed with an internal error", type(message).__name__, exc_info=error)
        answer.set_exception(error)

    def _carry_out(self, effects: Effects, answers: Sequence[Callable[[], None]]) -> None:
        for run, job in effects.starts:
            self._running[run.id] = run
            self._executor.submit(run, job)
        for run in effects.ends:
            self._executor.forget(run.id)
            self._pruner.note(run.job_id)
        for run, reason in effects.cancels:
            self._asked_to_end[run.id] = reason
            self._executor.cancel(run.id, reason)
        for answer in answers:
            answer()
        for run_id in effects.gone:
            remove(path_of(self._store.outputs, run_id))
        if self._running:
            self._idle.clear()
        else:
            self._idle.set()
        self._feed.publish(effects.changes)
        run_log.write(effects.starts, effects.ends)
