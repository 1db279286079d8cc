"""Lists of jobs: Kala's, which has every field of each job, and sorted summaries that show the latest runs."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, tzinfo
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from kala.api import fields, schema, views
from kala.api.http import Request, Response, json
from kala.api.kept_lists import KeptList
from kala.api.output import Outputs
from kala.api.paging import long_response, pages
from kala.api.parameters import Kind
from kala.core.caller import Caller
from kala.core.errors import Invalid
from kala.core.job import Job
from kala.core.masking import masked_job, masked_run
from kala.core.run import Run
from kala.core.summary import JobSummary, NewestRun
from kala.core.words import describe_job
from kala.store.job_filter import JobFilter
from kala.store.store import Session, Store
from kala.store.summaries import SORTS, Key
from kala.zone import named_zones, zone_of

_PAGE = 100
_LARGEST_PAGE = 1000
_MOST_COUNTED = 10_000
_MOST_KEYS = 4
# These need `fields=summary`, as the other list has one order and no other fields.
_ONLY_IN_SUMMARIES = {"recent": 0, "runs": 0, "sort": (), "last_line": False, "count": False}
# The last lines of so many outputs at most.
_MOST_LINES = 100
_ALL = JobFilter()
_encode = msgspec.json.Encoder().encode


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the sorting, and the values of its last job, of which the last one is the job's position."""

    sort: str
    place: tuple[Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | str, ...]


# Here, as msgspec crashes the process if two threads meet a type for the first time.
_CURSOR = msgspec.json.Decoder(_Cursor)


class JobLists:
    """The handler of `GET /api/v1/job/`."""

    def __init__(self, store: Store, outputs: Outputs, zone: Callable[[], tzinfo]) -> None:
        """`zone` is the server's, on whose clock lists show some times."""
        self._store = store
        self._outputs = outputs
        self._zone = zone
        self._kept_zones = (zone(), named_zones.changes)
        self._kept = self._keeping(zone())

    def search(self, request: Request) -> Response:
        wanted = job_filter(request.query)
        if request.query["fields"]:
            return json(self._summaries(wanted, request))
        for name, default in _ONLY_IN_SUMMARIES.items():
            if request.query[name] != default:
                raise Invalid(f"{name}: only possible with fields=summary; add that, or remove this parameter")
        if wanted == _ALL and not request.query["after"] and not request.caller.owners:
            return long_response(self._all(request.caller))
        return long_response(self._list(wanted, request.query["after"] or "", request.caller))

    def _keeping(self, zone: tzinfo) -> dict[bool, KeptList]:
        """Return the lists without and with secrets. A list that nobody asks for takes no memory."""
        return {
            with_secrets: KeptList(self._store, partial(_entries, zone=zone, with_secrets=with_secrets))
            for with_secrets in (False, True)
        }

    def _all(self, caller: Caller) -> Iterator[bytes]:
        yield b'{"jobs":{'
        zones = (self._zone(), named_zones.changes)
        if zones != self._kept_zones:
            self._kept, self._kept_zones = self._keeping(zones[0]), zones
        yield from self._kept[caller.sees_secrets].parts()
        yield b"}}"

    def _list(self, wanted: JobFilter, after: str, caller: Caller) -> Iterator[bytes]:
        def read(session: Session, last: tuple[int, Job] | None, count: int) -> Iterator[tuple[int, Job]]:
            place = last[0] if last else session.jobs.seq(session.jobs.id_of(after, "after")) if after else 0
            left = None if wanted.limit is None else wanted.limit - count
            return session.jobs.search(replace(wanted, limit=left, after=place))

        yield b'{"jobs":{'
        encode = partial(_entries, zone=self._zone(), with_secrets=caller.sees_secrets)
        yield from pages(partial(self._store.reading, caller.owners), read, encode)
        yield b"}}"

    def _summaries(self, wanted: JobFilter, request: Request) -> schema.Summaries:
        query = request.query
        limit = query["limit"] or _PAGE
        if limit > _LARGEST_PAGE:
            raise fields.invalid("limit", limit, f"between 1 and {_LARGEST_PAGE} with fields=summary")
        with_lines = query["last_line"]
        if with_lines and limit > _MOST_LINES:
            raise fields.invalid("limit", limit, f"between 1 and {_MOST_LINES} with last_line")
        keys = query["sort"]
        sort = ",".join(f"{'-' * key.is_descending}{key.name}" for key in keys)
        after = _place(query["after"], sort, len(keys)) if query["after"] else None
        with self._store.reading(request.caller.owners) as session:
            matches = session.summaries.matches(wanted)
            jobs, last = session.summaries.page(matches, keys, after, limit=limit, recent=query["recent"])
            runs = session.history.newest([job.id for job in jobs], query["runs"]) if query["runs"] else {}
            total = session.summaries.count(matches) if query["count"] else None
            ended = session.history.by_ids([job.last_run.id for job in jobs if job.last_run]) if with_lines else []
        zone = self._zone()
        shown = [_summary_view(job, zone) for job in jobs]
        if query["runs"]:
            shown = [replace(job, runs=list(map(_newest_view, runs[job.id]))) for job in shown]
        if with_lines:
            ended = ended if request.caller.sees_secrets else list(map(masked_run, ended))
            shown = self._with_lines(shown, {run.id: run for run in ended})
        following = _written(_Cursor(sort, tuple(last))) if len(jobs) == limit else None
        is_capped = None if total is None else total > _MOST_COUNTED and not matches.are_all
        total = _MOST_COUNTED if is_capped else total
        return schema.Summaries(shown, following, total, is_capped)

    def _with_lines(self, jobs: list[schema.Summary], runs: Mapping[int, Run]) -> list[schema.Summary]:
        """Return summaries with how the last runs ended, and what these printed last."""
        return [replace(job, last_run=job.last_run and self._told(job.last_run, runs)) for job in jobs]

    def _told(self, last: schema.LastRun, runs: Mapping[int, Run]) -> schema.LastRun:
        run = runs.get(last.id)
        if run is None or run.outcome is None:
            return replace(last, message=None, last_line=None)
        line = self._outputs.last_line(run.id) if run.outcome.output_size else ""
        return replace(last, message=run.outcome.message, last_line=line)


