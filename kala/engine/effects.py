"""What follows the commit of a step."""

from kala.core.account import Entry
from kala.core.job import Job
from kala.core.run import Run
from kala.engine.feed import Change


class Effects:
    """Runs that start, have ended or are cancelled, outputs to remove, changes to publish, and entries for the log.

    `has_changed_access` says that users, tokens or logins were changed, or whose a job is.
    """

    def __init__(self) -> None:
        self.starts: list[tuple[Run, Job]] = []
        self.ends: list[Run] = []
        self.cancels: list[tuple[Run, str]] = []
        self.deleted_runs: list[int] = []
        self.changes: list[Change] = []
        self.entries: list[Entry] = []
        self.has_changed_access = False

    def merge(self, later: "Effects") -> None:
        """Add the effects of a savepoint that was not rolled back."""
        self.starts += later.starts
        self.ends += later.ends
        self.cancels += later.cancels
        self.deleted_runs += later.deleted_runs
        self.changes += later.changes
        self.entries += later.entries
        self.has_changed_access |= later.has_changed_access

    def run_changed(self, run: Run, job: Job | None) -> None:
        """Publish the new state of a run; `job` is its job, unless that was deleted."""
        self.run_became(run.id, run.job_id, run.state, job.spec.owner if job else None)

    def run_became(self, run_id: int, job_id: str, what: str, owner: str | None) -> None:
        self.changes.append(Change("run", str(run_id), what, job_id, owner))

    def job_became(self, job_id: str, what: str, owner: str | None, former_owner: str | None = None) -> None:
        """Publish a change of a job; `former_owner` is the owner before, if the change is of the owner."""
        self.changes.append(Change("job", job_id, what, owner=owner, former_owner=former_owner))
