"""With owners, a session has their jobs and what belongs to these, as if there were nothing else."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import GeneratorType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.core.caller import matches
from kala.core.errors import KalaError
from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State, Waiting
from kala.core.summary import JobState
from kala.store import run_search
from kala.store.dependencies import PutOff
from kala.store.job_filter import JobFilter
from kala.store.run_search import RunFilter
from kala.store.store import Session, Store
from kala.store.summaries import SORTS, Key

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OWNERS = ["ann@db.example", "bob@db.example", "cyd@web.example", "d*n@web.example", ""]
OWN = ("*@db.example",)
JOBS, RUNS = 40, 400
IDS = [str(number) for number in range(JOBS)]
GONE = "deleted"
STATES = [State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.LOST]
EACH_PAGE = range(0, JOBS, 7)


def fill(store: Store, seed: int) -> None:
    """Write jobs of all owners that start one another, and runs of theirs and of a deleted job."""
    chosen = random.Random(seed)
    with store.transaction():
        for job_id in IDS:
            parents = tuple(
                {chosen.choice(IDS[: int(job_id)]) for _ in range(chosen.randrange(3))} if job_id > "0" else ()
            )
            spec = Spec(
                name=f"job {chosen.randrange(20)}",
                action=Command("true"),
                owner=chosen.choice(OWNERS),
                tags=tuple(sorted(chosen.sample(["red", "green"], chosen.randrange(3)))),
                parents=parents,
                on_failure_job="" if job_id == "0" else chosen.choice(["", chosen.choice(IDS[: int(job_id)])]),
                disabled=chosen.random() < 0.3,
                schedule="R/2099-01-01T00:00:00Z/PT1H",
                timezone=chosen.choice(["", "Europe/Berlin"]),
            )
            due = chosen.choice([None, NOON + chosen.randrange(100) * MINUTE])
            job = Job(id=job_id, spec=spec, created_at=NOON, next_due=due, is_done=chosen.random() < 0.2)
            store.writer.jobs.add(replace(job, claimed_until=due, zone_rules=chosen.choice(["x", "y"])))
            for parent in parents[: chosen.randrange(3)]:
                store.writer.dependencies.remember_success(parent, job_id)
        for number in range(1, RUNS):
            add_run(store.writer, chosen, number)


def add_run(writer: Session, chosen: random.Random, number: int) -> None:
    queued_at = NOON + number * MINUTE / 10
    run = Run(
        job_id=chosen.choice([*IDS, GONE]),
        job_name="",
        cause=chosen.choice([Cause.SCHEDULE, Cause.SCHEDULE, Cause.MANUAL, Cause.PARENT, Cause.RETRY]),
        cause_run=chosen.choice([None, chosen.randrange(max(1, number - 5), number + 1)]),
        pool=chosen.choice(["", "gpu"]),
        queued_at=queued_at,
        due_at=queued_at,
    )
    if number > RUNS - 60:
        waiting = chosen.choice(list(Waiting))
        run = writer.runs.add(replace(run, waiting=waiting, not_before=queued_at if waiting is Waiting.RETRY else None))
        if waiting is Waiting.WORKER and chosen.random() < 0.5:
            writer.runs.start([run], queued_at)
            writer.counts.count_attempts([run.job_id], queued_at)
        return
    if chosen.random() < 0.1:
        writer.runs.add(replace(run, state=State.SKIPPED, outcome=Outcome(state=State.SKIPPED, ended_at=queued_at)))
        return
    [run] = writer.runs.start([writer.runs.add(run)], queued_at)
    size = chosen.choice([0, 9])
    ended_at, took = queued_at + chosen.randrange(9) * MINUTE, chosen.randrange(5) * 10**9
    outcome = Outcome(state=chosen.choice(STATES), ended_at=ended_at, duration=took, output_size=size)
    ended = writer.runs.finish([(run, outcome)])
    writer.counts.count_ends([(one, chosen.random() < 0.8) for one in ended])
    if size:
        writer.runs.store_outputs([(run.id, b"n" * size)])


# Leaves only the jobs of OWN in a database, and what belongs to them, with the sums that Kala would have kept.
ONLY_OWN = """
    DELETE FROM job_tag WHERE seq IN (SELECT seq FROM job WHERE owner NOT LIKE '%@db.example');
    DELETE FROM job WHERE owner NOT LIKE '%@db.example';
    DELETE FROM dependency WHERE parent_id NOT IN (SELECT id FROM job) OR child_id NOT IN (SELECT id FROM job);
    DELETE FROM run WHERE job_id NOT IN (SELECT id FROM job);
    DELETE FROM output WHERE run_id NOT IN (SELECT id FROM run);
    DELETE FROM ended;
    INSERT INTO ended SELECT ended_at / 60000000, state, count(*), min(id), max(id)
        FROM run WHERE ended_at IS NOT NULL GROUP BY 1, 2;
    UPDATE totals SET last_attempt = (SELECT max(last_attempt) FROM job);
