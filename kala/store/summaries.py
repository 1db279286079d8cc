"""Lists of jobs for people: sorted, filtered by how jobs stand, and with how their latest runs ended."""

from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from kala.core.job import ParentsMode
from kala.core.run import State
from kala.core.summary import JobSummary, LastRun, Overview
from kala.store.counts import LETTERS
from kala.store.dialect import id_list
from kala.store.instants import from_column, from_nullable, to_column
from kala.store.job_filter import JOB, JobFilter, conditions
from kala.store.job_search import JobSearch, Matches
from kala.store.statements import Statements
from kala.store.waiting import QueuedRuns

# The jobs at these positions, with the columns that _summary() reads.
_SHOWN_AT = """
    SELECT seq, id, name, owner, spec, next_due, disabled, is_done, errors, last_run, last_state, last_end,
        last_duration, substr(recent, 1, ?), last_success
    FROM job WHERE seq IN [positions ?]
"""
# Those of these jobs with a running run, and those with a queued run.
_RUNNING = """
    SELECT DISTINCT job_id FROM run [index run_running] WHERE state = 'running' AND job_id IN [job_ids ?]
"""
_QUEUED = "SELECT DISTINCT job_id FROM run [index run_queued] WHERE state = 'queued' AND job_id IN [job_ids ?]"
_TOTALS = "SELECT jobs, disabled FROM totals"
_FAILING = """
    SELECT count(*) FROM job [index job_not_ok]
    WHERE last_state != 'succeeded' AND last_state IN ('failed', 'timed_out')
"""
_COUNT_RUNNING = "SELECT count(*) FROM run [index run_running] WHERE state = 'running'"
# How many runs were skipped since an instant, up to a limit.
_COUNT_SKIPPED = """
    SELECT count(*) FROM (
        SELECT 1 FROM run [index run_skipped] WHERE state = 'skipped' AND ended_at >= ? LIMIT ?) AS skipped
"""

# Up to this many jobs are sorted; more are read in the order of an index, if there is one, until a page is full.
_FEW = 3000

# A job without a next or last run comes last in either direction.
_NEVER = {False: str(2**63 - 1), True: str(-(2**63))}


class _Phase(msgspec.Struct, frozen=True):
    """Jobs that come before or after all others by a key: which ones, and the key's value, which may be constant."""

    condition: str
    sql: str
    is_constant: bool = False


# What a list can be sorted by: the phases of an ascending list. Each reads a small index, or as many jobs as it needs.
_SORTS = {
    "created": [_Phase("1 = 1", "job.seq")],
    "name": [_Phase("1 = 1", "lower(job.name)")],
    "next": [
        _Phase("job.disabled = 0 AND job.next_due IS NOT NULL", "job.next_due"),
        _Phase("(job.disabled = 1 OR job.next_due IS NULL)", "{never}", is_constant=True),
    ],
    "last": [
        _Phase("job.last_end IS NOT NULL", "job.last_end"),
        _Phase("job.last_end IS NULL", "{never}", is_constant=True),
    ],
    "failures": [
        _Phase("job.errors = 0", "0", is_constant=True),
        _Phase("job.errors > 0", "job.errors"),
    ],
    "state": [
        *(
            _Phase(f"job.last_state != 'succeeded' AND job.last_state IN ({states})", str(rank), is_constant=True)
            for rank, states in enumerate(["'failed', 'timed_out'", "'lost'", "'cancelled'"])
        ),
        _Phase("job.last_state IN ('succeeded', '')", "3", is_constant=True),
    ],
}
SORTS = tuple(_SORTS)
_STATES = {letter: state for state, letter in LETTERS.items()}


class Key(msgspec.Struct, frozen=True):
    """What to sort by: one of SORTS, and whether the highest value comes first."""

    name: str
    is_descending: bool = False

    @property
    def phases(self) -> list[_Phase]:
        """The phases in their order. Jobs without a value stay last in a descending list."""
        never = _NEVER[self.is_descending]
        phases = [replace(phase, sql=phase.sql.format(never=never)) for phase in _SORTS[self.name]]
        return phases[::-1] if self.is_descending and never not in {phase.sql for phase in phases} else phases

    @property
    def sql(self) -> str:
        """The value for any job."""
        *others, last = self.phases
        cases = " ".join(f"WHEN {phase.condition} THEN {phase.sql}" for phase in others)
        return f"CASE {cases} ELSE {last.sql} END" if cases else last.sql


class _Shown(msgspec.Struct, frozen=True):
    """The parts of a Spec that a list shows; to decode the rest takes much longer."""

    schedule: str = ""
    timezone: str = ""
    jitter: str = ""
    tags: tuple[str, ...] = ()
    # Not decoded: a job can have a thousand, and a list only tells whether it has one or several.
    parents: msgspec.Raw = msgspec.Raw(b"")
    parents_mode: ParentsMode = ParentsMode.ANY


_SHOWN = msgspec.json.Decoder(_Shown)
# A job's values of the keys, and its position in the order of creation: these continue a list after the job.
Place = Sequence[int | str]


