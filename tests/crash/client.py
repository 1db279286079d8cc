"""The load. Each client has its own jobs and sends one request at a time, so it knows the order of events. It records
what was acknowledged, and the one request that was not.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from http.client import HTTPException
from random import Random
from typing import Any

from clock import Clock
from process import ENDED, Api
from work import Evidence, Work, some_work

POOL = "narrow"
POOL_SIZE = 2
INTERVAL = timedelta(seconds=1)
_FAR = "R/2099-01-01T00:00:00Z/PT1H"
_MOST_JOBS = 20
_OVERLAPS = ("wait", "wait", "skip", "allow", "replace")
_MISSED = ("once", "once", "skip", "all")
_DONE, _MADE, _REFUSED, _GONE, _CONFLICT, _BUSY = 204, 201, 400, 404, 409, 503

Spec = dict[str, Any]


@dataclass(eq=False)
class Note:
    """What a client knows about a job. `was` has every spec that the job may have had, acknowledged or not."""

    name: str
    work: Work
    overlap: str = "wait"
    spec: Spec | None = None  # as acknowledged; None if there is no such job
    id: str = ""
    starts: int = 0
    was_disabled: bool = False
    was_changed: bool = False  # what decides about follow-ups of a run: retries, parents, on-failure job
    was_replanned: bool = False

    @property
    def is_there(self) -> bool:
        return self.spec is not None

    @property
    def parents(self) -> list[str]:
        return (self.spec or {}).get("parent_jobs") or []


@dataclass
class Pending:
    """A request without a response. Its change was made either in full or not at all.

    `jobs` has each job that the request changes, with its spec afterwards.
    """

    jobs: dict[Note, Spec | None]
    start: Note | None = None
    deletes: int = 0


NOTHING = Pending({})


class Client:
    """A client that sends one request after the other until Kala is gone."""

    def __init__(self, number: int, evidence: Evidence, clock: Clock) -> None:
        self.number = number
        self.zone: tzinfo = UTC  # Kala's
        self._clock = clock
        self._evidence = evidence
        self.notes: list[Note] = []
        self.pending = NOTHING
        self.seen: dict[int, dict[str, Any]] = {}  # ended runs, as the API showed them
        self.deleted: set[int] = set()
        self.cancelled: set[int] = set()
        self.acknowledged = 0
        self.problem = ""
        self._thread: threading.Thread | None = None  # none before the first Kala answered

    # Start and end

    def work(self, address: str, chance: Random) -> None:
        """Start the thread, which ends when Kala is gone."""
        self._chance = chance
        self._thread = threading.Thread(target=self._work, args=(address,), daemon=True)
        self._thread.start()

    def has_ended(self, limit: float) -> bool:
        if self._thread is None:
            return True
        self._thread.join(limit)
        return not self._thread.is_alive()

    def _work(self, address: str) -> None:
        try:
            with closing(Api(address)) as self._api:
                while not self.problem:
                    self._step()
        except (OSError, HTTPException):
            return  # Kala is gone
        except _StoppingError:
            return
        except BaseException as error:
            self.problem = repr(error)
            raise

    def _step(self) -> None:
        there = self.there
        actions: tuple[Callable[[Note], None], ...] = (
            self._start,
            self._toggle,
            self._change,
            self._replan,
            self._look,
            self._cancel,
            self._delete_run,
            self._delete,
        )
        if not there or self._chance.random() < (0.3 if len(there) < _MOST_JOBS else 0.05):
            self._create()
            return
        [act] = self._chance.choices(actions, (8, 3, 4, 1, 3, 3, 2, 1 if len(there) < _MOST_JOBS else 4))
        # Prefer the newest jobs, which are about to run.
        act(self._chance.choice(there[-8:] if self._chance.random() < 0.8 else there))

    @property
    def there(self) -> list[Note]:
        return [note for note in self.notes if note.is_there]

    def _ask(self, pending: Pending, wanted: tuple[int, ...], method: str, path: str, body: Any = None) -> Any:
        """Return the response. Any status but these is a failure; the first of them means success."""
        self.pending = pending
        answer = self._api.request(method, path, body)
        if answer.status == _BUSY:
            raise _StoppingError
        if answer.status not in wanted:
            self.problem = f"{method} {path} {body or ''} answered {answer.status}: {answer.body}"
        elif answer.status == wanted[0]:
            self._settle(pending)
        self.pending = NOTHING
        self.acknowledged += 1
        return answer

    def _settle(self, pending: Pending) -> None:
        for note, spec in pending.jobs.items():
            note.spec = spec
        if pending.start:
            pending.start.starts += 1
        if pending.deletes:
            self.deleted.add(pending.deletes)

    def it_happened(self, *, has_happened: bool) -> None:
        """Take over what the judge found out about the request without a response."""
        if has_happened:
            self._settle(self.pending)
        self.pending = NOTHING

    # Jobs

    def _create(self) -> None:
        kinds = (
            *(self._plain, self._failing, self._scheduled, self._local, self._held, self._disabled),
            *(self._family, self._reunion),
        )
        self._chance.choice(kinds)()

    def _plain(self) -> None:
        self._new("plain", {})

    def _held(self) -> None:
        self._new("held", {"schedule": _FAR, "overlap": self._chance.choice(_OVERLAPS)})

    def _disabled(self) -> None:
        self._new("disabled", {"disabled": True})

    def _failing(self) -> None:
        delay = {"retry_delay": "PT1S"} if self._chance.random() < 0.5 else {}
        reporter = self._reporter() if self._chance.random() < 0.6 else {}
        plan = {"schedule": _FAR} if self._chance.random() < 0.5 else {}
        self._new("failing", {"retries": self._chance.randint(0, 2), **delay, **reporter, **plan}, fails=True)

    def _reporter(self) -> Spec:
        for note in self.there:
            if note.name.startswith("reporter"):
                return {"on_failure_job": note.id}
        note = self._new("reporter", {"schedule": "R0/9999-01-01T00:00:00Z"})
        return {"on_failure_job": note.id}

    def _scheduled(self) -> None:
        rules = {"overlap": self._chance.choice(_OVERLAPS), "missed": self._chance.choice(_MISSED)}
        self._new("scheduled", {"schedule": self._schedule(), **rules}, fails=self._chance.random() < 0.2)

    def _local(self) -> None:
        """Create a job that is due once at a wall-clock time, in whichever zone Kala is by then."""
        start = self._soon().astimezone(self.zone).replace(tzinfo=None)
        self._new("local", {"schedule": f"R0/{start.isoformat()}", "missed": self._chance.choice(_MISSED)})

    def _soon(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._chance.uniform(0.1, 0.8))

    def _schedule(self) -> str:
        start = self._soon()
        return f"R{self._chance.randint(0, 3)}/{start.isoformat()}/PT1S"

    def _family(self) -> None:
        parent = self._new("parent", {"schedule": _FAR})
        for _ in range(self._chance.randint(1, 3)):
            child = self._new("child", {"parent_jobs": [parent.id]})
            if self._chance.random() < 0.3:
                self._new("grandchild", {"parent_jobs": [child.id]})
        self._start(parent)

    def _reunion(self) -> None:
        parents = [self._new("parent", {"schedule": _FAR}) for _ in range(2)]
        mode = self._chance.choice(("all", "all", "any"))
        self._new("reunion", {"parent_jobs": [parent.id for parent in parents], "parents_mode": mode})
        for parent in parents:
            self._start(parent)

    def _new(self, kind: str, fields: Spec, *, fails: bool = False) -> Note:
        work = some_work(self._chance, fails=fails)
        note = Note(f"{kind}-{self.number}-{len(self.notes)}", work, fields.get("overlap", "wait"))
        spec = {"name": note.name, "command": work.command(self._evidence.path), **fields}
        if self._chance.random() < 0.15:
            spec |= {"pool": POOL, "priority": self._chance.randint(-1, 1)}
        note.was_disabled = spec.get("disabled", False)
        self.notes.append(note)
        # On a slow machine, the start of a schedule may have passed.
        wanted = (_MADE, _REFUSED) if kind in ("scheduled", "local") else (_MADE,)
        answer = self._ask(Pending({note: spec}), wanted, "POST", "/job/", spec)
        note.id = answer.body.get("id", "")
        return note

    def _start(self, note: Note) -> None:
        wanted = (_CONFLICT,) if note.spec.get("disabled") else (_DONE,)
        pending = NOTHING if note.spec.get("disabled") else Pending({}, start=note)
        self._ask(pending, wanted, "POST", f"/job/start/{note.id}/")

    def _toggle(self, note: Note) -> None:
        wanted = not note.spec.get("disabled")
        note.was_disabled = True
        pending = Pending({note: {**note.spec, "disabled": wanted}})
        self._ask(pending, (_DONE,), "POST", f"/job/{'disable' if wanted else 'enable'}/{note.id}/")

    def _change(self, note: Note) -> None:
        """Change several fields in one request, which is atomic."""
        change = {"owner": f"{self._chance.random()}@example.org", "epsilon": f"P{self._chance.randint(1, 9)}M"}
        if self._chance.random() < 0.3:
            note.was_changed = True
            change["retries"] = self._chance.randint(0, 2)
        spec = {**note.spec, **change}
        if self._chance.random() < 0.5:
            self._ask(Pending({note: spec}), (200,), "PATCH", f"/job/{note.id}/", change)
        else:
            self._ask(Pending({note: spec}), (200,), "PUT", f"/job/{note.id}/", spec)

    def _replan(self, note: Note) -> None:
        if not note.name.startswith("scheduled"):
            return
        note.was_replanned = True
        change = {"schedule": self._schedule(), "owner": "replanned@example.org"}
        wanted = (200, _REFUSED)
        self._ask(Pending({note: {**note.spec, **change}}), wanted, "PATCH", f"/job/{note.id}/", change)

    def _delete(self, note: Note) -> None:
        doomed = self._doomed_by(note)
        gone = {other.id for other in doomed}
        after: dict[Note, Spec | None] = dict.fromkeys(doomed)
        for other in self.there:
            if other not in after and gone & {*other.parents, other.spec.get("on_failure_job")}:
                other.was_changed = True
                after[other] = _without(other.spec, gone)
        self._ask(Pending(after), (_DONE,), "DELETE", f"/job/{note.id}/")

    def _doomed_by(self, note: Note) -> set[Note]:
        """Return the job and each descendant that loses its last parent."""
        doomed, more = {note}, {note}
        while more:
            gone = {other.id for other in doomed}
            more = {other for other in self.there if other.parents and gone.issuperset(other.parents)} - doomed
            doomed |= more
        return doomed

    # Runs

    def _look(self, note: Note) -> list[dict[str, Any]]:
        runs = self._ask(NOTHING, (200,), "GET", f"/job/{note.id}/runs?limit=20").body["runs"]
        self.seen |= {run["id"]: run for run in runs if run["state"] in ENDED}
        return runs

    def _cancel(self, note: Note) -> None:
        live = [run["id"] for run in self._look(note) if run["state"] not in ENDED]
        if live:
            run_id = self._chance.choice(live)
            answer = self._ask(NOTHING, (_DONE, _CONFLICT), "POST", f"/run/{run_id}/cancel")
            if answer.status == _DONE:
                self.cancelled.add(run_id)

    def _delete_run(self, note: Note) -> None:
        ended = [run["id"] for run in self._look(note) if run["state"] in ENDED]
        if ended:
            run_id = self._chance.choice(ended)
            self._ask(Pending({}, deletes=run_id), (_DONE,), "DELETE", f"/run/{run_id}/")


class _StoppingError(Exception):
    """Kala is stopping and accepts no more requests. Whether the last change was made is not known."""


def _without(spec: Spec, gone: set[str]) -> Spec:
    """Return the spec without the jobs that are gone."""
    changed = dict(spec)
    if "parent_jobs" in spec:
        changed["parent_jobs"] = [parent for parent in spec["parent_jobs"] if parent not in gone]
    if spec.get("on_failure_job") in gone:
        changed["on_failure_job"] = ""
    return changed
