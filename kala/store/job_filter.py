"""Which jobs to list, as conditions of a query."""

from collections.abc import Iterator

import msgspec
from peewee import SQL, Expression, Table

from kala.core.folding import folded
from kala.core.summary import JobState
from kala.store.dialect import id_list
from kala.store.job_states import in_states
from kala.store.tags import have_all

JOB = Table("job").alias("job")
# The index has the names without all the rest of the jobs.
_NAMED = """
    job.seq IN (SELECT seq FROM job AS named [index job_folded_name] WHERE [contains named.folded_name ?]
        UNION ALL SELECT seq FROM job AS given WHERE id = ?)
"""
_HAS_SLOT = {True: "job.next_due IS NOT NULL", False: "job.next_due IS NULL"}


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list, in order of creation. `after` is the position of the job before the first one."""

    limit: int | None = None
    after: int = 0
    q: str = ""
    """A part of the name, or the id."""
    ids: tuple[str, ...] | None = None
    owner: str | None = None
    disabled: bool | None = None
    done: bool | None = None
    planned: bool | None = None
    """Whether a slot of theirs is still to come, if they are enabled."""
    tags: tuple[str, ...] = ()
    states: frozenset[JobState] = frozenset()
    last: int | None = None
    """The position of the last job, if the list ends before the end."""


def conditions(wanted: JobFilter) -> Iterator[Expression | SQL]:
    """Yield what holds for each job that matches. A limit is not among it."""
    yield JOB.c.seq > wanted.after
    if wanted.last is not None:
        yield JOB.c.seq <= wanted.last
    if wanted.q:
        yield SQL(_NAMED, (folded(wanted.q), wanted.q))
    if wanted.ids is not None:
        yield SQL("job.id IN [job_ids ?]", (id_list(wanted.ids),))
    for column, value in (("owner", wanted.owner), ("disabled", wanted.disabled), ("is_done", wanted.done)):
        if value is not None:
            yield getattr(JOB.c, column) == value
    if wanted.planned is not None:
        yield SQL(_HAS_SLOT[wanted.planned])
    yield from have_all(wanted.tags, wanted.after)
    if wanted.states:
        yield in_states(wanted.states)
