"""An action on many jobs in one request. Each job is changed for itself; what is impossible is reported, job by job."""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from kala.api import fields
from kala.api.document import parse_object
from kala.api.http import Request, Response, json
from kala.api.idempotency import Keyed, response_of
from kala.api.job_lists import job_filter
from kala.api.names import by_name
from kala.api.route import check_role
from kala.api.schema import Bulk, BulkAction, BulkFailure, BulkFilter, BulkResult
from kala.core.caller import Caller, Role
from kala.core.errors import Busy, Conflict, Invalid, KalaError, NotFound
from kala.core.foreign import presentable
from kala.core.limits import BULK, TAG, TAGS
from kala.core.summary import JobState
from kala.engine.engine import Engine
from kala.engine.messages import CancelRuns, Change, DeleteJob, StartJob, UpdateJob
from kala.store.answers import Answer
from kala.store.store import Session, Store

# So many jobs are sent to the engine at a time. Other requests come between them, and the engine writes what it can of
# them in one step.
_AT_ONCE = 100

_MESSAGES: dict[BulkAction, Callable[[str], Change[Any]]] = {
    BulkAction.ENABLE: lambda job: UpdateJob(job, partial(replace, disabled=False)),
    BulkAction.DISABLE: lambda job: UpdateJob(job, partial(replace, disabled=True)),
    BulkAction.START: StartJob,
    BulkAction.CANCEL: CancelRuns,
    BulkAction.DELETE: DeleteJob,
}

# Where an action needs another role than the route.
_ROLES = {BulkAction.DELETE: Role.EDITOR}

logger = logging.getLogger("kala.api")


class _Task(msgspec.Struct, frozen=True):
    """What a request does: an action on these jobs. `failed` has the errors of the jobs that do not exist."""

    action: BulkAction
    job_ids: list[str]
    failed: dict[str, str]


# Here, as msgspec crashes the process if two threads meet a type for the first time.
_TASK = msgspec.json.Decoder(_Task)


class BulkRoutes:
    """The handler of `/api/v1/job/bulk/`."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def carry_out(self, request: Request) -> Response:
        keyed = Keyed.of(request, "bulk")
        with self._store.reading(request.caller.owners) as session:
            kept = keyed.kept(session) if keyed else None
            wanted = _parse(parse_object(request.body))
            # Also for a repeated request: the rest of it may still be to do.
            check_role(request.caller, _ROLES.get(wanted.action, Role.OPERATOR))
            # In the same transaction, so that the jobs are selected as they were before the first change of a request
            # with this key: another thread may be carrying it out.
            task = None if kept else _task(session, wanted)
        if keyed is None:
            assert task is not None
            return json(self._do(task, None, request.caller))
        kept = kept or self._engine.call(keyed.begin(msgspec.json.encode(task)), request.caller)
        if kept.is_in_progress:
            result = self._do(_TASK.decode(kept.body), keyed, request.caller)
            kept = self._engine.call(keyed.end(json(result)), request.caller)
        return response_of(kept)

    def _do(self, task: _Task, keyed: Keyed | None, caller: Caller) -> BulkResult:
        failed = dict(task.failed)
        done = self._change(task, keyed, caller, failed)
        logger.info(
            "bulk request: %s carried out for %s jobs, failed for %s",
            task.action,
            done,
            len(failed),
            extra={"fields": {"action": "bulk", "what": task.action, "jobs": done, "failed": len(failed)}},
        )
        return BulkResult(task.action, done, [BulkFailure(given, error) for given, error in failed.items()])

    def _change(self, task: _Task, keyed: Keyed | None, caller: Caller, failed: dict[str, str]) -> int:
        """Return for how many jobs the action was carried out, and add the errors of the others to `failed`.

        With a key, Busy ends it: the same request, sent again, does the rest.
        """
        deleted: set[str] = set()
        done = 0
        for start in range(0, len(task.job_ids), _AT_ONCE):
            part = task.job_ids[start : start + _AT_ONCE]
            some = [job_id for job_id in part if job_id not in deleted]
            done += len(part) - len(some)
            errors: dict[str, str] = {}
            messages = [_message(task.action, job_id, keyed) for job_id in some]
            for job_id, answer in zip(some, self._engine.call_all(messages, caller), strict=True):
                if keyed and isinstance(answer, Busy):
                    raise answer
                if isinstance(answer, KalaError):
                    errors[job_id] = _sentence(answer)
                else:
                    # A job is deleted together with its descendants, which can be selected, too.
                    deleted.update(_deleted_by(answer))
            errors = {one: error for one, error in errors.items() if one not in deleted}
            failed.update(errors)
            done += len(some) - len(errors)
        return done


def _message(action: BulkAction, job_id: str, keyed: Keyed | None) -> Change[Any]:
    message = _MESSAGES[action](job_id)
    return keyed.part(job_id, message, lambda answer: msgspec.json.encode(_deleted_by(answer))) if keyed else message


def _deleted_by(answer: Any) -> Iterable[str]:
    """Return the ids of the jobs that were deleted, from the answer of the engine or from one that was kept."""
    if isinstance(answer, Answer):
        return msgspec.json.decode(answer.body, type=list[str])
    return list(answer) if isinstance(answer, dict) else []


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
        planned=_checked(named, "planned", fields.flag),
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


def _task(session: Session, wanted: Bulk) -> _Task:
    job_ids, failed = _selected(session, wanted)
    found = len(job_ids) + len(failed)
    if wanted.expect not in (None, found):
        raise Conflict(f"expect: {found:,} jobs are selected, not {wanted.expect:,}; check them, then try again")
    return _Task(wanted.action, job_ids, failed)


def _selected(session: Session, wanted: Bulk) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the jobs that are meant, and the errors of those that do not exist."""
    if wanted.filter is not None:
        job_ids = session.summaries.ids(job_filter(asdict(wanted.filter)), BULK + 1)
        if len(job_ids) > BULK:
            raise Conflict(f"filter: more than {BULK:,} jobs match, which is the limit; use a narrower filter")
        return job_ids, {}
    found: dict[str, None] = {}
    failed: dict[str, str] = {}
    given = wanted.ids or []
    existing = session.jobs.existing(given)
    for one in given:
        try:
            found[one if one in existing else session.jobs.id_of(one)] = None
        except (NotFound, Conflict) as error:
            failed[one] = _sentence(error)
    return list(found), failed


def _sentence(error: KalaError) -> str:
    return presentable(str(error))
