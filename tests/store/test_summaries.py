"""Summaries of jobs: how the latest runs ended, sorting, pages, and states."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.core.job import Command, Job, Spec
from kala.core.run import FAILURES, Cause, Outcome, Run, State, Waiting
from kala.core.summary import RECENT, JobState, LastRun
from kala.store import migrations
from kala.store.job_filter import JobFilter
from kala.store.summaries import SORTS, Key

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ALL = JobFilter()
ENDS = [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.LOST]


def job(job_id: str, name: str = "", next_due: datetime | None = None, **fields: object) -> Job:
    spec = Spec(name=name or f"job {job_id}", action=Command("true"), **fields)
    return Job(id=job_id, spec=spec, created_at=NOON, next_due=next_due)


def run(job_id: str, **fields: object) -> Run:
    return Run(job_id=job_id, job_name="", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, **fields)


def end(store, job_id: str, state: State, number: int = 1, *, is_final: bool = True) -> None:
    outcome = Outcome(state=state, ended_at=NOON + number * SECOND, duration=number)
    ended = replace(run(job_id, id=number), state=state, outcome=outcome)
    store.writer.counts.count_ends([(ended, is_final)])


def page(store, *keys: Key, wanted: JobFilter = ALL, **query):
    return store.writer.summaries.page(store.writer.summaries.matches(wanted), keys, **{"limit": 100} | query)


class TestTheLatestRuns:
    @pytest.fixture
    def one(self, store):
        """A store with a job, in a transaction that is still open."""
        with store.transaction():
            store.writer.jobs.add(job("1"))
            yield store

    def summary(self, store):
        [found], _ = page(store, recent=RECENT)
        return found

    def test_are_none_before_the_first_end(self, one):
        found = self.summary(one)
        assert (found.last_run, found.recent, found.states) == (None, (), (JobState.NEW,))

    def test_are_kept_newest_first(self, one):
        for number, state in enumerate(ENDS, 1):
            end(one, "1", state, number)
        found = self.summary(one)
        assert found.recent == tuple(ENDS[::-1])
        assert found.last_run == LastRun(5, State.LOST, NOON + 5 * SECOND, 5)

    def test_do_not_count_a_failure_that_is_retried(self, one):
        end(one, "1", State.SUCCEEDED, 1)
        end(one, "1", State.FAILED, 2, is_final=False)
        assert (self.summary(one).recent, self.summary(one).failures) == ((State.SUCCEEDED,), 1)

    def test_are_in_order_when_two_end_in_one_step(self, one):
        ended = [
            (replace(run("1", id=number), state=state, outcome=Outcome(state=state, ended_at=NOON)), True)
            for number, state in enumerate([State.FAILED, State.SUCCEEDED, State.FAILED], 1)
        ]
        one.writer.counts.count_ends(ended)
        assert self.summary(one).recent == (State.FAILED, State.SUCCEEDED, State.FAILED)
        assert self.summary(one).last_run.id == 3

    def test_are_limited(self, one):
        for number in range(30):
            end(one, "1", State.SUCCEEDED, number)
        assert len(self.summary(one).recent) == RECENT

    def test_of_older_databases_are_found_in_the_history(self, one):
        runs = one.writer.runs
        for number, state in enumerate(ENDS):
            [started] = runs.start([runs.add(run("1"))], NOON)
            outcome = Outcome(state=state, ended_at=NOON + number * SECOND, duration=7)
            [ended] = runs.finish([(started, outcome)])
            if state is State.FAILED:
                # A retry has followed.
                runs.add(replace(run("1"), cause=Cause.RETRY, cause_run=ended.id, state=State.QUEUED))
        for statement in migrations._LATEST_ENDS:
            if "UPDATE job SET" in statement:
                one._writing.execute_sql(statement)
        found = self.summary(one)
        assert found.recent == (State.LOST, State.CANCELLED, State.TIMED_OUT, State.SUCCEEDED)
        assert found.last_run == LastRun(ended.id, State.LOST, NOON + 4 * SECOND, 7)


names = st.sampled_from(["a", "A", "b", "B", "ab", "Ü"])
some_jobs = st.lists(
    st.tuples(names, st.none() | st.integers(0, 2), st.booleans(), st.sampled_from([None, *ENDS]), st.integers(0, 3)),
    max_size=8,
)
keys = st.lists(st.builds(Key, st.sampled_from(SORTS), st.booleans()), max_size=3, unique_by=lambda key: key.name)


def fill(store, some) -> None:
    for number, (name, due, disabled, state, failures) in enumerate(some, 1):
        at = None if due is None else NOON + due * SECOND
        store.writer.jobs.add(job(str(number), name, at, disabled=disabled))
        for _ in range(failures):
            end(store, str(number), State.FAILED, number, is_final=False)
        if state:
            end(store, str(number), state, number % 3)


_RANKS = {JobState.FAILING: 0, JobState.LOST: 1, JobState.CANCELLED: 2}


def value(summary, key: Key, number: int):
    """Return what a key sorts by, written in the simplest way."""
    last, never = summary.last_run, datetime(1 if key.is_descending else 9999, 1, 1, tzinfo=UTC)
    match key.name:
        case "created":
            return number
        case "name":
            return "".join(letter.lower() if letter.isascii() else letter for letter in summary.name)
        case "next":
            return summary.next_due or never
        case "last":
            return last.ended_at if last else never
        case "failures":
            return summary.failures
    return min(_RANKS.get(state, 3) for state in summary.states)


class TestSorting:
    @given(some_jobs, keys, st.integers(1, 4))
    def test_pages_have_each_job_once_in_the_order_of_the_keys(self, undone, some, keys, limit):
        with undone() as store:
            fill(store, some)
            expected, _ = page(store)
            for key in reversed(keys):
                numbers = {one.id: int(one.id) for one in expected}
                expected.sort(key=lambda one, key=key: value(one, key, numbers[one.id]), reverse=key.is_descending)
            found, after = [], None
            while True:
                jobs, after = page(store, *keys, after=after, limit=limit)
                found += jobs
                if len(jobs) < limit:
                    break
            assert [one.id for one in found] == [one.id for one in expected]


class TestFilters:
    @given(
        some_jobs,
        keys,
        st.sampled_from([0, 3000]),
        st.fixed_dictionaries(
            {},
            optional={
                "q": st.sampled_from(["a", "B", "ü", "x"]),
                "owner": st.sampled_from(["o0", "o1", "o2"]),
                "tags": st.sampled_from([("t0",), ("t1",), ("t0", "t1")]),
                "disabled": st.booleans(),
                "done": st.booleans(),
                "states": st.frozensets(st.sampled_from(JobState), min_size=1, max_size=3),
            },
        ),
    )
    def test_lists_and_counts_have_the_jobs_that_match_all_of_them(self, undone, some, keys, few, given):
        with undone() as store, pytest.MonkeyPatch.context() as patched:
            patched.setattr("kala.store.summaries._FEW", few)
            fill(store, some)
            for number in range(1, len(some) + 1):
                before = store.writer.jobs.get(str(number))
                tags = [("t0",), ("t1",), ("t0", "t1")][number % 3]
                store.writer.jobs.save(replace(before, spec=replace(before.spec, owner=f"o{number % 2}", tags=tags)))
                store.writer.jobs.set_done([str(number)], is_done=number % 4 == 0)
            everything, _ = page(store, *keys)
            expected = [
                one.id
                for one in everything
                if given.get("q", "").lower() in one.name.lower()
                and one.owner == given.get("owner", one.owner)
                and set(given.get("tags", ())).issubset(one.tags)
                and one.is_disabled is given.get("disabled", one.is_disabled)
                and one.is_done is given.get("done", one.is_done)
                and given.get("states", frozenset(one.states)).intersection(one.states)
            ]
            wanted = JobFilter(**given)
            found, after = page(store, *keys, wanted=wanted, limit=2)
            while after and len(found) % 2 == 0:
                more, after = page(store, *keys, wanted=wanted, after=after, limit=2)
                found += more
            assert [one.id for one in found] == expected
            assert store.writer.summaries.count(store.writer.summaries.matches(wanted)) == len(expected)


class TestStates:
    @given(some_jobs, st.frozensets(st.sampled_from(JobState), min_size=1, max_size=3))
    def test_a_filter_finds_the_jobs_that_are_in_one_of_its_states(self, undone, some, states):
        with undone() as store:
            fill(store, some)
            for number in range(1, len(some) + 1, 2):
                store.writer.runs.add(run(str(number)))
                store.writer.jobs.set_done([str(number)], is_done=True)
            for number in range(1, len(some) + 1, 3):
                store.writer.runs.add(replace(run(str(number)), state=State.RUNNING, started_at=NOON))
            everything, _ = page(store)
            expected = [one.id for one in everything if states.intersection(one.states)]
            wanted = JobFilter(states=states)
            found, _ = page(store, wanted=wanted)
            assert [one.id for one in found] == expected
            assert store.writer.summaries.count(store.writer.summaries.matches(wanted)) == len(expected)
            assert store.writer.summaries.ids(wanted, 100) == expected
            assert [one.id for _, one in store.writer.jobs.search(wanted)] == expected

    @given(st.sampled_from(JobState))
    def test_each_is_known_to_the_filter(self, undone, state):
        with undone() as store:
            assert page(store, wanted=JobFilter(states=frozenset({state}))) == ([], ())


class TestTheOverview:
    def test_counts_jobs_and_runs(self, store):
        with store.transaction():
            for number in range(4):
                store.writer.jobs.add(job(str(number), disabled=number == 3))
            for number, state in enumerate([State.SUCCEEDED, *FAILURES]):
                end(store, str(number), state)
            for waiting in [*Waiting, Waiting.JOB]:
                store.writer.runs.add(replace(run("1"), waiting=waiting))
            store.writer.runs.add(replace(run("1"), cause=Cause.PARENT))
            store.writer.runs.add(replace(run("1"), state=State.RUNNING, started_at=NOON))
            for hours in (0, 23, 25):
                outcome = Outcome(state=State.SKIPPED, ended_at=NOON - timedelta(hours=hours))
                store.writer.runs.add(replace(run("1"), state=State.SKIPPED, outcome=outcome))
            found = store.writer.summaries.overview(NOON - timedelta(days=1), 10)
        assert (found.jobs, found.disabled, found.failing, found.running, found.skipped) == (4, 1, 2, 1, 2)
        assert found.queued == {"worker": 2, "job": 2, "pool": 1, "retry": 1, "disabled": 1}
