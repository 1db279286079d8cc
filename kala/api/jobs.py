"""The routes about jobs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain

import msgspec

from kala.api import spec, wire
from kala.api.document import parse_object
from kala.api.exchange import Answer, Call, json, no_content
from kala.config import Config
from kala.core.errors import NotFound
from kala.core.job import Job, Spec
from kala.engine import identity, template
from kala.engine.cgroup import Groups
from kala.engine.engine import Engine
from kala.engine.messages import CreateJob, DeleteAllJobs, DeleteJob, StartJob, UpdateJob
from kala.store.jobs import Filter
from kala.store.store import Store

# A list goes out in parts of so many: the encoder holds up every thread, and memory must not grow with the list.
_PAGE = 1000
_NEWEST = 100


class JobRoutes:
    """What `/api/v1/job/` does."""

    def __init__(self, engine: Engine, store: Store, config: Config, groups: Groups) -> None:
        self._engine = engine
        self._store = store
        self._groups = groups
        self.config = config

    def create(self, call: Call) -> Answer:
        asked = spec.parse(parse_object(call.body), self.config.default_owner)
        self._check(Job(id="", spec=asked, created_at=datetime.now(UTC), next_due=None))
        return json({"id": self._engine.call(CreateJob(asked)).id}, 201)

    def search(self, call: Call) -> Answer:
        wanted = Filter(
            limit=call.number("limit", 1),
            q=call.text("q") or "",
            owner=call.text("owner"),
            disabled=call.flag("disabled"),
            done=call.flag("done"),
        )
        parts = self._parts(wanted, call.text("after") or "")
        first = next(parts)
        rest = next(parts, None)
        if rest is None:
            return Answer(body=b'{"jobs":{' + first + b"}}")
        return Answer(body=_joined(first, rest, parts))

    def _parts(self, wanted: Filter, last: str) -> Iterator[bytes]:
        """The jobs in parts, each read on its own, so that a slow reader holds nothing of the database."""
        left, after = wanted.limit, None
        while True:
            size = _PAGE if left is None else min(left, _PAGE)
            with self._store.reading() as session:
                after = (session.jobs.seq(last) if last else 0) if after is None else after
                page = list(session.jobs.search(msgspec.structs.replace(wanted, limit=size, after=after)))
                after = session.jobs.seq(page[-1].id) if page else after
            yield msgspec.json.encode({job.id: wire.job(job) for job in page})[1:-1]
            left = None if left is None else left - len(page)
            if len(page) < _PAGE or left == 0:
                return

    def get(self, call: Call) -> Answer:
        job_id = call.path["id"]
        with self._store.reading() as session:
            job = _found(session.jobs.get(job_id), job_id)
            runs = session.runs.attempts(job_id, _NEWEST)
        return json({"job": wire.job(job, runs)})

    def replace(self, call: Call) -> Answer:
        asked = spec.parse(parse_object(call.body), self.config.default_owner)
        return self._update(call, lambda _: asked)

    def patch(self, call: Call) -> Answer:
        patch, owner = spec.parse_patch(parse_object(call.body)), self.config.default_owner
        return self._update(call, lambda before: spec.revise(before, patch, owner))

    def _update(self, call: Call, revise: Callable[[Spec], Spec]) -> Answer:
        job_id = call.path["id"]
        with self._store.reading() as session:
            job = _found(session.jobs.get(job_id), job_id)
        self._check(msgspec.structs.replace(job, spec=revise(job.spec)))
        self._engine.call(UpdateJob(job_id, revise))
        return self.get(call)

    def _check(self, job: Job) -> None:
        """What only this machine and its programs can tell of a job. Raises Invalid."""
        template.check(job)
        if job.spec.user:
            identity.account(job.spec.user)
        if self.config.missing_limits == "refuse":
            self._groups.check(job.spec)

    def delete(self, call: Call) -> Answer:
        self._engine.call(DeleteJob(call.path["id"]))
        return no_content()

    def delete_all(self, _: Call) -> Answer:
        self._engine.call(DeleteAllJobs())
        return no_content()

    def start(self, call: Call) -> Answer:
        self._engine.call(StartJob(call.path["id"]))
        return no_content()

    def disable(self, call: Call) -> Answer:
        return self._set_disabled(call, is_disabled=True)

    def enable(self, call: Call) -> Answer:
        return self._set_disabled(call, is_disabled=False)

    def _set_disabled(self, call: Call, *, is_disabled: bool) -> Answer:
        change = UpdateJob(call.path["id"], lambda before: msgspec.structs.replace(before, disabled=is_disabled))
        self._engine.call(change)
        return no_content()

    def stats(self, call: Call) -> Answer:
        job_id = call.path["id"]
        with self._store.reading() as session:
            _found(session.jobs.get(job_id), job_id)
            runs = session.runs.attempts(job_id, call.number("limit", 1), call.number("before", 1))
        return json({"job_stats": [wire.stat(run) for run in runs] or None})


def _found(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise NotFound(f"there is no job with the id {job_id[:100]!r}")
    return job


def _joined(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield b'{"jobs":{' + first
    for part in chain([second], rest):
        if part:
            yield b"," + part
    yield b"}}"
