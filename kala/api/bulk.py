"""An action on many jobs in one request. Each job is changed for itself; what is impossible is reported, job by job."""

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from kala.api import fields
from kala.api.document import parse_object
from kala.api.http import Request, Response, json
from kala.api.names import by_name
from kala.api.schema import Bulk, BulkAction, BulkFailure, BulkFilter, BulkResult
from kala.core.errors import Conflict, Invalid, KalaError, NotFound
from kala.core.foreign import presentable
from kala.core.limits import BULK, TAG, TAGS
from kala.core.summary import JobState
from kala.engine.engine import Engine
from kala.engine.messages import CancelRuns, Change, DeleteJob, StartJob, UpdateJob
from kala.store.jobs import JobFilter
from kala.store.store import Session, Store

# So many jobs are sent to the engine at a time. Other requests come between them, and the engine writes what it can of
# them in one step.
_AT_ONCE = 100

_MESSAGES: dict[BulkAction, Callable[[str], Change[Any]]] = {
    BulkAction.ENABLE: lambda job: UpdateJob(job, partial(msgspec.structs.replace, disabled=False)),
    BulkAction.DISABLE: lambda job: UpdateJob(job, partial(msgspec.structs.replace, disabled=True)),
    BulkAction.START: StartJob,
    BulkAction.CANCEL: CancelRuns,
    BulkAction.DELETE: DeleteJob,
}

logger = logging.getLogger("kala.api")


class BulkRoutes:
    """The handler of `/api/v1/job/bulk/`."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def carry_out(self, request: Request) -> Response:
        wanted = _parse(parse_object(request.body))
        with self._store.reading() as session:
            job_ids, failed = _selected(session, wanted)
        found = len(job_ids) + len(failed)
        if wanted.expect not in (None, found):
            raise Conflict(f"expect: {found:,} jobs are selected, not {wanted.expect:,}; check them, then try again")
        done = self._do(_MESSAGES[wanted.action], job_ids, failed)
        logger.info(
            "bulk request: %s carried out for %s jobs, failed for %s",
            wanted.action,
            done,
            len(failed),
            extra={"fields": {"action": "bulk", "what": wanted.action, "jobs": done, "failed": len(failed)}},
        )
        failures = [BulkFailure(given, presentable(str(error))) for given, error in failed.items()]
        return json(BulkResult(wanted.action, done, failures))

    def _do(self, message: Callable[[str], Change[Any]], job_ids: list[str], failed: dict[str, KalaError]) -> int:
        """Return for how many jobs the action was carried out, and add the errors of the others to `failed`."""
        deleted: set[str] = set()
        done = 0
        for start in range(0, len(job_ids), _AT_ONCE):
            some = [job_id for job_id in job_ids[start : start + _AT_ONCE] if job_id not in deleted]
            done += min(_AT_ONCE, len(job_ids) - start) - len(some)
            errors: dict[str, KalaError] = {}
            for job_id, answer in zip(some, self._engine.call_all(list(map(message, some))), strict=True):
                if isinstance(answer, KalaError):
                    errors[job_id] = answer
                elif isinstance(answer, dict):
                    # A job is deleted together with its descendants, which can be selected, too.
                    deleted.update(answer)
            errors = {one: error for one, error in errors.items() if one not in deleted}
            failed.update(errors)
            done += len(some) - len(errors)
        return done


def _parse(given: dict[str, Any]) -> Bulk:
    named = by_name("", given, Bulk.__struct_fields__)
    action = _checked(named, "action", _word(BulkAction), required=True)
    job_ids = _checked(named, "ids", fields.listed(fields.text, BULK))
    selected = _checked(named, "filter", _filter)
    expect = _checked(named, "expect", fields.whole(0, BULK))
    if (job_ids is None) is (selected is None):
        raise Invalid("ids: give either ids or filter, to say which jobs are meant")
    if selected is not None and expect is None:
        raise Invalid("expect: required with filter; give the number of jobs that you expect to match")
    return Bulk(action, None if job_ids is None else list(job_ids), selected, expect)


def _filter(path: str, given: Any) -> BulkFilter:
    named = by_name(path, given, BulkFilter.__struct_fields__)
    states = _checked(named, "state", fields.listed(_word(JobState), len(JobState)))
    tags = _checked(named, "tag", fields.listed(fields.tag(TAG), TAGS))
    return BulkFilter(
        q=_checked(named, "q", fields.line),
        owner=_checked(named, "owner", fields.line),
        tag=None if tags is None else list(tags),
        disabled=_checked(named, "disabled", fields.flag),
        done=_checked(named, "done", fields.flag),
        state=None if states is None else list(states),
    )


def _word(words: type[StrEnum]) -> fields.Check:
    def check(field: str, value: Any) -> StrEnum:
        if value not in tuple(words):
            raise fields.invalid(field, value, f"one of {', '.join(words)}")
        return words(value)

    return check


def _checked(
    named: Mapping[str, tuple[str, Any]], name: str, check: Callable[[str, Any], Any], *, required: bool = False
) -> Any:
    """Return the value of a field, or None if it is missing or null and need not be given."""
    field, value = named.get(name, (name, None))
    if value is None and not required:
        return None
    return check(field, value)


def _selected(session: Session, wanted: Bulk) -> tuple[list[str], dict[str, KalaError]]:
    """Return the ids of the jobs that are meant, and the errors of those that do not exist."""
    if wanted.filter is not None:
        job_ids = session.summaries.ids(_as_filter(wanted.filter), BULK + 1)
        if len(job_ids) > BULK:
            raise Conflict(f"filter: more than {BULK:,} jobs match, which is the limit; use a narrower filter")
        return job_ids, {}
    found: dict[str, None] = {}
    failed: dict[str, KalaError] = {}
    given = wanted.ids or []
    existing = session.jobs.existing(given)
    for one in given:
        try:
            found[one if one in existing else session.jobs.id_of(one)] = None
        except (NotFound, Conflict) as error:
            failed[one] = error
    return list(found), failed


def _as_filter(given: BulkFilter) -> JobFilter:
    return JobFilter(
        q=given.q or "",
        owner=given.owner,
        tags=tuple(given.tag or ()),
        disabled=given.disabled,
        done=given.done,
        states=frozenset(given.state or ()),
    )
