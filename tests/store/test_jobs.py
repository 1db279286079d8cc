"""Jobs are stored and read back unchanged; lists are filtered, and sums are kept."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from specs import any_spec

from kala.core.errors import NotFound
from kala.core.job import Command, Counts, Job, Spec
from kala.core.run import Cause, Outcome, Run, State
from kala.store.job_filter import JobFilter
from kala.store.jobs import Totals
from kala.store.store import Store

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def job(job_id: str, next_due: datetime | None = None, **fields: object) -> Job:
    spec = Spec(**{"name": f"job {job_id}", "action": Command("true")} | fields)
    return Job(id=job_id, spec=spec, created_at=NOON, next_due=next_due)


def ended(job_id: str, state: State, at: datetime) -> Run:
    outcome = Outcome(state=state, ended_at=at)
    run = Run(job_id=job_id, job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
    return replace(run, state=state, outcome=outcome)


def add(store: Store, *jobs: Job) -> None:
    with store.transaction():
        for one in jobs:
            store.writer.jobs.add(one)


def listed(store: Store, **wanted: object) -> list[str]:
    with store.reading(()) as session:
        return [one.id for _, one in session.jobs.search(JobFilter(**wanted))]


text = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.text("abc123-", min_size=1, max_size=5)
instants = st.datetimes(timezones=st.just(UTC))


class TestAJob:
    @given(spec=any_spec, created_at=instants, next_due=st.none() | instants, slots_started=st.integers(0, 2**60))
    def test_is_read_as_it_was_written(self, undone, spec, created_at, next_due, slots_started):
        given_job = Job(id="me", spec=spec, created_at=created_at, next_due=next_due, slots_started=slots_started)
        with undone() as store:
            add(store, given_job)
            assert store.writer.jobs.get("me") == given_job

    @given(before=any_spec, after=any_spec, next_due=st.none() | instants)
    def test_is_read_as_it_was_saved(self, undone, before, after, next_due):
        with undone() as store:
            add(store, Job(id="me", spec=before, created_at=NOON, next_due=None))
            changed = Job(id="me", spec=after, created_at=NOON, next_due=next_due, slots_started=7, is_done=True)
            store.writer.jobs.save(changed)
            store.writer.jobs.plan([changed])
            assert store.writer.jobs.get("me") == changed

    def test_that_does_not_exist_is_none(self, store):
        assert store.writer.jobs.get("1") is None

    def test_is_found_by_its_id_together_with_others_without_its_counts(self, store):
        jobs = [job(name) for name in "abc"]
        add(store, *jobs)
        found = store.writer.jobs.get_many(["a", "c", "nobody"])
        assert found == {"a": replace(jobs[0], counts=None), "c": replace(jobs[2], counts=None)}

    def test_is_planned_with_others(self, store):
        add(store, job("a"), job("b"))
        plans = [replace(job("a", NOON), slots_started=3), job("b", NOON + SECOND)]
        with store.transaction():
            store.writer.jobs.plan(plans)
        assert [store.writer.jobs.get(one) for one in "ab"] == plans

    def test_keeps_its_counts_when_it_is_saved(self, store):
        add(store, job("1"))
        with store.transaction():
            store.writer.counts.count_ends([(ended("1", State.SUCCEEDED, NOON), True)])
            store.writer.jobs.save(job("1", owner="ann@example.org"))
        assert store.writer.jobs.get("1").counts == Counts(successes=1, finished=1, last_success=NOON)

    def test_has_its_children_in_order_of_creation(self, store):
        add(store, job("p"), job("z", parents=("p",)), job("a", parents=("p",)), job("m", parents=("p",)))
        assert store.writer.jobs.get("p").children == ("z", "a", "m")
        assert store.writer.dependencies.children(["p"]) == [("p", "z"), ("p", "a"), ("p", "m")]

    def test_that_is_saved_with_other_parents_is_only_their_child(self, store):
        add(store, job("p"), job("q"), job("c", parents=("p",)))
        with store.transaction():
            store.writer.jobs.save(job("c", parents=("q",)))
        assert store.writer.dependencies.children(["p", "q"]) == [("q", "c")]

    def test_that_is_deleted_is_removed_from_its_parents_and_children(self, store):
        add(store, job("p"), job("c", parents=("p",)), job("d", parents=("c",)))
        with store.transaction():
            store.writer.jobs.delete(["c"])
        assert store.writer.jobs.get("c") is None
        assert store.writer.jobs.get("p").children == ()
        assert store.writer.dependencies.count_parents(["d"]) == {}

    def test_that_is_deleted_is_removed_from_the_parents_of_a_job_that_has_others(self, store):
        add(store, job("p"), job("q"), job("r"), job("c", parents=("r", "p", "q")), job("d", parents=("p",)))
        with store.transaction():
            assert store.writer.jobs.delete(["p", "d"]) == ["c"]
        assert store.writer.jobs.get("c").spec == job("c", parents=("r", "q")).spec

    def test_can_be_cleared_as_on_failure_job_a_few_jobs_at_a_time(self, store):
        callers = [job("a", on_failure_job="f"), job("b", on_failure_job="g"), job("c", on_failure_job="f")]
        add(store, job("f"), job("g"), *callers)
        with store.transaction():
            first, second, last = (store.writer.jobs.forget_on_failure(["f"], 1) for _ in range(3))
        assert sorted(first + second) == ["a", "c"]
        assert last == []
        assert store.writer.jobs.get("a").spec == job("a").spec
        assert store.writer.jobs.get("b") == callers[1]

    def test_is_missing_where_only_an_on_failure_job_or_a_queued_run_refers_to_it(self, store):
        add(store, job("a", on_failure_job="f"), job("b", on_failure_job="a"))
        with store.transaction():
            for job_id in ("a", "r"):
                store.writer.runs.add(Run(job_id=job_id, job_name="", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON))
        assert sorted(store.writer.jobs.missing_ids()) == ["f", "r"]

    def test_exists_by_its_id_only(self, store):
        add(store, job("a"))
        assert store.writer.jobs.existing(["a", "job a", "b"]) == {"a"}

    def test_counts_attempts_successes_and_errors(self, store):
        add(store, job("1"))
        jobs = store.writer.jobs
        with store.transaction():
            store.writer.counts.count_attempts(["1"], NOON)
            retried, failed = (ended("1", State.FAILED, NOON + seconds * SECOND) for seconds in (1, 2))
            succeeded = ended("1", State.SUCCEEDED, NOON + 3 * SECOND)
            cancelled = ended("1", State.CANCELLED, NOON + 4 * SECOND)
            store.writer.counts.count_ends([(retried, False), (failed, True), (succeeded, True), (cancelled, True)])
        assert jobs.get("1").counts == Counts(
            successes=1,
            errors=2,
            finished=2,
            last_success=NOON + 3 * SECOND,
            last_error=NOON + 2 * SECOND,
            last_attempt=NOON,
        )


class TestTheParentsOfAJob:
    @pytest.fixture
    def writer(self, store):
        """A child of two parents, inside a transaction that is still open."""
        with store.transaction():
            for one in (job("p"), job("q"), job("c", parents=("p", "q")), job("d", parents=("p",))):
                store.writer.jobs.add(one)
            yield store.writer

    def test_have_all_succeeded_when_each_of_them_has(self, writer):
        found = [writer.dependencies.have_all_succeeded("c")]
        for parent in ("p", "p", "q"):
            writer.dependencies.remember_success(parent, "c")
            found.append(writer.dependencies.have_all_succeeded("c"))
        assert found == [False, False, False, True]

    def test_have_succeeded_for_each_child_separately(self, writer):
        writer.dependencies.remember_success("p", "d")
        assert (writer.dependencies.have_all_succeeded("d"), writer.dependencies.have_all_succeeded("c")) == (
            True,
            False,
        )

    def test_have_to_succeed_again_after_the_child_ran(self, writer):
        for parent in "pq":
            writer.dependencies.remember_success(parent, "c")
        writer.dependencies.remember_success("p", "d")
        writer.dependencies.forget_successes("c")
        writer.dependencies.remember_success("p", "c")
        assert (writer.dependencies.have_all_succeeded("c"), writer.dependencies.have_all_succeeded("d")) == (
            False,
            True,
        )

    def test_keep_their_successes_when_the_child_is_saved(self, writer):
        writer.dependencies.remember_success("p", "c")
        writer.jobs.save(job("c", parents=("q", "p"), owner="ann@example.org"))
        writer.dependencies.remember_success("q", "c")
        assert writer.dependencies.have_all_succeeded("c")

    def test_that_are_new_have_not_succeeded_yet(self, writer):
        writer.dependencies.remember_success("p", "c")
        writer.jobs.save(job("c", parents=("p",)))
        alone = writer.dependencies.have_all_succeeded("c")
        writer.jobs.save(job("c", parents=("p", "q")))
        assert (alone, writer.dependencies.have_all_succeeded("c")) == (True, False)

    def test_that_were_removed_and_added_again_have_not_succeeded_yet(self, writer):
        writer.dependencies.remember_success("p", "d")
        writer.jobs.save(job("d"))
        writer.jobs.save(job("d", parents=("p",)))
        assert not writer.dependencies.have_all_succeeded("d")

    def test_have_not_succeeded_where_there_are_none(self, writer):
        assert not writer.dependencies.have_all_succeeded("p")


class TestAName:
    @pytest.mark.parametrize("q", ["ärzte", "ÄRZTE", "a\N{COMBINING DIAERESIS}rz", "STRASSE", "straße 5"])
    def test_is_searched_in_any_case_of_any_alphabet(self, store, q):
        add(store, job("1", name="Ärzte, Große Straße 5"), job("2", name="Arzte, Grosse Strase"))
        assert listed(store, q=q) == ["1"]

    def test_finds_at_most_two_of_the_jobs_that_have_it(self, store):
        add(store, job("1", name="a"), job("2", name="b"), *(job(one, name="c") for one in "345"))
        named = store.writer.jobs.ids_by_name
        assert (named("a"), named("A"), named("x"), len(named("c"))) == (["1"], [], [], 2)


class TestWhatIsDue:
    def test_are_the_enabled_jobs_whose_time_has_come_earliest_first(self, store):
        add(
            store,
            job("later", NOON + SECOND),
            job("now", NOON),
            job("never"),
            job("asleep", NOON, disabled=True),
            job("long", NOON - SECOND),
            job("also now", NOON),
        )
        assert [one.id for one in store.writer.jobs.due(NOON, 10)] == ["long", "now", "also now"]

    def test_is_limited_to_the_number_asked_for(self, store):
        add(store, *(job(str(number), NOON + number * SECOND) for number in range(5)))
        assert [one.id for one in store.writer.jobs.due(NOON + 9 * SECOND, 2)] == ["0", "1"]

    def test_next_is_the_earliest_of_the_enabled_jobs(self, store):
        add(store, job("1", NOON + SECOND), job("2", NOON, disabled=True), job("3"))
        assert store.writer.jobs.next_due() == NOON + SECOND

    def test_next_is_none_where_nothing_will_be_due(self, store):
        add(store, job("1"))
        assert store.writer.jobs.next_due() is None


class TestAList:
    @pytest.fixture
    def store(self, store):
        add(
            store,
            job("c", name="Backup 100%", owner="ann@example.org"),
            job("a", name="backup_db", disabled=True),
            job("d", name="report 100", owner="bob@example.org"),
            job("b", name=r"c:\backup"),
        )
        with store.transaction():
            store.writer.jobs.set_done(["d"], is_done=True)
        return store

    def test_has_all_jobs_in_order_of_creation(self, store):
        assert listed(store) == ["c", "a", "d", "b"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"limit": 2}, ["c", "a"]),
            ({"limit": 2, "after": 2}, ["d", "b"]),
            ({"after": 4}, []),
            ({"limit": 0}, []),
            ({"q": "backup"}, ["c", "a", "b"]),
            ({"q": "%"}, ["c"]),
            ({"q": "_"}, ["a"]),
            ({"q": "\\"}, ["b"]),
            ({"q": "100%"}, ["c"]),
            ({"q": "p_"}, ["a"]),
            ({"q": "nothing"}, []),
            ({"owner": "ann@example.org"}, ["c"]),
            ({"owner": ""}, ["a", "b"]),
            ({"disabled": True}, ["a"]),
            ({"disabled": False}, ["c", "d", "b"]),
            ({"done": True}, ["d"]),
            ({"done": False}, ["c", "a", "b"]),
            ({"q": "backup", "disabled": False, "after": 1}, ["b"]),
        ],
    )
    def test_has_only_what_is_wanted(self, store, wanted, expected):
        assert listed(store, **wanted) == expected

    def test_continues_after_the_position_of_a_job(self, store):
        assert listed(store, after=store.writer.jobs.seq("a")) == ["d", "b"]

    def test_cannot_start_after_a_job_that_does_not_exist(self, store):
        with pytest.raises(NotFound) as refusal:
            store.writer.jobs.seq("x")
        assert str(refusal.value) == ("no job has the id 'x'")

    def test_keeps_the_order_of_creation_when_a_job_is_deleted_and_another_made(self, store):
        with store.transaction():
            store.writer.jobs.delete(["b"])
        add(store, job("b"))
        assert listed(store) == ["c", "a", "d", "b"]


changes = st.lists(
    st.tuples(
        st.sampled_from(["add", "save", "success", "error", "attempt", "delete", "delete_all"]),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=40,
)


class TestTotals:
    @given(changes)
    def test_are_the_sums_over_all_jobs_whatever_happens(self, undone, changes):
        with undone() as store:
            attempts = [at for at in map(self.change, [store] * 40, count(), changes) if at]
            jobs = [job for _, job in store.writer.jobs.search(JobFilter())]
            assert store.writer.jobs.totals() == Totals(
                jobs=len(jobs),
                disabled=sum(one.spec.disabled for one in jobs),
                successes=sum(one.counts.successes for one in jobs),
                errors=sum(one.counts.errors for one in jobs),
                last_attempt=max(attempts, default=None),
                next_due=min((one.next_due for one in jobs if one.next_due and not one.spec.disabled), default=None),
            )

    def change(self, store: Store, number: int, change: tuple[str, int, bool]) -> datetime | None:
        """Make one of the changes, and return when a run was started, if one was."""
        what, which, flag = change
        jobs, at = store.writer.jobs, NOON + which * SECOND
        names = [one.id for _, one in jobs.search(JobFilter())]
        if what == "add" or not names:
            jobs.add(job(str(number), at if flag else None, disabled=flag and which > 3))
            return None
        name = names[which % len(names)]
        match what:
            case "save":
                before = jobs.get(name)
                spec = replace(before.spec, disabled=flag)
                jobs.save(replace(before, spec=spec))
                jobs.plan([replace(before, next_due=at)])
            case "success":
                store.writer.counts.count_ends([(ended(name, State.SUCCEEDED, at), True)])
            case "error":
                store.writer.counts.count_ends([(ended(name, State.FAILED, at), flag)])
            case "attempt":
                store.writer.counts.count_attempts([name], at)
                return at
            case "delete":
                jobs.delete([name])
            case "delete_all":
                jobs.delete_all()
        return None

    def test_without_jobs_are_zero(self, store):
        assert store.writer.jobs.totals() == Totals(0, 0, 0, 0, None, None)


def test_no_tag_stays_behind_when_jobs_are_deleted(store):
    add(store, job("1", tags=("a", "b")), job("2", tags=("a",)))
    with store.transaction():
        store.writer.jobs.delete(["1"])
    assert listed(store, tags=("a",)) == ["2"]
    with store.transaction():
        store.writer.jobs.delete_all()
    add(store, job("3"), job("4"))
    assert listed(store, tags=("a",)) == []
