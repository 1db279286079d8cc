"""Parents, children and on-failure jobs: which runs after which, and what happens when one is deleted."""

from datetime import timedelta

import pytest
from samples import FAR, HOURLY

from kala.core.errors import Conflict, Invalid
from kala.core.job import Overlap, ParentsMode
from kala.core.run import State


@pytest.fixture
def parent(kala) -> str:
    """A job that runs only when a test starts it."""
    return kala.create(name="parent", schedule=FAR)


def run_successfully(kala, job: str) -> None:
    kala.start(job)
    kala.succeed(job)


class TestAChild:
    def test_runs_after_its_parent_succeeded_and_not_before(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(parent)
        assert kala.runs(child) == []
        kala.succeed(parent)
        assert kala.story(child) == ["parent running"]

    @pytest.mark.parametrize("order", [1, -1], ids=["the parent first", "the child first"])
    def test_waits_for_its_own_retry_if_it_fails_as_its_parent_succeeds(self, kala, parent, order):
        child = kala.create(parents=(parent,), retries=1)
        kala.start(parent)
        kala.start(child)
        kala.step(*[kala.done(parent), kala.done(child, State.FAILED)][::order])
        assert kala.story(child) == ["manual failed", "retry running", "parent queued"]

    def test_has_a_parent_once_if_it_is_given_by_id_and_by_name(self, kala, parent):
        child = kala.create(parents=(parent, "parent", parent))
        assert kala.job(child).spec.parents == (parent,)

    def test_does_not_run_when_its_parent_fails(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.fail(parent)
        assert kala.runs(child) == []

    def test_runs_after_each_success_of_its_parent(self, kala, parent):
        child = kala.create(parents=(parent,))
        for _ in range(3):
            run_successfully(kala, parent)
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 3

    def test_runs_once_after_a_parent_that_succeeds_at_a_retry(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.update(parent, retries=1)
        kala.start(parent)
        kala.fail(parent)
        kala.succeed(parent)
        assert kala.story(child) == ["parent running"]

    def test_runs_after_each_of_its_parents(self, kala, parent):
        other = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, other))
        for one in (parent, other):
            run_successfully(kala, one)
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 2

    def test_records_the_run_of_its_parent_as_its_cause(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_successfully(kala, parent)
        assert kala.runs(child)[0].cause_run == kala.runs(parent)[0].id

    def test_that_is_running_when_its_parent_succeeds_again_runs_once_more(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_successfully(kala, parent)
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running", "parent queued"]
        kala.succeed(child)
        assert kala.story(child) == ["parent succeeded", "parent running"]

    def test_that_fails_does_not_start_its_own_children(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        run_successfully(kala, parent)
        kala.fail(child)
        assert kala.runs(grandchild) == []

    def test_is_not_done_while_it_has_a_parent(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_successfully(kala, parent)
        kala.succeed(child)
        assert not kala.job(child).is_done


class TestSeveralChildren:
    def test_run_in_the_order_of_their_creation(self, kala, parent):
        children = [kala.create(parents=(parent,)) for _ in range(4)]
        run_successfully(kala, parent)
        assert [run.job_id for run in kala.workers.given[1:]] == children

    def test_run_in_the_order_of_their_creation_on_a_single_worker(self, new_kala):
        kala = new_kala(workers=1)
        parent = kala.create(schedule=HOURLY)
        children = [kala.create(parents=(parent,)) for _ in range(4)]
        run_successfully(kala, parent)
        for child in children:
            kala.succeed(child)
        assert [run.job_id for run in kala.workers.given[1:]] == children


class TestADisabledChild:
    def test_does_not_run_and_neither_do_its_children(self, kala, parent):
        child = kala.create(parents=(parent,), disabled=True)
        grandchild = kala.create(parents=(child,))
        run_successfully(kala, parent)
        assert kala.runs(child) + kala.runs(grandchild) == []

    def test_does_not_stop_its_siblings(self, kala, parent):
        kala.create(parents=(parent,), disabled=True)
        sibling = kala.create(parents=(parent,))
        run_successfully(kala, parent)
        assert kala.story(sibling) == ["parent running"]

    def test_does_not_catch_up_when_it_is_enabled(self, kala, parent):
        child = kala.create(parents=(parent,), disabled=True)
        run_successfully(kala, parent)
        kala.enable(child)
        kala.passes(hours=1)
        assert kala.runs(child) == []


class TestAChain:
    def test_runs_in_order(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        run_successfully(kala, parent)
        kala.succeed(child)
        kala.succeed(grandchild)
        assert [run.job_id for run in kala.workers.given] == [parent, child, grandchild]

    def test_continues_after_a_restart_between_two_of_its_jobs(self, new_kala):
        kala = new_kala(workers=1)
        parent = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        kala.start(parent)
        kala.drain()
        kala.succeed(parent)
        kala.restart(minutes=1)
        kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"]
        assert kala.story(grandchild) == ["parent running"]

    def test_ends_with_a_lost_run(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.restart(minutes=1)
        assert kala.story(parent) == ["manual lost"]
        assert kala.runs(child) == []


class TestACycle:
    def test_of_two_jobs_is_refused_with_its_path(self, kala, parent):
        child = kala.create(parents=(parent,))
        with pytest.raises(Invalid) as refusal:
            kala.update(parent, parents=(child,), schedule="")
        assert str(refusal.value) == (
            "parent_jobs, on_failure_job: the jobs would form a cycle: "
            f"{parent} -> {child} -> {parent}; remove one of these links"
        )

    def test_of_one_job_is_refused(self, kala, parent):
        with pytest.raises(Invalid, match="the jobs would form a cycle: "):
            kala.update(parent, parents=(parent,), schedule="")

    def test_of_many_jobs_is_refused(self, kala, parent):
        last = parent
        for _ in range(5):
            last = kala.create(parents=(last,))
        with pytest.raises(Invalid, match="the jobs would form a cycle: "):
            kala.update(parent, parents=(last,), schedule="")

    def test_through_an_on_failure_job_is_refused(self, kala, parent):
        child = kala.create(parents=(parent,))
        with pytest.raises(Invalid, match="the jobs would form a cycle: "):
            kala.update(child, on_failure_job=parent)

    def test_of_a_job_that_is_its_own_on_failure_job_is_refused(self, kala, parent):
        with pytest.raises(Invalid, match="the jobs would form a cycle: "):
            kala.update(parent, on_failure_job=parent)

    def test_of_a_new_job_whose_on_failure_job_is_its_own_parent_is_refused(self, kala, parent):
        with pytest.raises(Invalid, match="the jobs would form a cycle: "):
            kala.create(parents=(parent,), on_failure_job=parent)
        assert kala.jobs() == [parent]

    def test_that_is_refused_changes_nothing(self, kala, parent):
        child = kala.create(parents=(parent,))
        before = kala.job(parent), kala.job(child)
        with pytest.raises(Invalid):
            kala.update(parent, parents=(child,), schedule="")
        assert (kala.job(parent), kala.job(child)) == before

    def test_is_not_formed_by_two_paths_to_the_same_job(self, kala, parent):
        left, right = kala.create(parents=(parent,)), kala.create(parents=(parent,))
        bottom = kala.create(parents=(left, right))
        run_successfully(kala, parent)
        kala.succeed(left)
        kala.succeed(right)
        assert kala.story(bottom) == ["parent running", "parent queued"]


class TestRunsWithTheSameCause:
    """A job has one queued run for each of these causes: it starts after everything that it stands for."""

    @pytest.mark.parametrize("overlap", [Overlap.WAIT, Overlap.ALLOW])
    def test_by_several_parents_are_one_while_queued(self, new_kala, overlap):
        kala = new_kala(workers=3)
        parents = [kala.create(name=f"parent {number}", schedule=HOURLY) for number in range(3)]
        child = kala.create(parents=tuple(parents), overlap=overlap)
        for parent in parents:
            kala.start(parent)
        kala.drain()
        first, *others = (kala.done(parent) for parent in parents)
        kala.step(first)
        kala.step(*others)
        assert [(run.cause_run, run.state) for run in kala.runs(child)] == [(first.run.id, "queued")]

    def test_by_a_parent_are_two_if_one_has_started(self, kala, parent):
        child = kala.create(parents=(parent,))
        for _ in range(4):
            run_successfully(kala, parent)
        assert kala.story(child) == ["parent running", "parent queued"]

    def test_by_several_failures_are_one_while_queued(self, kala):
        alarm = kala.create(name="alarm", schedule=HOURLY)
        broken = [kala.create(name=f"{number}", schedule=HOURLY, on_failure_job=alarm) for number in range(4)]
        for job in broken:
            kala.start(job)
            kala.fail(job)
        assert kala.story(alarm) == ["failure running", "failure queued"]

    def test_are_not_merged_with_manual_starts(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(child)
        kala.start(child)
        run_successfully(kala, parent)
        assert kala.story(child) == ["manual running", "manual queued", "parent queued"]

    def test_are_each_skipped_or_replaced_if_the_overlap_says_so(self, kala, parent):
        skips = kala.create(parents=(parent,), overlap=Overlap.SKIP)
        replaces = kala.create(parents=(parent,), overlap=Overlap.REPLACE)
        for _ in range(3):
            run_successfully(kala, parent)
        assert kala.story(skips) == ["parent running", "parent skipped", "parent skipped"]
        assert kala.story(replaces) == ["parent running", "parent cancelled", "parent queued"]

    def test_stay_few_in_a_densely_linked_graph(self, kala, parent):
        layer = [parent]
        for number in range(4):
            layer = [kala.create(name=f"{number}.{place}", parents=tuple(layer)) for place in range(10)]
        kala.start(parent)
        ended = 0
        while len(kala.workers.given) > ended:
            new, ended = kala.workers.given[ended:], len(kala.workers.given)
            kala.step(*[kala.end_of(run.id) for run in new])
        assert 41 <= ended <= 41 * 5


class TestManyChildren:
    """More children than one step looks at."""

    @pytest.fixture
    def children(self, kala, parent, monkeypatch) -> list[str]:
        monkeypatch.setattr("kala.engine.step.FOLLOWERS", 3)
        return [kala.create(name=f"child {number}", parents=(parent,)) for number in range(8)]

    def test_start_over_several_steps_in_the_order_of_their_creation(self, kala, parent, children):
        kala.start(parent)
        counts = []
        kala.step(kala.done(parent))
        while kala.engine.is_behind:
            counts.append(len(kala.runs()) - 1)
            kala.step()
        assert (counts, len(kala.runs()) - 1) == ([3, 6], 8)
        assert [run.job_id for run in kala.workers.given[1:]] == children
        assert {run.cause_run for run in kala.workers.given[1:]} == {kala.runs(parent)[0].id}

    def test_start_after_a_restart_between_these_steps(self, kala, parent, children):
        run_successfully(kala, parent)
        kala.restart(minutes=1)
        while kala.engine.is_behind:
            kala.step()
        assert [len(kala.runs(child)) for child in children] == [1] * 8

    def test_do_not_delay_a_slot_that_comes_due(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        kala.start(parent)
        kala.now += timedelta(hours=1)
        kala.step(kala.done(parent))
        assert kala.slots(other) == ["13:00"]
        assert kala.runs(children[-1]) == []

    def test_of_several_parents_start_parent_by_parent(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        nephew = kala.create(name="nephew", parents=(other,))
        kala.start(parent)
        kala.start(other)
        kala.step(kala.done(parent), kala.done(other))
        while kala.engine.is_behind:
            kala.step()
        assert [run.job_id for run in kala.runs()[2:]] == [*children, nephew]

    def test_that_are_left_do_not_start_if_the_parent_is_deleted(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        for child in children:
            kala.update(child, parents=(parent, other))
        run_successfully(kala, parent)
        kala.delete(parent)
        while kala.engine.is_behind:
            kala.step()
        assert sum(len(kala.runs(child)) for child in children) == 6

    def test_that_are_created_after_the_success_do_not_start(self, kala, parent, children):
        run_successfully(kala, parent)
        late = kala.create(name="late", parents=(parent,))
        while kala.engine.is_behind:
            kala.step()
        assert kala.runs(late) == []


class TestTheLimit:
    def test_on_the_children_of_a_job_is_enforced(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.CHILDREN", 2)
        first, _ = (kala.create(name=f"child {number}", parents=(parent,)) for number in range(2))
        other = kala.create(name="other", schedule=HOURLY)
        with pytest.raises(Conflict, match=f"^parent_jobs: job {parent} has 2 children, which is the limit"):
            kala.create(parents=(other, parent))
        kala.update(first, parents=(parent, other))  # existing children stay

    def test_on_all_dependencies_is_enforced(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.DEPENDENCIES", 2)
        child = kala.create(name="child", parents=(parent,))
        other = kala.create(name="other", schedule=HOURLY)
        kala.update(child, parents=(parent, other))
        with pytest.raises(Conflict, match=r"^parent_jobs: there are 2 dependencies, which is the limit"):
            kala.create(parents=(parent,))

    def test_on_the_jobs_deleted_with_a_parent_is_enforced(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.DELETED", 2)
        child = kala.create(name="child", parents=(parent,))
        last = kala.create(name="last", parents=(kala.create(name="grandchild", parents=(child,)),))
        with pytest.raises(Conflict, match="3 descendants would be deleted with it"):
            kala.delete(parent)
        kala.delete(last)
        kala.delete(parent)
        assert kala.jobs() == []


class TestASearchForCycles:
    @pytest.fixture
    def asked(self, kala, monkeypatch) -> list[str]:
        asked: list[str] = []
        dependencies = kala.store.writer.dependencies
        find = dependencies.started_by
        monkeypatch.setattr(dependencies, "started_by", lambda jobs: asked.extend(jobs) or find(jobs))
        return asked

    def test_looks_at_each_job_once(self, kala, parent, asked):
        head = kala.create(name="head", parents=tuple(kala.create(name=f"{n}", parents=(parent,)) for n in range(5)))
        kala.create(name="end", parents=(head,))
        kala.update(parent, on_failure_job=kala.create(name="alarm", schedule=HOURLY))
        assert len(asked) == len(set(asked)) == 9

    def test_is_made_only_if_a_job_gets_new_links(self, kala, parent, asked):
        child = kala.create(name="child", parents=(parent,))
        other = kala.create(name="other", schedule=HOURLY)
        kala.disable(parent)
        kala.enable(parent)
        kala.update(child, owner="ann@example.org")
        kala.update(other, schedule=FAR)
        assert asked == []
        kala.update(child, parents=(parent, other))
        assert asked == [child]


class TestDeleting:
    def test_a_child_unlinks_it_from_its_parents(self, kala, parent):
        child = kala.create(parents=(parent,))
        assert kala.delete(child) == [child]
        run_successfully(kala, parent)
        assert kala.job(parent).children == ()
        assert kala.runs(child) == []

    def test_a_parent_deletes_descendants_without_another_parent(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        assert kala.delete(parent) == [parent, child, grandchild]
        assert kala.jobs() == []

    def test_a_parent_keeps_children_with_another_parent(self, kala, parent):
        other = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, other))
        kala.delete(parent)
        assert kala.jobs() == [other, child]
        assert kala.job(child).spec.parents == (other,)

    def test_a_parent_keeps_a_child_that_runs_after_its_other_parent(self, kala, parent):
        other = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, other))
        kala.delete(parent)
        run_successfully(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_a_parent_cancels_the_queued_runs_of_its_deleted_children(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(child)
        kala.start(child)
        kala.delete(parent)
        assert kala.story(child) == ["manual running", "manual cancelled"]

    def test_a_running_parent_starts_no_child_when_it_ends(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.delete(parent)
        kala.succeed(parent)
        assert kala.runs(child) == []

    def test_an_on_failure_job_unlinks_it_from_its_callers_over_several_steps(self, kala, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.REMAINS", 3)
        alarm = kala.create(name="alarm", schedule=HOURLY)
        callers = [kala.create(name=f"{number}", schedule=HOURLY, on_failure_job=alarm) for number in range(8)]
        kala.delete(alarm)
        kala.start(callers[0])
        kala.fail(callers[0])
        while kala.engine.is_behind:
            kala.step()
        assert {kala.job(caller).spec.on_failure_job for caller in callers} == {""}
        assert kala.story(callers[0]) == ["manual failed"]

    def test_the_parent_of_an_on_failure_job_unlinks_its_callers(self, kala, parent):
        alarm = kala.create(parents=(parent,))
        caller = kala.create(schedule=HOURLY, on_failure_job=alarm)
        kala.delete(parent)
        assert kala.job(caller).spec.on_failure_job == ""


class TestAChildOfAllParents:
    @pytest.fixture
    def other(self, kala) -> str:
        return kala.create(name="other", schedule=FAR)

    @pytest.fixture
    def child(self, kala, parent, other) -> str:
        return kala.create(name="child", parents=(parent, other), parents_mode=ParentsMode.ALL)

    def test_runs_when_the_last_of_its_parents_has_succeeded(self, kala, parent, other, child):
        run_successfully(kala, parent)
        assert kala.runs(child) == []
        run_successfully(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_records_the_last_run_as_its_cause(self, kala, parent, other, child):
        run_successfully(kala, parent)
        run_successfully(kala, other)
        assert kala.runs(child)[0].cause_run == kala.runs(other)[0].id

    def test_runs_whatever_the_order_of_its_parents(self, kala, parent, other, child):
        run_successfully(kala, other)
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_does_not_run_if_one_parent_succeeds_several_times(self, kala, parent, child):
        for _ in range(3):
            run_successfully(kala, parent)
        assert kala.runs(child) == []

    def test_waits_for_each_parent_again_after_its_run(self, kala, parent, other, child):
        for one in (parent, other, parent):
            run_successfully(kala, one)
        kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"]
        run_successfully(kala, parent)
        run_successfully(kala, other)
        assert kala.story(child) == ["parent succeeded", "parent running"]

    def test_runs_after_a_later_success_of_a_parent_that_failed(self, kala, parent, other, child):
        run_successfully(kala, parent)
        kala.start(other)
        kala.fail(other)
        assert kala.runs(child) == []
        run_successfully(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_remembers_successes_across_a_restart(self, kala, parent, other, child):
        run_successfully(kala, parent)
        kala.restart(hours=1)
        run_successfully(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_waits_for_each_parent_again_after_a_manual_start(self, kala, parent, other, child):
        run_successfully(kala, parent)
        run_successfully(kala, child)
        run_successfully(kala, other)
        assert kala.story(child) == ["manual succeeded"]

    def test_waits_for_all_parents_of_the_same_round(self, kala):
        root = kala.create(name="root", schedule=HOURLY)
        left, right = (kala.create(name=name, parents=(root,)) for name in ("left", "right"))
        child = kala.create(name="child", parents=(left, right), parents_mode=ParentsMode.ALL)
        run_successfully(kala, root)
        kala.fail(left)
        kala.succeed(right)
        for _ in range(2):
            run_successfully(kala, root)
            kala.succeed(left)
            assert "parent running" not in kala.story(child)
            kala.succeed(right)
            assert kala.story(child)[-1] == "parent running"
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 2

    @pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.TIMED_OUT])
    def test_does_not_run_if_the_latest_run_of_a_parent_did_not_succeed(self, kala, parent, other, child, end):
        run_successfully(kala, parent)
        kala.start(parent)
        kala.step(kala.done(parent, end))
        run_successfully(kala, other)
        assert kala.runs(child) == []
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_ignores_the_success_of_a_run_that_is_not_the_latest(self, kala, parent, other, child):
        kala.update(parent, overlap=Overlap.ALLOW)
        run_successfully(kala, other)
        first, second = kala.start(parent), kala.start(parent)
        kala.step(kala.end_of(first.id))
        assert kala.runs(child) == []
        kala.step(kala.end_of(second.id))
        assert [run.cause_run for run in kala.runs(child)] == [second.id]

    def test_ignores_a_later_run_of_a_parent_that_was_cancelled_in_the_queue(self, kala, parent, other, child):
        run_successfully(kala, other)
        kala.start(parent)
        kala.cancel(kala.start(parent).id)
        kala.succeed(parent)
        assert kala.story(child) == ["parent running"]

    def test_ignores_a_skipped_run_of_a_parent(self, kala, parent, other, child):
        kala.update(parent, overlap=Overlap.SKIP)
        run_successfully(kala, other)
        kala.start(parent)
        kala.start(parent)
        kala.succeed(parent)
        assert kala.story(parent) == ["manual succeeded", "manual skipped"]
        assert kala.story(child) == ["parent running"]

    def test_does_not_wait_for_a_deleted_parent(self, kala, parent, other, child):
        run_successfully(kala, parent)
        kala.delete(other)
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running"]


class TestAParentsName:
    def test_stands_for_its_id(self, kala, parent):
        child = kala.create(name="child", parents=("parent",))
        assert kala.job(child).spec.parents == (parent,)
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_that_several_jobs_have_is_refused(self, kala, parent):
        kala.create(name="parent", schedule=HOURLY)
        with pytest.raises(Invalid, match=r"^parent_jobs: more than one job has the name 'parent'; use an id$"):
            kala.create(name="child", parents=("parent",))

    def test_that_no_job_has_is_refused(self, kala):
        with pytest.raises(Invalid, match=r"^parent_jobs: no job has the id or name 'nobody'$"):
            kala.create(name="child", parents=("nobody",))

    def test_can_change_without_effect_on_the_child(self, kala, parent):
        child = kala.create(name="child", parents=("parent",))
        kala.update(parent, name="renamed")
        run_successfully(kala, parent)
        assert kala.story(child) == ["parent running"]
