"""Deletion of what need not be kept, in small batches that never delay a run: runs, answers, entries of the audit log.

Counts and repeats stay.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from kala.core import duration
from kala.core.instants import EPOCH
from kala.core.limits import ANSWERS_HOURS, COUNTED_DAYS
from kala.runner import spool
from kala.store.retention import Limits
from kala.store.store import Session

_EVERY = timedelta(seconds=0.2)
# Upper bound of runs that a query for one job, or for all jobs, selects.
_BATCH = 100
# How many jobs whose runs ended, and how many others, a batch visits.
_JOBS = 5
# How many jobs whose runs ended are noted at most.
_NOTED = 1000
_ANSWERS_AGE = timedelta(hours=ANSWERS_HOURS)
_COUNTS_AGE = timedelta(days=COUNTED_DAYS)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Retention(msgspec.Struct, frozen=True):
    """Limits for jobs that have none of their own: an age (ISO 8601), runs of each job, and bytes of all output.

    `audit_age` is that of entries in the audit log, empty for ever.
    """

    max_age: str = ""
    max_runs: int = 0
    max_bytes: int = 0
    audit_age: str = ""


class Pruner:
    """Deletes runs of jobs whose runs have ended, and of all others in turn. Used by the engine's thread."""

    def __init__(self, session: Session, keep: Callable[[], Retention], outputs: Path) -> None:
        self._session = session
        self._outputs = spool.ended(outputs)
        self._keep = keep
        # Jobs whose runs have ended, in order.
        self._noted: dict[str, None] = {}
        self._last_job = 0
        self._last_run = 0
        self._last_time = _LONG_AGO

    def note(self, job_id: str) -> None:
        """Note that a run of the job has ended, unless many jobs are noted: its turn comes anyway."""
        if len(self._noted) < _NOTED:
            self._noted[job_id] = None

    def prune(self, now: datetime) -> list[int]:
        """Delete a batch of runs, at most five times a second; return the ids of the runs whose outputs go."""
        if not timedelta() <= now - self._last_time < _EVERY:
            self._last_time = now
            self._session.answers.delete_older(now - _ANSWERS_AGE, _BATCH)
            self._session.endings.delete_before((now - _COUNTS_AGE - EPOCH) // timedelta(minutes=1), _BATCH)
            if length := self._keep().audit_age:
                self._session.audit.delete_older(_before(now, length), _BATCH)
            gone = [*self._of_jobs(now), *self._of_deleted_jobs(now)]
            self._session.runs.delete(gone)
            # Only now: the runs above no longer count towards the total limit.
            more = self._too_much_output()
            self._session.runs.delete(more)
            return [*gone, *more, *self._without_run()]
        return []

    def _of_jobs(self, now: datetime) -> list[int]:
        gone: list[int] = []
        job_ids = self._next_jobs()
        limits = self._session.retention.limits(job_ids)
        for job_id in job_ids:
            found = self._of_job(job_id, limits[job_id], now) if job_id in limits else []
            gone += found
            if len(found) < _BATCH:
                self._noted.pop(job_id, None)
        return gone

    def _next_jobs(self) -> list[str]:
        jobs = self._session.retention.jobs_after(self._last_job, _JOBS)
        self._last_job = jobs[-1][0] if jobs else 0
        return list(dict.fromkeys([*list(self._noted)[:_JOBS], *(job_id for _, job_id in jobs)]))

    def _of_job(self, job_id: str, limits: Limits, now: datetime) -> list[int]:
        keep, retention = self._keep(), self._session.retention
        gone: list[int] = []
        if length := limits.keep_for or keep.max_age:
            gone += retention.older_than(job_id, _before(now, length), _BATCH)
        if kept := limits.keep_runs or keep.max_runs:
            gone += retention.beyond_newest(job_id, kept, _BATCH)
        if limits.keep_bytes:
            gone += retention.beyond_bytes(job_id, limits.keep_bytes, _BATCH)
        return list(dict.fromkeys(gone))[:_BATCH]

    def _of_deleted_jobs(self, now: datetime) -> list[int]:
        """Return runs of deleted jobs: only their age counts."""
        length = self._keep().max_age
        if not length:
            return []
        self._last_run, gone = self._session.retention.orphans_after(self._last_run, _before(now, length), _BATCH)
        return gone

    def _without_run(self) -> list[int]:
        """Return ids of outputs whose run is gone, because Kala was killed before it removed them. Searched once."""
        ids, found = next(self._outputs, (range(0), []))
        return sorted({*found} - self._session.retention.between(ids.start, ids.stop)) if found else []

    def _too_much_output(self) -> list[int]:
        limit = self._keep().max_bytes
        return self._session.retention.too_much_output(limit, _BATCH) if limit else []


def _before(now: datetime, length: str) -> datetime:
    return duration.parse(length, "keep_for").after_clamped(now, -1)
