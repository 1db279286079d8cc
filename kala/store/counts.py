"""What the starts and ends of runs change in their jobs: counts, and how the latest run ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from kala.core.run import FAILURES, Run, State
from kala.core.summary import RECENT
from kala.store.instants import to_column
from kala.store.revision import Revision
from kala.store.statements import Statements

# The letters of states in the column `recent`.
LETTERS = {
    State.SUCCEEDED: "s",
    State.FAILED: "f",
    State.TIMED_OUT: "t",
    State.CANCELLED: "c",
    State.LOST: "l",
}
# Write when a run of each of these jobs was last started.
_COUNT_ATTEMPTS = "UPDATE job SET last_attempt = ?, rev = ? WHERE id IN [job_ids ?]"
# Note how a job's latest run ended.
_ENDED = f"""
    last_run = ?, last_state = ?, last_end = ?, last_duration = ?, recent = substr(? || recent, 1, {RECENT}), rev = ?
    WHERE id = ?
"""
# Count a run that succeeded.
_COUNT_SUCCESS = f"""
    UPDATE job SET successes = successes + 1, finished = finished + 1, last_success = ?, {_ENDED}
"""
# Count a run that failed, and that is not retried.
_COUNT_ERROR = f"UPDATE job SET errors = errors + 1, finished = finished + 1, last_error = ?, {_ENDED}"
# Count a run that failed, and that a retry follows.
_COUNT_RETRIED = "UPDATE job SET errors = errors + 1, last_error = ?, rev = ? WHERE id = ?"
# Note a run that counts neither as a success nor as an error.
_NOTE_END = f"UPDATE job SET {_ENDED}"


class Counting:
    """The columns of the job table that runs change, on the writing connection."""

    def __init__(self, sql: Statements, revision: Revision) -> None:
        self._sql = sql
        self._revision = revision

    def count_attempts(self, job_ids: Sequence[str], at: datetime) -> None:
        """Write when a run of each job was last started."""
        if job_ids:
            self._sql.for_all(_COUNT_ATTEMPTS, job_ids, to_column(at), self._revision.number)

    def count_ends(self, runs: Iterable[tuple[Run, bool]]) -> None:
        """Count how runs ended, each given with whether it was the last attempt. A cancelled run counts as neither."""
        rows: dict[str, list[tuple[object, ...]]] = {}
        jobs: set[str] = set()
        for run, is_final in runs:
            assert run.outcome, run
            if run.job_id in jobs:
                # The order of a job's ends decides which is its last one.
                self._write(rows)
                rows.clear()
            jobs.add(run.job_id)
            at = to_column(run.outcome.ended_at)
            ended = (run.id, run.state, at, run.outcome.duration, LETTERS[run.state])
            row: tuple[object, ...] = (*ended, self._revision.number, run.job_id)
            if run.state is State.SUCCEEDED:
                rows.setdefault(_COUNT_SUCCESS, []).append((at, *row))
            elif run.state not in FAILURES:
                rows.setdefault(_NOTE_END, []).append(row)
            elif is_final:
                rows.setdefault(_COUNT_ERROR, []).append((at, *row))
            else:
                rows.setdefault(_COUNT_RETRIED, []).append((at, self._revision.number, run.job_id))
        self._write(rows)

    def _write(self, rows: Mapping[str, Sequence[tuple[object, ...]]]) -> None:
        for statement, values in rows.items():
            self._sql.for_each(statement, values)
