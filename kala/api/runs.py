"""The routes about runs."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from kala.api import fields, views
from kala.api.http import Request, Response, json, no_content
from kala.api.output import BINARY_HEADERS, Outputs, last_lines, part_of
from kala.core import duration
from kala.core.errors import Invalid, no_run
from kala.core.run import Cause, Run, State
from kala.engine.engine import Engine
from kala.engine.messages import CancelRun, DeleteRun
from kala.runner.executor import Executor
from kala.store.history import RunFilter
from kala.store.store import Session, Store

_PAGE = 100
_LARGEST_PAGE = 1000
# Durations in short form, such as 90s, 5m, 1h, 7d and 2w, and their ISO 8601 form.
_SHORT = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_ISO = {"s": "PT{}S", "m": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W"}
_LONGEST_LIST = 200
Word = TypeVar("Word", bound=StrEnum)


class RunRoutes:
    """The handlers of `/api/v1/run/`."""

    def __init__(self, engine: Engine, store: Store, outputs: Outputs, executor: Executor) -> None:
        self._engine = engine
        self._store = store
        self._outputs = outputs
        self._executor = executor

    def search(self, request: Request) -> Response:
        return self._page(request, request.query.get("job"))

    def of_job(self, request: Request) -> Response:
        return self._page(request, request.path["id"])

    def _page(self, request: Request, job: str | None) -> Response:
        now = datetime.now(UTC)
        wanted = RunFilter(
            limit=request.number("limit", 1, _LARGEST_PAGE) or _PAGE,
            before=request.number("before", 1),
            states=_states(request),
            cause=_word(request, "cause", Cause),
            since=_instant(request, "since", now),
            until=_instant(request, "until", now),
        )
        with self._store.reading() as session:
            job_id = None if job is None else _job_id(session, job, is_query="job" in request.query)
            runs = session.history.search(replace(wanted, job_id=job_id))
        following = runs[-1].id if len(runs) == wanted.limit else None
        return json({"runs": list(map(self._view, runs)), "next_before": following})

    def get(self, request: Request) -> Response:
        return json({"run": self._view(self._run(request))})

    def _view(self, run: Run) -> dict[str, Any]:
        """Return a run's JSON. The database has a claimed run as running; only the executor knows if it has started."""
        return views.run_view(self._executor.as_it_stands(run))

    def cancel(self, request: Request) -> Response:
        self._engine.call(CancelRun(_run_id(request)))
        return no_content()

    def delete(self, request: Request) -> Response:
        self._engine.call(DeleteRun(_run_id(request)))
        return no_content()

    def output(self, request: Request) -> Response:
        run = self._run(request)
        lines, wanted = request.number("tail", 0), request.headers.get("Range", "")
        if request.flag("follow"):
            return Response(body=self._outputs.follow(run, lines), headers=BINARY_HEADERS)
        if lines is not None:
            return last_lines(self._outputs.open(run.id), lines)
        if wanted:
            return part_of(self._outputs.open(run.id), wanted)
        return Response(body=self._outputs.parts(run.id), headers=BINARY_HEADERS | {"Accept-Ranges": "bytes"})

    def _run(self, request: Request) -> Run:
        with self._store.reading() as session:
            run = session.runs.get(_run_id(request))
        if run is None:
            raise no_run(request.path["id"])
        return run


def _job_id(session: Session, given: str, *, is_query: bool) -> str:
    """Return the id of a job. In a query, it can be the id of a deleted job that has left runs."""
    if is_query and session.history.search(RunFilter(job_id=given, limit=1)):
        return given
    return session.jobs.id_of(given, "job" if is_query else "")


def _run_id(request: Request) -> int:
    given = request.path["id"]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise no_run(given)
    return int(given)


def _word(request: Request, name: str, words: type[Word]) -> Word | None:
    given = request.query.get(name)
    if given == "":
        raise fields.invalid(name, given, f"one of {', '.join(words)}")
    return None if given is None else words(fields.choice(words)(name, given))


def _states(request: Request) -> frozenset[State]:
    """Return the states in the query, which are separated by commas."""
    given = request.query.get("state")
    if given is None:
        return frozenset()
    if len(given) > _LONGEST_LIST or "" in given.split(","):
        raise fields.invalid("state", given, f"a comma-separated list of {', '.join(State)}")
    return frozenset(State(fields.choice(State)("state", word)) for word in given.split(","))


def _instant(request: Request, name: str, now: datetime) -> datetime | None:
    """Return a time from the query. A value that starts with - is an age."""
    given = request.query.get(name)
    if given is None:
        return None
    instant = _ago(given[1:], now) if given.startswith("-") else _rfc_3339(given)
    if instant is None:
        raise fields.invalid(name, given, "an RFC 3339 time, such as 2030-01-01T08:00:00Z, or an age, such as -1h")
    return instant


def _rfc_3339(given: str) -> datetime | None:
    try:
        instant = msgspec.convert(given.replace(" ", "+"), datetime)
    except msgspec.ValidationError:
        return None
    return instant if instant.tzinfo else None


def _ago(given: str, now: datetime) -> datetime | None:
    short = _SHORT.fullmatch(given)
    try:
        length = duration.parse(_ISO[short[2]].format(short[1]) if short else given, "")
        return length.after(now, -1)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
    except Invalid:
        return None
