"""Requests about jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from .job import CheckedJob, Created, Job, JobRef, Summary
from .run import Run
from .runs import Runs
from .transport import path_of, query_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .job_fields import JobFields

_PAGE = 1000


class _OneJob(Struct):
    job: Job


class _OneRun(Struct):
    run: Run


class _Page(Struct):
    jobs: tuple[Summary, ...]
    next_after: str | None = None


class _Deleted(Struct):
    deleted: tuple[JobRef, ...]


class _Deletion(Struct):
    jobs: tuple[JobRef, ...]


class BulkFailure(Struct, frozen=True):
    """A job that an action was not possible for, by its id or by its name in the request; and why."""

    id: str
    error: str


class BulkResult(Struct, frozen=True):
    """What became of an action on many jobs."""

    action: str
    done: int
    failed: tuple[BulkFailure, ...]


class _Node(Struct):
    nodes: tuple[JobRef, ...]


class Jobs:
    """The jobs. Where a method takes a job, it takes an id or a unique name."""

    def __init__(self, call: Callable[..., Any], runs: Runs) -> None:
        self._call = call
        self._runs = runs

    def create(self, **fields: Unpack[JobFields]) -> Created:
        """Create a job. If the response is lost, the request is repeated, and still creates one job."""
        created: Created = self._call("POST", path_of("job"), fields, has_key=True, type=Created)
        return created

    def check(self, **fields: Unpack[JobFields]) -> CheckedJob:
        """Check a job without creating it. Raises the error that its creation would raise."""
        checked: CheckedJob = self._call("POST", path_of("job", "check"), fields, type=CheckedJob)
        return checked

    def get(self, job: str) -> Job:
        """Read a job. Its `etag` is for `if_match`."""
        return self._one(self._call("GET", path_of("job", job), type=_OneJob, with_headers=True))

    def find(self, job: str) -> JobRef:
        """Return the id and name of a job; also of one whose name cannot be in a path."""
        path = path_of("graph") + query_of({"job": job, "depth": 0})
        answer: _Node = self._call("GET", path, type=_Node)
        return answer.nodes[0]

    def list(
        self,
        *,
        q: str | None = None,
        owner: str | None = None,
        tag: str | Sequence[str] | None = None,
        disabled: bool | None = None,
        done: bool | None = None,
        planned: bool | None = None,
        state: str | Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        sort: str | Sequence[str] | None = None,
        recent: int | None = None,
        runs: int | None = None,
        last_line: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[Summary]:
        """Yield jobs, page by page; at most `limit` of them. Parameters are those of the API."""
        query = {
            "fields": "summary",
            "q": q,
            "owner": owner,
            "tag": tag,
            "disabled": disabled,
            "done": done,
            "planned": planned,
            "state": state,
            "ids": ids,
            "sort": sort,
            "recent": recent,
            "runs": runs,
            "last_line": last_line,
        }
        after, left = None, limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            path = path_of("job") + query_of({**query, "limit": size, "after": after})
            page: _Page = self._call("GET", path, type=_Page)
            yield from page.jobs
            after = page.next_after
            if after is None:
                return
            left = None if left is None else left - size

    def replace(self, job: str, *, if_match: str | None = None, **fields: Unpack[JobFields]) -> Job:
        """Replace a job: fields that are not given get their defaults. With `if_match`, only if it has this ETag."""
        return self._changed("PUT", job, if_match, fields)

    def change(self, job: str, *, if_match: str | None = None, **fields: Unpack[JobFields]) -> Job:
        """Change these fields only; None resets one to its default. With `if_match`, only if it has this ETag."""
        return self._changed("PATCH", job, if_match, fields)

    def delete(self, job: str, *, if_match: str | None = None) -> tuple[JobRef, ...]:
        """Delete a job and its descendants that have no other parent; return all that were deleted."""
        path = path_of("job", job) + query_of({"return": "deleted"})
        answer: _Deleted = self._call("DELETE", path, headers=_condition(if_match), type=_Deleted)
        return answer.deleted

    def deletion(self, job: str) -> tuple[JobRef, ...]:
        """Return the jobs that `delete` would delete, above all the job itself."""
        answer: _Deletion = self._call("GET", path_of("job", job, "deletion"), type=_Deletion)
        return answer.jobs

    def start(self, job: str) -> Run:
        """Run a job now, and return the run, which may be queued."""
        path = path_of("job", "start", job) + query_of({"return": "run"})
        answer: _OneRun = self._call("POST", path, has_key=True, type=_OneRun)
        return self._runs.bound(answer.run)

    def enable(self, job: str) -> None:
        """Enable a job."""
        self._call("POST", path_of("job", "enable", job))

    def disable(self, job: str) -> None:
        """Disable a job: nothing starts it until it is enabled."""
        self._call("POST", path_of("job", "disable", job))

    def bulk(
        self,
        action: str,
        *,
        ids: Sequence[str] | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002  the API's name
        expect: int | None = None,
    ) -> BulkResult:
        """Enable, disable, start, cancel or delete jobs, by `ids`, or by a `filter` that `expect` jobs match."""
        body = {"action": action, "ids": ids, "filter": filter, "expect": expect}
        given = {name: value for name, value in body.items() if value is not None}
        result: BulkResult = self._call("POST", path_of("job", "bulk"), given, has_key=True, type=BulkResult)
        return result

    def _changed(self, method: str, job: str, if_match: str | None, fields: object) -> Job:
        # A change with If-Match that was carried out, and repeated as its response was lost, would seem to be outdated.
        answer = self._call(
            method,
            path_of("job", job),
            fields,
            headers=_condition(if_match),
            is_repeatable=method == "PUT" and if_match is None,
            type=_OneJob,
            with_headers=True,
        )
        return self._one(answer)

    @staticmethod
    def _one(answer: tuple[_OneJob, dict[str, str]]) -> Job:
        one, headers = answer
        return replace(one.job, etag=headers.get("etag", ""))


def _condition(if_match: str | None) -> dict[str, str]:
    return {"If-Match": if_match} if if_match else {}
