"""The one loop that owns every write.

It waits for messages, ends of runs and due times, and writes what follows from them in one transaction. Only after the
commit does it start runs, answer callers and publish to the feed. While one commit is written, messages gather for the
next.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from threading import Event, Thread
from typing import Any, TypeVar

from msgspec.structs import replace

from kala.core import policy
from kala.core.caller import KALA, Caller
from kala.core.clock import CLOCK_SLACK
from kala.core.errors import Busy, KalaError
from kala.core.run import Run, RunEnded
from kala.engine import audit_log, boot, followers, plans, recovery, replies, requests, run_log, starts
from kala.engine import ends as run_ends
from kala.engine.capacity import Capacity
from kala.engine.continuity import LONGEST_WAIT, Continuity
from kala.engine.effects import Effects
from kala.engine.feed import Feed
from kala.engine.inbox import Asked, Inbox
from kala.engine.messages import Change, Drain, Message, Stop
from kala.engine.outage import Outage
from kala.engine.pruner import Pruner, Retention
from kala.engine.status import EngineStatus, StatusBoard
from kala.engine.step import Leftovers, Refused, Step, Undo
from kala.runner.executor import Executor
from kala.runner.spool import clear, path_of, remove
from kala.store.store import Store

logger = logging.getLogger("kala.engine")

T = TypeVar("T")

# Upper bound of jobs that a step claims or plans again, so that no caller waits for a whole flood.
_STEP_LIMIT = 500
# A step takes no further message after this time, so that messages do not delay slots; the next step takes the rest.
_STEP_SECONDS = 0.05
# Pause before the next step after the database could not be written.
_RETRY_SECONDS = 1.0
# Timeout of call().
_ANSWER_SECONDS = 30.0
# How often the loop checks whether commands still wait for a starter.
_RELIEF_SECONDS = 0.5
# The beats end when no command could start for this many intervals between beats: with WatchdogSec=30, for 20 s.
_STUCK_INTERVALS = 4 / 3
# The interval that this refers to without a watchdog.
_UNWATCHED_INTERVAL = 15.0


class Engine:
    """The only writer to the store, which also knows the runs that are running. Other threads send messages."""

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
        boot_id: str = "",
        own_user: str = "",
        access_changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`zone`, `pools` and `keep` are functions, as their values can change while Kala runs.

        They return the server's zone, the sizes of the pools, and the limits of the history.

        `beat` is called at least every `beat_interval` seconds for as long as the loop does its work. `boot_id` is a
        new one after each boot of the machine. `own_user` is root if Kala runs as root.
        `access_changed` is called after users, tokens or logins were changed.
        """
        self._store = store
        self._executor = executor
        self._feed = feed
        self._zone = zone
        self._pools = pools
        self._beat = beat
        self._boot_id = boot_id
        self.own_user = own_user
        self._access_changed = access_changed
        self._longest_wait = min(LONGEST_WAIT, beat_interval or LONGEST_WAIT)
        self._stuck_limit = _STUCK_INTERVALS * (beat_interval or _UNWATCHED_INTERVAL)
        self._clock = clock
        self._inbox = Inbox(executor.workers)
        self._continuity = Continuity(zone())
        self._leftovers = Leftovers()
        self._pruner = Pruner(store.writer, keep, store.outputs)
        # Messages that were not carried out yet, and ends that could not be written yet.
        self._asked: list[Asked] = []
        self._unwritten: list[RunEnded] = []
        self._running: dict[int, Run] = {}
        # Why runs that are running were asked to end.
        self._cancel_reasons: dict[int, str] = {}
        self._next_due: datetime | None = None
        self._last_commit = 0.0
        self._is_behind = False
        self._is_draining = False
        self._is_stopping = False
        self._outage = Outage()
        self._stuck = Outage()
        self._board = StatusBoard(clock)
        self._idle = Event()
        self._idle.set()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Run the loop in a thread of its own, from what the last Kala left."""
        started: Future[None] = Future()
        self._thread = Thread(target=self._loop, args=(started,), name="kala-engine", daemon=True)
        self._thread.start()
        started.result()

    def ask(self, message: Message[T], caller: Caller) -> "Future[T]":
        """Send a message; the future has the answer when the change is on disk, or raises why it is not."""
        return self._inbox.ask(message, caller)

    def call(self, message: Message[T], caller: Caller) -> T:
        """Send a message and wait for its answer. Raises Busy if none comes in time: it may still be carried out."""
        try:
            return self.ask(message, caller).result(_ANSWER_SECONDS)
        except TimeoutError:
            raise replies.no_answer(_ANSWER_SECONDS) from None

    def call_all(self, messages: Sequence[Message[T]], caller: Caller) -> list[T | KalaError]:
        """Send messages together, and return the answer or the error of each."""
        answers = [self.ask(message, caller) for message in messages]
        wait(answers, _ANSWER_SECONDS)
        return [replies.result(answer, _ANSWER_SECONDS) for answer in answers]

    @property
    def running(self) -> int:
        """How many runs are running, as of the last step."""
        return len(self._running)

    @property
    def status(self) -> EngineStatus:
        """What the engine published about itself after its last step. For any thread, without waiting."""
        return self._board.current

    @property
    def is_behind(self) -> bool:
        """Whether the last step has left something to the next, which then begins at once."""
        return self._is_behind

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no run is running, at most `timeout` seconds; return whether that is so. Meant for after Drain."""
        return self._idle.wait(timeout)

    def stop(self) -> None:
        """Stop the loop after it has carried out all earlier messages. Idempotent."""
        thread = self._thread
        if thread and thread.is_alive():
            self.ask(Stop(), KALA)
            thread.join()

    def _loop(self, started: "Future[None]") -> None:
        try:
            self.recover(datetime.now(UTC))
            self._executor.start(self._inbox.run_ended)
            self.step([], [], datetime.now(UTC))
        except BaseException as error:  # noqa: BLE001  start() raises it
            self._store.release_writer()
            started.set_exception(error)
            return
        started.set_result(None)
        while not self._is_stopping or self._asked:
            self._turn()
        self._store.release_writer()

    def _turn(self) -> None:
        ends, asked = self._inbox.take(self._timeout, self._last_commit)
        try:
            self.step(ends, asked, datetime.now(UTC))
        except Exception:
            # A fault of ours must not leave Kala alive and deaf. Without a beat, the service manager restarts it.
            logger.exception("a step of the engine failed with an internal error")
            error = Busy("internal error; see Kala's log")
            self._postpone([*self._unwritten, *ends], error, over="the engine works again after an internal error")
        else:
            self._beat_unless_stuck()

    def step(self, ends: Sequence[RunEnded], asked: Sequence[Asked], now: datetime) -> None:
        """Write ends, carry out messages and claim due slots in one transaction; then start, answer and publish."""
        began = self._clock()
        self._continuity.check(now, self._zone())
        ends = [*self._unwritten, *ends]
        self._asked += [one for one in asked if not self._handle_control(one)]
        running = self._running.keys() - {end.run.id for end in ends}  # a run that is reported twice frees one worker
        free = 0 if self._is_draining else self._executor.workers - len(running)
        try:
            with self._store.transaction():
                if self._outage.is_on:
                    self._store.prove_writable()
                if self._continuity.set_back:
                    # The clock was set back. Slots are wall-clock times and stay; a retry delay is a length, so shift
                    # not_before with the clock.
                    self._store.writer.runs.bring_forward(self._continuity.set_back)
                step = self._new_step(now, free=free)
                followers.resume(step)
                self._finish(step, ends)
                answers = self._carry_out_messages(step, began + _STEP_SECONDS)
                requests.clean_up(step)
                stale_by = self._continuity.stale_by if self._is_draining else self._start_due(step)
                step.effects.deleted_runs += self._pruner.prune(now)
                self._next_due = self._store.next_due()
        except Busy as error:
            self._postpone(ends, error, over="the database is writable again")
            self._publish_status(began)
            return
        self._board.note_commit(now, step.claimed_late_by, step.capacity.in_pools())
        self._unwritten = []
        self._continuity.committed(now, stale_by)
        self._outage.end()
        for end in ends:
            self._running.pop(end.run.id, None)
            self._cancel_reasons.pop(end.run.id, None)
        self._last_commit = time.monotonic()
        self._carry_out(step.effects, answers)
        del self._asked[: len(answers)]
        self._is_behind = bool(self._asked) or step.leaves_work or (stale_by is not None and not self._is_draining)
        self._publish_status(began)

    def _publish_status(self, began: float) -> None:
        self._board.publish(
            began,
            running=len(self._running),
            is_draining=self._is_draining,
            storage=self._outage.last,
            starting=self._stuck.last,
        )

    def _handle_control(self, asked: Asked) -> bool:
        """Handle a message about the loop itself, which needs no database; return whether it was one."""
        if not isinstance(asked.message, Drain):
            return False
        self._is_draining = True
        self._is_stopping = isinstance(asked.message, Stop)
        asked.answer.set_result(None)
        return True

    def _new_step(self, now: datetime, *, free: int) -> Step:
        session, pools = self._store.writer, self._pools()
        capacity = Capacity(session.runs, free, pools, [run.pool for run in self._running.values()])
        zone, leftovers = self._continuity.zone, self._leftovers
        return Step(
            session, zone=zone, now=now, pools=pools, capacity=capacity, leftovers=leftovers, own_user=self.own_user
        )

    def _finish(self, step: Step, ends: Sequence[RunEnded]) -> None:
        """Write the ends of runs together or, if that fails, one by one, so that only the faulty one fails."""
        if not ends:
            return
        try:
            with step.savepoint(self._store.savepoint):
                run_ends.finish(step, [self._as_asked(end) for end in ends])
        except Busy:
            raise
        except Exception:
            if len(ends) == 1:
                logger.exception("cannot store the outcome of run %s", ends[0].run.id)
            else:
                for end in ends:
                    self._finish(step, [end])

    def _as_asked(self, end: RunEnded) -> RunEnded:
        reason = self._cancel_reasons.get(end.run.id)
        return replace(end, outcome=policy.cancelled_if_asked(end.outcome, reason)) if reason else end

    def _carry_out_messages(self, step: Step, deadline: float) -> list[Callable[[], None]]:
        """Carry out messages in order, at least one, until the deadline; return what answers the callers."""
        answers = []
        for asked in self._asked:
            step.caller = asked.caller
            answers.append(self._carry_out_message(step, asked.message, asked.answer))
            if self._clock() >= deadline:
                break
        step.caller = KALA
        return answers

    def _carry_out_message(self, step: Step, message: Message[Any], answer: "Future[Any]") -> Callable[[], None]:
        logger.debug("request: %s", type(message).__name__)
        assert isinstance(message, Change)
        try:
            with step.savepoint(self._store.savepoint):
                result = message.carry_out(step)
        except Busy:
            raise
        except Undo as undo:
            result = undo.answer
        except Refused as refused:
            step.note(refused.action, refused.target, refused.name, refused=str(refused.error))
            return partial(replies.reject, message, answer, refused.error)
        except Exception as error:  # noqa: BLE001  only this message fails; its caller gets the error
            return partial(replies.reject, message, answer, error)
        return partial(answer.set_result, result)

    def _start_due(self, step: Step) -> timedelta | None:
        """Claim and start what is due; return by how much the plans of jobs may still be stale."""
        continuity, stale_by, stale = self._continuity, self._continuity.stale_by, list[str]()
        if stale_by is not None:
            stale = plans.stale_rules(step)
            continuity.tell_zones(stale)
            if not plans.replan(step, stale, continuity.latest, stale_by, _STEP_LIMIT):
                stale_by = None
        # Claim first, so that a due slot collapses into a run that still waits for its turn.
        plans.claim_due(step, continuity.watching_since, _STEP_LIMIT, stale)
        starts.start_ready(step)
        step.counts.count_attempts([job.id for _, job in step.effects.starts], step.now)
        return stale_by

    def _postpone(self, ends: list[RunEnded], error: Busy, *, over: str) -> None:
        """Keep ends for the next step, as the executor reports them once. Callers get the error: they can try again."""
        self._outage.begin(f"{error}; retrying every {_RETRY_SECONDS:g} s", over)
        self._unwritten = ends
        for asked in self._asked:
            if not asked.answer.done():
                asked.answer.set_exception(error)
        self._asked.clear()
        self._leftovers.forget()

    def _carry_out(self, effects: Effects, answers: Sequence[Callable[[], None]]) -> None:
        for run, job in effects.starts:
            self._running[run.id] = run
            self._executor.submit(run, job)
        for run in effects.ends:
            self._executor.forget(run.id)
            self._pruner.note(run.job_id)
        for run, reason in effects.cancels:
            self._cancel_reasons[run.id] = reason
            self._executor.cancel(run.id, reason)
        if effects.has_changed_access:
            self._access_changed()
        for answer in answers:
            answer()
        for run_id in effects.deleted_runs:
            remove(path_of(self._store.outputs, run_id))
        if self._running:
            self._idle.clear()
        else:
            self._idle.set()
        self._feed.publish(effects.changes)
        audit_log.write(effects.entries)
        run_log.write(effects.starts, effects.ends)

    def _timeout(self) -> float:
        """Return the seconds until the next step if no message comes."""
        if self._outage.is_on:
            return _RETRY_SECONDS
        if self._is_behind:
            return 0.0
        longest = _RELIEF_SECONDS if self._executor.relieve() else self._longest_wait
        if self._is_draining or self._next_due is None:
            return longest
        wait = (self._next_due - datetime.now(UTC)).total_seconds()
        return min(max(wait, 0.0), longest)

    def _beat_unless_stuck(self) -> None:
        """Beat unless commands cannot start: a Kala that only answers requests must be restarted."""
        seconds = self._executor.stuck_seconds()
        if seconds > self._stuck_limit:
            self._stuck.begin(
                f"no command was started for {seconds:.0f} s, and no worker is free; the watchdog gets no beat",
                over="commands are starting again",
            )
            return
        self._stuck.end()
        self._beat()

    def recover(self, now: datetime) -> None:
        """Record the runs that the last Kala left running as lost, and find out whether its plans are stale."""
        session = self._store.writer
        with self._store.transaction():
            session.runs.shorten_retries(now, now + CLOCK_SLACK)
            # The sizes of the pools may have changed.
            session.runs.release_pool()
            step = self._new_step(now, free=0)
            self._continuity.begin(now, session.jobs.last_claim(), plans.stale_zones(step))
            boot.plan_after_boot(step, self._boot_id)
            lost = recovery.lost(session.runs.running(), self._store.outputs, now)
            run_ends.finish(step, lost)
        clear(self._store.outputs)