class Summaries:
    """Summaries of jobs and of everything, on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._queued = QueuedRuns(sql)
        self._search = JobSearch(sql)

    def matches(self, wanted: JobFilter) -> Matches:
        """Return the jobs that match, to be counted and listed."""
        return self._search.matches(wanted)

    def page(
        self, matches: Matches, keys: Sequence[Key], after: Place | None = None, *, limit: int, recent: int = 0
    ) -> tuple[list[JobSummary], Place]:
        """Return the first jobs that match, in the order of the keys and then of creation, and the place of the last.

        `after` is the place of the last job of the page before.
        """
        places = self._places(matches, keys, after, limit)
        rows = {seq: row for seq, *row in self._sql.for_all(_SHOWN_AT, [place[-1] for place in places], recent)}
        found = [rows[place[-1]] for place in places]
        ids = [row[0] for row in found]
        running, queued = (self._ids(sql, ids) for sql in (_RUNNING, _QUEUED))
        jobs = [_summary(row, is_running=row[0] in running, is_queued=row[0] in queued) for row in found]
        return jobs, (places[-1] if places else ())

    def _places(self, matches: Matches, keys: Sequence[Key], after: Place | None, limit: int) -> list[Place]:
        """Return the places of the first jobs that match."""
        few = matches.included if matches.included is not None and len(matches.included) <= _FEW else None
        phases: Sequence[_Phase | None] = keys[0].phases if keys and few is None else [None]
        places: list[Place] = []
        for phase in phases:
            statement, values = _in_order(keys, phase, after, few)
            left = limit - len(places)
            # Only narrow rows are sorted: the sorter would copy all columns of each job.
            if few is not None or matches.are_all:
                places += self._sql(f"{statement} LIMIT ?", (*values, left)).fetchall()
            else:
                # A matching job is looked up in a set for each row, until the page is full.
                with closing(self._sql(statement, values)) as cursor:
                    places += islice((place for place in cursor if place[-1] in matches), left)
            if len(places) == limit:
                break
        return places

    def _ids(self, sql: str, ids: Sequence[str]) -> set[str]:
        return {row[0] for row in self._sql.for_all(sql, ids)}

    def count(self, matches: Matches) -> int:
        """Return how many jobs match."""
        if matches.included is not None:
            return len(matches.included)
        return self._search.count_all() - len(matches.excluded)

    def ids(self, wanted: JobFilter, limit: int) -> list[str]:
        """Return the ids of the first jobs that match, in the order of creation."""
        found = JOB.select(JOB.c.id).where(*conditions(wanted)).order_by(JOB.c.seq).limit(limit)
        return [row[0] for row in self._sql.select(found)]

    def overview(self, skipped_since: datetime, limit: int) -> Overview:
        """Return what goes on in all jobs, with at most `limit` skipped runs."""
        jobs, disabled = self._sql(_TOTALS).fetchone()
        waiting, _ = self._queued.counts()
        return Overview(
            jobs=jobs,
            disabled=disabled,
            failing=self._number(_FAILING),
            running=self._number(_COUNT_RUNNING),
            queued={reason.label: number for reason, number in waiting.items()},
            skipped=self._number(_COUNT_SKIPPED, to_column(skipped_since), limit),
        )

    def _number(self, sql: str, *values: object) -> int:
        return int(self._sql(sql, values).fetchone()[0])


def _in_order(
    keys: Sequence[Key], phase: _Phase | None, after: Place | None, few: Collection[int] | None
) -> tuple[str, Sequence[object]]:
    """Return the statement that reads the places of jobs, in a phase of the first key, and its values.

    Without a phase, it reads all jobs, or those at `few` positions.
    """
    columns = [key.sql for key in keys]
    order = [f"{sql} {'DESC' if key.is_descending else 'ASC'}" for sql, key in zip(columns, keys, strict=True)]
    source, where, values = "job", ["1 = 1"], list[object]()
    if phase:
        columns[0] = phase.sql
        order[:1] = [] if phase.is_constant else [f"{phase.sql} {'DESC' if keys[0].is_descending else 'ASC'}"]
        where.append(phase.condition)
    if few is not None:
        source = "[positions ?] AS given CROSS JOIN job"
        where.append("job.seq = given.value")
        values.append(id_list(sorted(few)))
    if after:
        condition, bound = _after(keys, columns, after)
        where.append(condition)
        values += bound
    statement = f"""
        SELECT {", ".join([*columns, "job.seq"])} FROM {source}
        WHERE {" AND ".join(where)} ORDER BY {", ".join([*order, "job.seq"])}
    """
    return statement, values


def _after(keys: Sequence[Key], columns: Sequence[str], place: Place) -> tuple[str, list[int | str]]:
    """Return the condition that a job comes after a place: a later key decides if all before it are equal."""
    *values, seq = place
    condition, bound = "job.seq > ?", [seq]
    for key, sql, value in reversed(list(zip(keys, columns, values, strict=True))):
        comes_after = "<" if key.is_descending else ">"
        condition, bound = f"({sql} {comes_after} ? OR ({sql} = ? AND {condition}))", [value, value, *bound]
    return condition, bound


def _summary(row: Sequence[Any], *, is_running: bool, is_queued: bool) -> JobSummary:
    job_id, name, owner, spec, next_due, disabled, is_done, failures, last_run, state, ended_at, duration, *rest = row
    shown = _SHOWN.decode(spec)
    return JobSummary(
        id=job_id,
        name=name,
        owner=owner,
        tags=shown.tags,
        schedule=shown.schedule,
        timezone=shown.timezone,
        jitter=shown.jitter,
        parents=1 + (b'","' in bytes(shown.parents)) if shown.parents else 0,
        needs_all_parents=shown.parents_mode is ParentsMode.ALL,
        next_due=None if disabled else from_nullable(next_due),
        is_disabled=bool(disabled),
        is_done=bool(is_done),
        failures=failures,
        last_run=LastRun(last_run, State(state), from_column(ended_at), duration or 0) if state else None,
        recent=tuple(_STATES[letter] for letter in rest[0]),
        last_success=from_nullable(rest[1]),
        is_running=is_running,
        is_queued=is_queued,
    )
