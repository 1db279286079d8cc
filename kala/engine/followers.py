"""What a run that has ended leads to: its job's children, or its on-failure job.

A step looks at so many children at most. Those that are left are noted on disk and looked at in the next steps, the
oldest first, so that ten thousand children keep nobody waiting and a restart loses none of them.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec.structs import replace

from kala.core.job import Job, Overlap, ParentsMode
from kala.core.limits import FOLLOWERS
from kala.core.policy import Follow
from kala.core.run import Cause, Run
from kala.store.store import Session

# With these a run that waits is enough: what one run more would do, it does. The others have rules of their own.
_GATHERING = frozenset({Overlap.WAIT, Overlap.ALLOW})


class Followers:
    """Queues what follows, within the engine's transaction."""

    def __init__(self, session: Session, queue: Callable[[Job, Cause, datetime, int], None]) -> None:
        """`queue` makes a run of a job for a cause, because of the run with that id."""
        self._jobs = session.jobs
        self._runs = session.runs
        self._dependencies = session.dependencies
        self._queue = queue
        self._left = 0
        self.are_put_off = True

    def begin(self) -> None:
        """Start a step."""
        self._left = FOLLOWERS

    def go_on(self, now: datetime) -> None:
        """Look at the children that the steps before have left."""
        while self._left and self.are_put_off:
            put_off = self._dependencies.first_put_off()
            if put_off is None:
                self.are_put_off = False
                return
            children = self._dependencies.children_of(put_off, self._left)
            self._look_at([child for _, child in children], put_off.job_id, put_off.run_id, now)
            if children:
                self._dependencies.keep_put_off(replace(put_off, done=children[-1][0]))
            else:
                self._dependencies.done_with(put_off)

    def follow(self, job: Job, run: Run, what: Follow, now: datetime) -> None:
        if what.children and job.children:
            chosen, rest = job.children[: self._left], job.children[self._left :]
            if rest:
                self._dependencies.put_off(run.id, job.id, chosen[-1] if chosen else None, rest[-1])
                self.are_put_off = True
            self._look_at(chosen, job.id, run.id, now)
        if what.on_failure:
            other = self._jobs.get(job.spec.on_failure_job)
            if other and not other.spec.disabled:
                self._queue_once(other, Cause.FAILURE, now, run.id)

    def _look_at(self, children: Iterable[str], parent_id: str, run_id: int, now: datetime) -> None:
        children = list(children)
        self._left -= len(children)
        jobs = self._jobs.get_many(children)
        for child in (jobs[child_id] for child_id in children if child_id in jobs):
            if not child.spec.disabled and self._is_parents_turn(child, parent_id, run_id):
                self._queue_once(child, Cause.PARENT, now, run_id)

    def _is_parents_turn(self, child: Job, parent_id: str, run_id: int) -> bool:
        if child.spec.parents_mode is ParentsMode.ANY:
            return True
        if not self._runs.is_latest(run_id, parent_id):
            return False
        self._dependencies.remember_success(parent_id, child.id)
        if not self._dependencies.have_all_succeeded(child.id):
            return False
        self._dependencies.forget_successes(child.id)
        return True

    def _queue_once(self, job: Job, cause: Cause, now: datetime, run_id: int) -> None:
        """Runs that came about alike and wait for the same job are one: else few jobs could make any number of runs."""
        if job.spec.overlap not in _GATHERING or not self._runs.is_queued(job.id, cause):
            self._queue(job, cause, now, run_id)
