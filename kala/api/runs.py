"""The routes about runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from kala.api import fields, wire
from kala.api.exchange import Answer, Call, json, no_content
from kala.api.output import OF_BYTES, Outputs, last_lines, part_of
from kala.core.errors import NotFound
from kala.core.run import Cause, Run, State
from kala.engine.engine import Engine
from kala.engine.executor import Executor
from kala.engine.messages import CancelRun, DeleteRun
from kala.store.history import RunFilter
from kala.store.store import Store

_PAGE = 100
_LARGEST_PAGE = 1000
Word = TypeVar("Word", bound=StrEnum)


class RunRoutes:
    """What `/api/v1/run/` does."""

    def __init__(self, engine: Engine, store: Store, outputs: Outputs, executor: Executor) -> None:
        self._engine = engine
        self._store = store
        self._outputs = outputs
        self._executor = executor

    def search(self, call: Call) -> Answer:
        return self._page(call, call.query.get("job"))

    def of_job(self, call: Call) -> Answer:
        return self._page(call, call.path["id"])

    def _page(self, call: Call, job: str | None) -> Answer:
        wanted = RunFilter(
            limit=call.number("limit", 1, _LARGEST_PAGE) or _PAGE,
            before=call.number("before", 1),
            state=_word(call, "state", State),
            cause=_word(call, "cause", Cause),
            since=_instant(call, "since"),
            until=_instant(call, "until"),
        )
        with self._store.reading() as session:
            job_id = None if job is None else session.jobs.id_of(job, "job" if "job" in call.query else "")
            runs = session.history.search(msgspec.structs.replace(wanted, job_id=job_id))
        following = runs[-1].id if len(runs) == wanted.limit else None
        return json({"runs": list(map(self._wire, runs)), "next_before": following})

    def get(self, call: Call) -> Answer:
        return json({"run": self._wire(self._run(call))})

    def _wire(self, run: Run) -> dict[str, Any]:
        """The run's JSON. The database has it as running before it starts; whether it has, the executor knows."""
        return wire.run(self._executor.as_it_stands(run))

    def cancel(self, call: Call) -> Answer:
        self._engine.call(CancelRun(_run_id(call)))
        return no_content()

    def delete(self, call: Call) -> Answer:
        self._engine.call(DeleteRun(_run_id(call)))
        return no_content()

    def output(self, call: Call) -> Answer:
        run = self._run(call)
        lines, wanted = call.number("tail", 0), call.headers.get("Range", "")
        if call.flag("follow"):
            return Answer(body=self._outputs.follow(run, lines), headers=OF_BYTES)
        if lines is not None:
            return last_lines(self._outputs.open(run.id), lines)
        if wanted:
            return part_of(self._outputs.open(run.id), wanted)
        return Answer(body=self._outputs.parts(run.id), headers=OF_BYTES | {"Accept-Ranges": "bytes"})

    def _run(self, call: Call) -> Run:
        with self._store.reading() as session:
            run = session.runs.get(_run_id(call))
        if run is None:
            raise NotFound(f"there is no run with the id {call.path['id']!r}")
        return run


def _run_id(call: Call) -> int:
    given = call.path["id"]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise NotFound(f"there is no run with the id {given[:100]!r}")
    return int(given)


def _word(call: Call, name: str, words: type[Word]) -> Word | None:
    given = call.query.get(name)
    if given == "":
        raise fields.refuse(name, given, f"one of {', '.join(words)}")
    return None if given is None else words(fields.choice(words)(name, given))


def _instant(call: Call, name: str) -> datetime | None:
    given = call.query.get(name)
    if given is None:
        return None
    try:
        instant = msgspec.convert(given.replace(" ", "+"), datetime)
    except msgspec.ValidationError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise fields.refuse(name, given, "an RFC 3339 time, such as 2030-01-01T08:00:00Z")
    return instant