"""


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    yield store
    store.close()


@pytest.fixture(scope="module", params=range(3))
def both(request, tmp_path_factory) -> Iterator[tuple[Store, Store]]:
    """A store with the jobs of all owners, and one that has only those of OWN."""
    folder = tmp_path_factory.mktemp("owned")
    with opened(folder / "all") as store:
        fill(store, request.param)
    shutil.copytree(folder / "all", folder / "own")
    with opened(folder / "all") as everyone, opened(folder / "own") as own:
        own._writing.connection().executescript(ONLY_OWN)
        yield everyone, own


FILTERS = [
    JobFilter(),
    JobFilter(q="1"),
    JobFilter(q="job"),
    JobFilter(q="7"),
    JobFilter(ids=("1", "2", "3", "4", "5", "6", "7", "8", "none")),
    JobFilter(owner="ann@db.example"),
    JobFilter(owner="cyd@web.example"),
    JobFilter(disabled=True),
    JobFilter(disabled=False, done=False),
    JobFilter(done=True),
    JobFilter(planned=True),
    JobFilter(planned=False),
    JobFilter(tags=("red",)),
    JobFilter(tags=("red", "green")),
    *(JobFilter(states=frozenset({state})) for state in JobState),
    JobFilter(states=frozenset({JobState.OK, JobState.RUNNING}), tags=("red",)),
]
RUN_FILTERS = [
    {},
    {"before": 200},
    {"job_id": "7"},
    {"states": frozenset({State.FAILED, State.LOST})},
    {"states": frozenset({State.SUCCEEDED})},
    {"states": frozenset({State.RUNNING, State.QUEUED})},
    {"cause": Cause.MANUAL},
    {"cause": Cause.SCHEDULE},
    {"since": NOON + 10 * MINUTE},
    {"until": NOON + 10 * MINUTE},
    {"since": NOON + 10 * MINUTE, "until": NOON + 12 * MINUTE},
    {"q": "1"},
    {"owner": "ann@db.example"},
    {"owner": "cyd@web.example"},
    {"tags": ("red",)},
    {"tags": ("red",), "states": frozenset({State.FAILED})},
    {"pool": "gpu"},
    {"cause_run": 100},
    {"longer_than": timedelta(seconds=2), "now": NOON + 60 * MINUTE},
]
KEYS = [[], *([Key(name, is_descending)] for name, is_descending in product(SORTS, (False, True)))]
STEPS = (1, int(NOON.timestamp()) // 60, int(NOON.timestamp()) // 60 + 60)


def pages(session: Session, wanted: JobFilter, keys: list[Key]) -> list[object]:
    """Every page of a list of summaries, and how many jobs match."""
    matches, after, found = session.summaries.matches(wanted), None, []
    while True:
        jobs, after = session.summaries.page(matches, keys, after, limit=5, recent=9)
        found += jobs
        if len(jobs) < 5:
            return [found, session.summaries.count(matches)]


def searched(session: Session, count: int) -> list[object]:
    return [session.history.search(RunFilter(limit=limit, **one)) for one in RUN_FILTERS for limit in (3, count)]


def each(method: Callable[[str], object]) -> list[object]:
    """What a method returns for each job, or the sentence of its error."""
    return [attempt(lambda one=one: method(one)) for one in [*IDS, GONE]]


def attempt(ask: Callable[[], object]) -> object:
    try:
        found = ask()
    except KalaError as error:
        return str(error)
    return list(found) if isinstance(found, (Iterator, GeneratorType)) else found


NAMES = [f"job {number}" for number in range(20)]
# What each reading method of a session returns. The order within a set of rows that no method promises is left out.
READ = {
    "jobs.get": lambda session: each(session.jobs.get),
    "jobs.get_many": lambda session: session.jobs.get_many(IDS),
    "jobs.due": lambda session: session.jobs.due(NOON + 50 * MINUTE, 99, ["x"]),
    "jobs.zone_rules": lambda session: session.jobs.zone_rules(),
    "jobs.owners": lambda session: session.jobs.owners(),
    "jobs.planned_with": lambda session: sorted(job.id for job in session.jobs.planned_with(["x"], 99)),
    "jobs.planned_ahead": lambda session: sorted(job.id for job in session.jobs.planned_ahead(NOON, 99, ["x"])),
    "jobs.last_claim": lambda session: session.jobs.last_claim(),
    "jobs.next_due": lambda session: session.jobs.next_due(),
    "jobs.search": lambda session: [list(session.jobs.search(replace(one, limit=9, after=3))) for one in FILTERS],
    "jobs.seq": lambda session: each(session.jobs.seq),
    "jobs.last_seq": lambda session: session.jobs.last_seq(),
    "jobs.next_seq": lambda session: [session.jobs.next_seq(after) for after in range(JOBS + 1)],
    "jobs.revision": lambda session: [session.jobs.revision(after, after + 7)[0] for after in EACH_PAGE],
    "jobs.nodes": lambda session: list(session.jobs.nodes(2, JOBS)),
    "jobs.edges": lambda session: list(session.jobs.edges(2, JOBS)),
    "jobs.totals": lambda session: session.jobs.totals(),
    "jobs.names": lambda session: session.jobs.names(IDS),
    "jobs.owners_of": lambda session: session.jobs.owners_of(IDS),
    "jobs.existing": lambda session: session.jobs.existing(IDS),
    "jobs.ids_by_name": lambda session: [set(session.jobs.ids_by_name(name)) for name in NAMES if name],
    "jobs.id_of": lambda session: [attempt(lambda one=one: session.jobs.id_of(one)) for one in [*IDS, *NAMES]],
    "jobs.resolve": lambda session: [attempt(lambda one=one: session.jobs.resolve(one)) for one in [*IDS, *NAMES]],
    "jobs.missing_ids": lambda session: sorted(session.jobs.missing_ids()),
    "summaries.matches": lambda session: [
        [seq in session.summaries.matches(wanted) for seq in own_positions(session)] for wanted in FILTERS
    ],
    "summaries.page": lambda session: [pages(session, wanted, keys) for wanted, keys in product(FILTERS, KEYS)],
    "summaries.count": lambda session: [session.summaries.count(session.summaries.matches(one)) for one in FILTERS],
    "summaries.ids": lambda session: [session.summaries.ids(one, 9) for one in FILTERS],
    "summaries.overview": lambda session: session.summaries.overview(NOON, 99),
    "dependencies.count": lambda session: session.dependencies.count(),
    "dependencies.started_by": lambda session: {
        edge for edge in session.dependencies.started_by(IDS) if edge[1] in session.jobs.existing(IDS)
    },
    "dependencies.with_children": lambda session: session.dependencies.with_children(2, IDS),
    "dependencies.children_of": lambda session: [
        session.dependencies.children_of(PutOff(1, job_id, 0, JOBS), 9) for job_id in IDS
    ],
    "dependencies.first_put_off": lambda session: session.dependencies.first_put_off(),
    "dependencies.have_all_succeeded": lambda session: each(session.dependencies.have_all_succeeded),
    "runs.get": lambda session: [session.runs.get(run_id) for run_id in range(RUNS)],
    "runs.running": lambda session: session.runs.running(),
    "runs.has_ready": lambda session: session.runs.has_ready(),
    "runs.ready": lambda session: session.runs.ready(99),
    "runs.busy": lambda session: session.runs.busy([*IDS, GONE]),
    "runs.unfinished": lambda session: session.runs.unfinished([*IDS, GONE]),
    "runs.with_slot_waiting": lambda session: session.runs.with_slot_waiting([*IDS, GONE]),
    "runs.queued": lambda session: each(session.runs.queued),
    "runs.is_queued": lambda session: each(lambda one: session.runs.is_queued(one, Cause.PARENT)),
    "runs.count_queued": lambda session: [session.runs.count_queued(), *each(session.runs.count_queued)],
    "runs.is_latest": lambda session: each(lambda one: session.runs.is_latest(RUNS - 70, one)),
    "runs.jobs_with_queued": lambda session: set(session.runs.jobs_with_queued()),
    "runs.next_retry": lambda session: session.runs.next_retry(),
    "runs.due_retries": lambda session: session.runs.due_retries(NOON + 99 * MINUTE, 99),
    "runs.running_of": lambda session: each(session.runs.running_of),
    "runs.output": lambda session: [session.runs.output(run_id) for run_id in range(RUNS)],
    "runs.last_attempts": lambda session: each(lambda one: session.runs.last_attempts(one, 5)),
    "runs.last_attempts_from": lambda session: each(lambda one: session.runs.last_attempts_from(100, one, 300)),
    "runs.first_last_attempt": lambda session: each(lambda one: session.runs.first_last_attempt(one, 3)),
    "history.search": lambda session: searched(session, RUNS),
    "history.newest": lambda session: session.history.newest([*IDS, GONE], 3),
    "history.causes": lambda session: [session.history.causes(run_id, 9) for run_id in range(RUNS)],
    "history.caused": lambda session: [session.history.caused(run_id, 9) for run_id in range(1, RUNS)],
    "history.usual_duration": lambda session: each(session.history.usual_duration),
    "history.by_ids": lambda session: session.history.by_ids(range(RUNS)),
    "endings.per_step": lambda session: [
        session.endings.per_step(*STEPS),
        session.endings.per_step(7, STEPS[1] // 7 + 1, STEPS[2] // 7 - 3),
        session.endings.per_step(1, 0, 9),
        *each(lambda one: session.endings.per_step(*STEPS, one)),
    ],
    "queued.counts": lambda session: session.queued.counts(),
    "coming.jobs": lambda session: session.coming.jobs(0, 2**62, 9),
    "coming.slots": lambda session: session.coming.slots(0, 2**62, 9),
    "neighbours.edges": lambda session: set(session.neighbours.edges(sorted(session.jobs.existing(IDS)), 999)),
    "neighbours.positions": lambda session: set(session.neighbours.positions()),
    "neighbours.failing": lambda session: set(session.neighbours.failing()),
    "neighbours.at": lambda session: session.neighbours.at(range(JOBS)),
    "neighbours.nodes": lambda session: session.neighbours.nodes(IDS),
    "neighbours.last_states": lambda session: session.neighbours.last_states([*IDS, GONE]),
    "retention.first_ended": lambda session: session.retention.first_ended(),
    "retention.older_than": lambda session: each(lambda one: session.retention.older_than(one, NOON + 9 * MINUTE, 9)),
    "retention.beyond_newest": lambda session: each(lambda one: session.retention.beyond_newest(one, 3, 9)),
    "retention.beyond_bytes": lambda session: each(lambda one: session.retention.beyond_bytes(one, 9, 9)),
    "retention.between": lambda session: session.retention.between(0, RUNS),
    "retention.jobs_after": lambda session: session.retention.jobs_after(3, 9),
    "retention.limits": lambda session: session.retention.limits(IDS),
    "retention.orphans_after": lambda session: session.retention.orphans_after(3, NOON + 99 * MINUTE, RUNS),
}
# Whether there is one, or the first or last of them, is the same with all jobs and with some of them.
ALIKE = {
    *("runs.has_ready", "runs.next_retry", "jobs.zone_rules", "jobs.last_claim", "jobs.next_due", "jobs.last_seq"),
    *("retention.first_ended", "dependencies.first_put_off"),
}
# What belongs to no job, or says so itself: the size of all outputs, and what a deletion would delete.
OF_EVERYONE = {
    "answers.get",
    "boots.current",
    "retention.output_bytes",
    "retention.too_much_output",
    "dependencies.children",
    "dependencies.count_parents",
}
WRITING = {
    *("add", "save", "plan", "set_done", "delete", "delete_all", "forget_on_failure"),
    *("postpone", "advance", "delete_put_off", "link", "unlink", "unlink_all", "remember_success", "forget_successes"),
    *("outdate_successes", "start", "finish", "release", "hold", "resume", "wait_for_pool", "release_pool"),
    *("bring_forward", "shorten_retries", "end_retry_wait", "store_outputs", "cancel_queued", "cancel_queued_of"),
    *("delete_before", "keep", "delete_older"),
}


def own_positions(session: Session) -> list[int]:
    return [node.seq for node in session.neighbours.nodes(IDS)]


@pytest.mark.parametrize("name", READ)
def test_a_session_with_owners_reads_what_a_database_with_only_their_jobs_has(both, name):
    everyone, own = both
    with everyone.reading(OWN) as session, own.reading(()) as expected:
        assert READ[name](session) == READ[name](expected)


@pytest.mark.parametrize("name", sorted(set(READ) - ALIKE))
def test_a_session_without_owners_reads_more(both, name):
    everyone, _ = both
    with everyone.reading(()) as session:
        found = READ[name](session)
    with everyone.reading(OWN) as session:
        assert READ[name](session) != found


def test_all_methods_that_read_are_compared(both):
    everyone, _ = both
    named = {name.split(".")[0] for name in READ} | {"answers", "boots"}
    tables = {name: table for name, table in vars(everyone.writer).items() if name in named}
    assert set(vars(everyone.writer)) - set(tables) == {"revision", "counts", "accounts", "audit", "_sql"}
    methods = {
        f"{table}.{method}"
        for table, found in tables.items()
        for method in vars(type(found))
        if not method.startswith("_") and method not in WRITING
    }
    assert methods == set(READ) | OF_EVERYONE


@pytest.mark.parametrize("limits", [(5, 10, 99, 99), (5, 0, 99, 9), (5, 0, 2, 9), (5, 99, 999, 999), (1, 0, 2, 1)])
def test_each_way_to_search_runs_finds_only_those_of_the_owners(both, limits, monkeypatch):
    for name, limit in zip(("_PROBED", "_FEW_JOBS", "_MANY_JOBS", "_MANY"), limits, strict=True):
        monkeypatch.setattr(run_search, name, limit)
    everyone, own = both
    with everyone.reading(OWN) as session, own.reading(()) as expected:
        assert searched(session, RUNS) == searched(expected, RUNS)


@pytest.mark.parametrize("owners", [("nobody",), ("d*n@web.example",), ("*",), ("ann@db.example", "*web*"), ("A*",)])
def test_patterns_choose_the_owners(both, owners):
    everyone, _ = both
    with everyone.reading(owners) as session:
        found = {job.spec.owner for job in session.jobs.get_many(IDS).values()}
        counted = session.jobs.totals().jobs
    with everyone.reading(()) as session:
        jobs = session.jobs.get_many(IDS).values()
    assert found == {owner for owner in OWNERS if matches(owners, owner)}
    assert counted == sum(matches(owners, job.spec.owner) for job in jobs)


def test_jobs_are_read_in_order_and_not_sorted(both):
    everyone, _ = both
    with everyone.reading(OWN) as session:
        connection = everyone._reading.connection()
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        list(session.jobs.search(JobFilter(limit=5)))
        connection.set_trace_callback(None)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert any(re.fullmatch(r"SEARCH \w+ USING INTEGER PRIMARY KEY \(rowid>\?\)", line) for line in plan)
    assert len([line for line in plan if "ORDER BY" in line]) == 1  # of the children of each job


def test_without_owners_the_session_is_always_the_same(store):
    with store.reading(()) as first, store.reading(()) as second:
        assert first is second


def test_without_owners_the_statements_are_as_they_are_written(store):
    with store.reading(()) as session:
        statements: list[str] = []
        store._reading.connection().set_trace_callback(statements.append)
        session.jobs.get("1")
        session.runs.get(1)
        store._reading.connection().set_trace_callback(None)
    assert not [one for one in statements if re.search("WITH|owned", one)]


any_owner = st.text("ab*?[]^\\\n%_é", max_size=6)


@given(
    owners=st.lists(any_owner, min_size=1, max_size=5, unique=True),
    patterns=st.lists(any_owner, min_size=1, max_size=3),
)
def test_jobs_exist_exactly_for_callers_with_a_pattern_that_matches_their_owner(undone, owners, patterns):
    with undone() as store:
        for number, owner in enumerate(owners):
            spec = Spec(name="job", action=Command("true"), owner=owner)
            store.writer.jobs.add(Job(id=str(number), spec=spec, created_at=NOON, next_due=None))
        session = store.writer.of_owners(patterns)
        found = {job.spec.owner for job in session.jobs.get_many(map(str, range(len(owners)))).values()}
    assert found == {owner for owner in owners if matches(patterns, owner)}
