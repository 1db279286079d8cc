"""The history of runs is listed newest first, filtered, and at a cost that does not grow with its length."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State
from kala.store.run_search import RunFilter
from kala.store.runs import Runs

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def add(
    runs: Runs,
    seconds: int,
    job: str = "1",
    cause: Cause = Cause.SCHEDULE,
    state: State = State.QUEUED,
    *,
    took: int = 0,
) -> Run:
    """A run that was queued some seconds after noon, and ended `took` seconds later after waiting for half of them."""
    at = NOON + seconds * SECOND
    queued = Run(job_id=job, job_name="backup", cause=cause, queued_at=at, due_at=at)
    if state is State.SKIPPED:
        return runs.add(replace(queued, state=state, outcome=Outcome(state=state, ended_at=at)))
    made = runs.add(queued)
    if state is not State.QUEUED:
        [made] = runs.start([made], at + took * SECOND / 2)
    if state not in (State.QUEUED, State.RUNNING):
        [made] = runs.finish([(made, Outcome(state=state, ended_at=at + took * SECOND))])
    return made


def at(run: Run) -> datetime:
    """The time by which a run is found."""
    return run.outcome.ended_at if run.outcome else run.started_at or run.queued_at


@pytest.fixture
def search(store):
    """Lists the numbers of runs, counted from 1, that match."""
    with store.transaction():
        add(store.writer.runs, 0, "a", Cause.SCHEDULE, State.SUCCEEDED)
        add(store.writer.runs, 10, "b", Cause.MANUAL, State.FAILED)
        add(store.writer.runs, 20, "a", Cause.RETRY, State.FAILED)
        add(store.writer.runs, 20, "b", Cause.SCHEDULE, State.CANCELLED)
        add(store.writer.runs, 30, "a", Cause.SCHEDULE, State.RUNNING)
        add(store.writer.runs, 40, "a", Cause.MANUAL, State.QUEUED)

    def search(**wanted: object) -> list[int]:
        with store.reading(()) as session:
            return [one.id for one in session.history.search(RunFilter(**{"limit": 10} | wanted))]

    return search


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"limit": 2}, [6, 5]),
        ({"limit": 0}, []),
        ({"before": 4}, [3, 2, 1]),
        ({"before": 4, "limit": 1}, [3]),
        ({"before": 1}, []),
        ({"job_id": "a"}, [6, 5, 3, 1]),
        ({"job_id": "x"}, []),
        ({"states": {State.QUEUED}}, [6]),
        ({"states": {State.RUNNING}}, [5]),
        ({"states": {State.SUCCEEDED}}, [1]),
        ({"states": {State.FAILED}}, [3, 2]),
        ({"states": {State.TIMED_OUT}}, []),
        ({"states": {State.FAILED, State.TIMED_OUT}}, [3, 2]),
        ({"states": {State.FAILED, State.QUEUED, State.SUCCEEDED}}, [6, 3, 2, 1]),
        ({"states": {State.RUNNING, State.CANCELLED}}, [5, 4]),
        ({"cause": Cause.SCHEDULE}, [5, 4, 1]),
        ({"cause": Cause.MANUAL}, [6, 2]),
        ({"cause": Cause.RETRY}, [3]),
        ({"since": after(20)}, [6, 5, 4, 3]),
        ({"since": after(20.000001)}, [6, 5]),
        ({"since": after(-1)}, [6, 5, 4, 3, 2, 1]),
        ({"since": after(41)}, []),
        ({"until": after(20)}, [4, 3, 2, 1]),
        ({"until": after(19.999999)}, [2, 1]),
        ({"until": after(-1)}, []),
        ({"until": after(99)}, [6, 5, 4, 3, 2, 1]),
        ({"since": after(10), "until": after(30)}, [5, 4, 3, 2]),
        ({"since": after(30), "until": after(10)}, []),
        ({"job_id": "a", "states": {State.FAILED}, "cause": Cause.RETRY}, [3]),
        ({"job_id": "b", "states": {State.RUNNING}}, []),
        ({"job_id": "a", "before": 6, "since": after(10), "limit": 1}, [5]),
    ],
)
def test_a_filter_lists_matching_runs_newest_first(search, wanted, expected):
    assert search(**wanted) == expected


def test_a_run_is_found_by_its_end_however_long_ago_it_was_queued(store):
    with store.transaction():
        add(store.writer.runs, 0, state=State.FAILED, took=3600)
        search = store.writer.history.search
        assert len(search(RunFilter(limit=9, since=after(3599), states=frozenset({State.FAILED})))) == 1
        assert search(RunFilter(limit=9, until=after(3599))) == []


def test_a_run_is_listed_as_it_was_written(store):
    with store.transaction():
        failed = add(store.writer.runs, 0, state=State.FAILED)
        assert store.writer.history.search(RunFilter(limit=1)) == [failed]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from("ab"), st.sampled_from(Cause), st.sampled_from(State), st.integers(0, 9)
        )
    ),
    st.sampled_from([2, 10_000]),
    st.sampled_from([1, 3, 1_000]),
    st.fixed_dictionaries(
        {"limit": st.integers(0, 9)},
        optional={
            "before": st.integers(-2, 9),
            "job_id": st.sampled_from("abc"),
            "states": st.sets(st.sampled_from(State)),
            "cause": st.sampled_from(Cause),
            "since": st.integers(-1, 30).map(after),
            "until": st.integers(-1, 30).map(after),
        },
    ),
)
def test_filters_can_be_combined(undone, made, few, probed, wanted):
    with undone() as store, pytest.MonkeyPatch.context() as patched:
        patched.setattr("kala.store.run_search._MANY", few)
        patched.setattr("kala.store.run_search._PROBED", probed)
        now, known = 0, []
        for seconds, job, cause, state, took in made:
            now += seconds
            known.append(add(store.writer.runs, now, job, cause, state, took=took))
        if "before" in wanted and known:
            wanted = wanted | {"before": wanted["before"] + known[0].id}
        expected = [
            one
            for one in reversed(known)
            if one.id < wanted.get("before", 2**62)
            and one.job_id == wanted.get("job_id", one.job_id)
            and (not wanted.get("states") or one.state in wanted["states"])
            and one.cause == wanted.get("cause", one.cause)
            and wanted.get("since", at(one)) <= at(one) <= wanted.get("until", at(one))
        ]
        assert store.writer.history.search(RunFilter(**wanted)) == expected[: wanted["limit"]]


LONG = timedelta(hours=1)


@pytest.fixture
def searched(store):
    """Lists the numbers of the runs of 30 jobs that match: each job has run three times, in turn.

    Job 7 belongs to other@x and has the tags a and b, the others have b; the jobs are called `backup 0` and so on.
    """
    with store.transaction():
        for number in range(30):
            owner, tags = ("other@x", ("a", "b")) if number == 7 else ("me@x", ("b",))
            spec = Spec(name=f"Backup {number}", action=Command("true"), owner=owner, tags=tags)
            store.writer.jobs.add(Job(id=str(number), spec=spec, created_at=NOON, next_due=None))
        for number in range(90):
            add(store.writer.runs, number, str(number % 30), state=State.FAILED if number == 67 else State.SUCCEEDED)

    def searched(**wanted: object) -> list[int]:
        with store.reading(()) as session:
            return [run.id for run in session.history.search(RunFilter(**{"limit": 10} | wanted))]

    return searched


@pytest.mark.parametrize(("probed", "many"), [(1, 5), (1, 2_000), (7, 2_000), (1_000, 2_000)])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"q": "backup 7"}, [68, 38, 8]),
        ({"q": "BACKUP 7", "before": 68}, [38, 8]),
        ({"q": "backup 7", "states": {State.FAILED}}, [68]),
        ({"q": "nothing"}, []),
        ({"owner": "other@x"}, [68, 38, 8]),
        ({"owner": "other@x", "q": "8"}, []),
        ({"owner": "other@x", "limit": 1}, [68]),
        ({"owner": ""}, []),
        ({"tags": ("a", "b")}, [68, 38, 8]),
        ({"tags": ("b",), "limit": 2}, [90, 89]),
        ({"tags": ("c",)}, []),
        ({"tags": ("a",), "owner": "me@x"}, []),
        ({"owner": "me@x", "limit": 3}, [90, 89, 88]),
        ({"owner": "me@x", "before": 69, "limit": 3}, [67, 66, 65]),
        ({"owner": "me@x", "before": 31, "limit": 100}, [*range(30, 8, -1), *range(7, 0, -1)]),
        ({"owner": "me@x", "states": {State.FAILED}}, []),
        ({"owner": "me@x", "since": after(88)}, [90, 89]),
    ],
)
def test_runs_are_found_by_their_jobs(  # noqa: PLR0917  as there are parameters
    searched, monkeypatch, probed, many, wanted, expected
):
    monkeypatch.setattr("kala.store.run_search._PROBED", probed)
    monkeypatch.setattr("kala.store.run_search._MANY_JOBS", many)
    assert searched(**wanted) == expected


def test_runs_are_found_by_their_pool_and_by_what_caused_them(store):
    with store.transaction():
        queued = Run(job_id="1", job_name="a", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
        first = store.writer.runs.add(queued)
        second = store.writer.runs.add(replace(queued, pool="web", cause_run=first.id))
        search = store.writer.history.search
        assert search(RunFilter(limit=9, pool="web")) == search(RunFilter(limit=9, cause_run=first.id)) == [second]
        assert search(RunFilter(limit=9, pool="")) == [first]
        assert search(RunFilter(limit=9, cause_run=second.id)) == []


@pytest.mark.parametrize("few", [0, 10_000])
def test_runs_that_took_or_have_taken_longer_are_found(store, monkeypatch, few):
    monkeypatch.setattr("kala.store.run_search._MANY", few)
    with store.transaction():
        runs = store.writer.runs
        queued = Run(job_id="1", job_name="a", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
        for number, seconds in enumerate((0.5, 60, 3601), 1):
            [run] = runs.start([runs.add(queued)], NOON)
            ended = NOON + timedelta(seconds=seconds)
            runs.finish([(run, Outcome(state=State.FAILED, ended_at=ended, duration=int(seconds * 1e9)))])
            assert run.id == number
        runs.start([runs.add(queued)], NOON)
        runs.add(queued)

        def longer(length: timedelta, **passed: float) -> list[int]:
            wanted = RunFilter(limit=9, longer_than=length, now=NOON + timedelta(**passed))
            return [run.id for run in store.writer.history.search(wanted)]

        assert longer(timedelta(seconds=0.4), seconds=0) == [3, 2, 1]
        assert longer(timedelta(seconds=1), seconds=2) == [4, 3, 2]
        assert longer(LONG, minutes=60) == [3]
        assert longer(LONG, minutes=61) == [4, 3]
        assert longer(timedelta(days=1), minutes=61) == []


def test_a_chain_has_what_caused_a_run_and_what_it_caused(store):
    with store.transaction():
        queued = Run(job_id="1", job_name="a", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
        for cause in (None, 1, 2, 2, 3, 4, None):
            store.writer.runs.add(replace(queued, cause_run=cause))
        history = store.writer.history
        assert [run.id for run in history.causes(5, 9)] == [1, 2, 3]
        assert [run.id for run in history.causes(5, 2)] == [2, 3]
        assert [run.id for run in history.caused(2, 9)] == [3, 4, 5, 6]
        assert [run.id for run in history.caused(2, 2)] == [3, 4]
        assert history.causes(7, 9) == history.caused(7, 9) == history.causes(99, 9) == history.caused(99, 9) == []


@pytest.fixture
def plans_of(store, monkeypatch):
    """Returns the query plan of each statement of a search."""
    connection = store._writing.connection()
    with store.transaction():
        for _ in range(3):
            add(store.writer.runs, 0)
    # So that older runs are searched as well.
    monkeypatch.setattr("kala.store.run_search._PROBED", 1)

    def plans_of(wanted: RunFilter) -> list[list[str]]:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        store.writer.history.search(wanted)
        connection.set_trace_callback(None)
        return [[row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")] for one in asked if "SELECT" in one]

    return plans_of


# Those that are running or queued are sorted; there are few of them.
RARE = [state for state in State if state not in (State.SUCCEEDED, State.RUNNING, State.QUEUED)]


@pytest.mark.parametrize(
    "wanted",
    [
        {"before": 5},
        {"job_id": "1"},
        {"since": NOON},
        {"until": NOON},
        {"since": NOON, "until": NOON},
        {"pool": "web"},
        {"cause_run": 1},
        {"longer_than": LONG, "now": NOON},
        {"q": "backup", "pool": "web"},
        {"tags": ("a",)},
        {"owner": "me@x", "states": {State.FAILED}},
        *({"states": {state}} for state in RARE),
        *({"cause": cause} for cause in Cause if cause is not Cause.SCHEDULE),
    ],
    ids=str,
)
def test_no_filter_scans_the_table_or_sorts(plans_of, wanted):
    plans = plans_of(RunFilter(limit=50, **wanted))
    assert plans
    lines = [line for plan in plans for line in plan]
    assert [line for line in lines if re.fullmatch(r"SCAN run|USE TEMP B-TREE.*", line)] == []


@pytest.mark.parametrize("wanted", [{}, {"states": {State.SUCCEEDED}}, {"cause": Cause.SCHEDULE}], ids=str)
def test_common_runs_are_found_from_the_newest_on_without_sorting(plans_of, wanted):
    newest, older, _by_ids = plans_of(RunFilter(limit=50, **wanted))
    assert newest == older == ["SEARCH run USING INTEGER PRIMARY KEY (rowid<?)"]