def job_filter(given: Mapping[str, Any]) -> JobFilter:
    """Return the filter that the values of these parameters mean. A bulk request has no `limit` and `ids` there."""
    return JobFilter(
        limit=given.get("limit"),
        q=given["q"] or "",
        ids=given.get("ids"),
        owner=given["owner"],
        disabled=given["disabled"],
        done=given["done"],
        planned=given["planned"],
        tags=tuple(given["tag"] or ()),
        states=frozenset(given["state"] or ()),
    )


def _place(given: str, sort: str, keys: int) -> tuple[int | str, ...]:
    try:
        cursor = _CURSOR.decode(base64.urlsafe_b64decode(f"{given}=="))
    except (msgspec.DecodeError, binascii.Error, ValueError):
        cursor = None
    if cursor is None or cursor.sort != sort or len(cursor.place) != keys + 1:
        raise fields.invalid("after", given, "the next_after of a page with the same sort")
    return cursor.place


def _written(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(_encode(cursor)).decode().rstrip("=")


def _summary_view(job: JobSummary, zone: tzinfo) -> schema.Summary:
    last = job.last_run
    return schema.Summary(
        id=job.id,
        name=job.name,
        owner=job.owner,
        tags=job.tags,
        schedule=job.schedule,
        sentence=describe_job(
            job.schedule,
            zone_of(job.timezone, zone),
            name=job.name,
            is_own_zone=bool(job.timezone),
            jitter=job.jitter,
            parents=job.parents,
            needs_all_parents=job.needs_all_parents,
        ),
        next_run_at=job.next_due,
        disabled=job.is_disabled,
        is_done=job.is_done,
        state=job.states,
        error_count=job.failures,
        last_success=job.last_success,
        last_run=schema.LastRun(last.id, last.state, last.ended_at, last.duration / 1e9) if last else None,
        recent=job.recent,
    )


def _newest_view(run: NewestRun) -> schema.NewestRun:
    return schema.NewestRun(run.id, run.state, None if run.duration is None else run.duration / 1e9)


def _entries(placed: list[tuple[int, Job]], zone: tzinfo = UTC, *, with_secrets: bool = True) -> bytes:
    jobs = [job if with_secrets else masked_job(job) for _, job in placed]
    return _encode({job.id: views.job_view(job, zone=zone) for job in jobs})[1:-1]


class Sort(Kind, frozen=True):
    """Keys to sort by, separated by commas; `-` before a key reverses it. Parsed to a tuple of Key."""

    def parse(self, name: str, given: str) -> tuple[Key, ...]:
        keys = [Key(word.removeprefix("-"), word.startswith("-")) for word in given.split(",")]
        names = [key.name for key in keys]
        if len(keys) > _MOST_KEYS or len(set(names)) < len(names) or not set(names).issubset(SORTS):
            wanted = (
                f"up to {_MOST_KEYS} different ones of {', '.join(SORTS)}, separated by commas, each with - before it"
            )
            raise fields.invalid(name, given, f"{wanted} to reverse it")
        return tuple(keys)

    @property
    def schema(self) -> dict[str, Any]:
        words = [f"{sign}{name}" for name in SORTS for sign in ("", "-")]
        return {"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1, "maxItems": _MOST_KEYS}
