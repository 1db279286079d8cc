"""One step of the engine: what its transaction reads and writes, and what follows the commit."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec

from kala.core.account import Action, Entry
from kala.core.caller import KALA
from kala.core.errors import Forbidden
from kala.core.job import Job, Spec
from kala.core.limits import FOLLOWERS
from kala.core.run import Run
from kala.engine.capacity import Capacity
from kala.engine.effects import Effects
from kala.store.store import Session
from kala.zone import zone_of


class Leftovers(msgspec.Struct):
    """Work that steps have left to later ones. The database has it, too; this saves a query in each step."""

    has_children: bool = True
    """Whether children of runs that succeeded are still to be handled."""
    deleted_jobs: list[str] | None = None
    """Deleted jobs that queued runs and other jobs may still name; None until a step has read them."""
    is_turn_of_led_to: bool = False
    """Whether a run that another run led to starts next, if both kinds are ready."""

    def forget(self) -> None:
        """Read everything from the database again, because the transaction of a step was rolled back."""
        self.has_children, self.deleted_jobs = True, None


class Undo(Exception):
    """Raised by a message to undo what it has written; it gets the answer all the same."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer


class Refused(Exception):
    """Raised where the caller may not make a change, with the error for the caller, and what the audit log says."""

    def __init__(self, error: Forbidden, action: Action, target: str = "", name: str = "") -> None:
        super().__init__()
        self.error, self.action, self.target, self.name = error, action, target, name


class Step:
    """The state of one transaction, used by the engine's thread. Its effects are carried out after the commit."""

    def __init__(
        self,
        session: Session,
        *,
        zone: tzinfo,
        now: datetime,
        pools: Mapping[str, int],
        capacity: Capacity,
        leftovers: Leftovers,
        own_user: str = "",
    ) -> None:
        """`zone` is the server's; `pools` has the sizes of the pools; `own_user` is root if Kala runs as root."""
        self.own_user = own_user
        self._session = session
        self.jobs = session.jobs
        self.counts = session.counts
        self.boots = session.boots
        self.runs = session.runs
        self.dependencies = session.dependencies
        self.answers = session.answers
        self.zone = zone
        self.now = now
        self.pools = pools
        self.capacity = capacity
        self.leftovers = leftovers
        self.accounts = session.accounts
        self.effects = Effects()
        # Who asks for the message that is being carried out.
        self.caller = KALA
        self._audit = session.audit
        # How many more children of runs that succeeded the step handles.
        self.children_left = int(FOLLOWERS)
        # By how much the slots that the step claims are late; None if it claims none.
        self.claimed_late_by: timedelta | None = None
        # Whether there are ready runs that the step has not read.
        self.has_ready = False

    @property
    def seen(self) -> Session:
        """The jobs that the caller sees, and what belongs to them, to be read and not written."""
        return self._session.of_owners(self.caller.owners)

    @property
    def leaves_work(self) -> bool:
        """Whether the next step should begin at once."""
        return self.has_ready or self.leftovers.has_children or bool(self.leftovers.deleted_jobs)

    @contextmanager
    def savepoint(self, savepoint: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Write in a savepoint of the database. If it is rolled back, its effects are dropped, too."""
        effects, capacity = self.effects, self.capacity.snapshot()
        self.effects = Effects()
        try:
            with savepoint():
                yield
        except BaseException:
            self.effects = effects
            self.capacity.restore(capacity)
            raise
        effects.merge(self.effects)
        self.effects = effects

    def note(
        self,
        action: Action,
        target: str = "",
        name: str = "",
        *,
        changed: Mapping[str, Any] = {},
        refused: str = "",
    ) -> None:
        """Write to the audit log what the caller has asked for; Kala's own work is not noted there."""
        if self.caller is KALA:
            return
        entry = Entry(
            at=self.now,
            actor=self.caller.actor,
            address=self.caller.address,
            action=action,
            target=target,
            name=name,
            refused=refused,
            changed=dict(changed),
        )
        self._audit.add(entry)
        self.effects.entries.append(entry)

    def zone_of(self, spec: Spec) -> tzinfo:
        """Return the zone that a job's schedule is in."""
        return self.zone_named(spec.timezone)

    def zone_named(self, name: str) -> tzinfo:
        """Return a zone by its name, the server's for ""."""
        return zone_of(name, self.zone)

    def run_started(self, run: Run, job: Job) -> None:
        """Note a run that is written as running: its command starts after the commit."""
        if job.spec.needs_all_parents:
            self.dependencies.forget_successes(job.id)
        self.effects.starts.append((run, job))
        self.effects.run_changed(run, job)
