"""Which jobs are in a state, read from small indexes."""

from collections.abc import Collection

from peewee import SQL

from kala.core.summary import JobState

NOT_OK = "SELECT seq FROM job AS found [index job_not_ok] WHERE last_state != 'succeeded'"
"""The positions of the jobs that are not OK. Most jobs are, so the others are looked up."""

POSITIONS = {
    JobState.RUNNING: """
        SELECT found.seq FROM run [index run_running] JOIN job AS found ON found.id = run.job_id
        WHERE run.state = 'running'
    """,
    JobState.QUEUED: """
        SELECT found.seq FROM run [index run_queued] JOIN job AS found ON found.id = run.job_id
        WHERE run.state = 'queued'
    """,
    JobState.FAILING: f"{NOT_OK} AND last_state IN ('failed', 'timed_out')",
    JobState.CANCELLED: f"{NOT_OK} AND last_state = 'cancelled'",
    JobState.LOST: f"{NOT_OK} AND last_state = 'lost'",
    JobState.NEW: f"{NOT_OK} AND last_state = ''",
    JobState.DISABLED: "SELECT seq FROM job AS found [index job_disabled] WHERE disabled = 1",
    JobState.DONE: "SELECT seq FROM job AS found [index job_done] WHERE is_done = 1",
}
"""The positions of the jobs in each other state."""

_IS_OK = f"job.seq NOT IN ({NOT_OK})"


def in_states(states: Collection[JobState]) -> SQL:
    """Return the condition that a job is in one of the states."""
    positions = " UNION ALL ".join(POSITIONS[state] for state in sorted(states) if state in POSITIONS)
    conditions = [f"job.seq IN ({positions})"] if positions else []
    return SQL(f"({' OR '.join([*conditions, *([_IS_OK] if JobState.OK in states else [])])})")
