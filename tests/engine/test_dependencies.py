"""Who runs after whom: parents and children, and what becomes of them when one of them goes."""

from datetime import timedelta

import pytest

from kala.core.errors import Conflict, Invalid
from kala.core.job import Overlap, ParentsMode
from kala.core.run import State

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"  # it is noon when a test begins


@pytest.fixture
def parent(kala) -> str:
    """A job that runs only when it is started by hand, as its slot is far away."""
    return kala.create(name="parent", schedule="R/2040-01-01T00:00:00Z/P1D")


def run_well(kala, job: str) -> None:
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
    def test_does_not_run_beside_its_retry_where_both_ended_together(self, kala, parent, order):
        child = kala.create(parents=(parent,), retries=1)
        kala.start(parent)
        kala.start(child)
        kala.step(*[kala.done(parent), kala.done(child, State.FAILED)][::order])
        assert kala.story(child) == ["manual failed", "retry running", "parent queued"]

    def test_has_a_parent_once_that_is_given_by_id_and_by_name(self, kala, parent):
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
            run_well(kala, parent)
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 3

    def test_runs_once_for_a_parent_that_succeeded_at_a_retry(self, kala, parent):
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
            run_well(kala, one)
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 2

    def test_knows_the_run_of_its_parent(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_well(kala, parent)
        assert kala.runs(child)[0].cause_run == kala.runs(parent)[0].id

    def test_that_still_runs_when_its_parent_succeeds_again_runs_once_more_after_that(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_well(kala, parent)
        run_well(kala, parent)
        assert kala.story(child) == ["parent running", "parent queued"]
        kala.succeed(child)
        assert kala.story(child) == ["parent succeeded", "parent running"]

    def test_that_fails_does_not_run_its_own_children(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        run_well(kala, parent)
        kala.fail(child)
        assert kala.runs(grandchild) == []

    def test_is_not_done_while_it_has_a_parent(self, kala, parent):
        child = kala.create(parents=(parent,))
        run_well(kala, parent)
        kala.succeed(child)
        assert not kala.job(child).is_done


class TestSeveralChildren:
    def test_run_in_the_order_of_their_creation(self, kala, parent):
        children = [kala.create(parents=(parent,)) for _ in range(4)]
        run_well(kala, parent)
        assert [run.job_id for run in kala.workers.given[1:]] == children

    def test_run_in_the_order_of_their_creation_on_a_single_worker(self, new_kala):
        kala = new_kala(workers=1)
        parent = kala.create(schedule=HOURLY)
        children = [kala.create(parents=(parent,)) for _ in range(4)]
        run_well(kala, parent)
        for child in children:
            kala.succeed(child)
        assert [run.job_id for run in kala.workers.given[1:]] == children


class TestADisabledChild:
    def test_is_skipped_and_so_are_its_children(self, kala, parent):
        child = kala.create(parents=(parent,), disabled=True)
        grandchild = kala.create(parents=(child,))
        run_well(kala, parent)
        assert kala.runs(child) + kala.runs(grandchild) == []

    def test_does_not_keep_its_siblings(self, kala, parent):
        kala.create(parents=(parent,), disabled=True)
        sibling = kala.create(parents=(parent,))
        run_well(kala, parent)
        assert kala.story(sibling) == ["parent running"]

    def test_does_not_make_up_for_it_when_it_is_enabled(self, kala, parent):
        child = kala.create(parents=(parent,), disabled=True)
        run_well(kala, parent)
        kala.enable(child)
        kala.passes(hours=1)
        assert kala.runs(child) == []


class TestAChain:
    def test_runs_one_after_the_other(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        run_well(kala, parent)
        kala.succeed(child)
        kala.succeed(grandchild)
        assert [run.job_id for run in kala.workers.given] == [parent, child, grandchild]

    def test_goes_on_after_a_restart_between_two_of_its_jobs(self, new_kala):
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

    def test_ends_where_a_run_was_lost(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(parent)
        kala.restart(minutes=1)
        assert kala.story(parent) == ["manual lost"]
        assert kala.runs(child) == []


class TestACircle:
    def test_of_two_jobs_is_refused_by_a_sentence_that_shows_it(self, kala, parent):
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

    def test_that_was_refused_changed_nothing(self, kala, parent):
        child = kala.create(parents=(parent,))
        before = kala.job(parent), kala.job(child)
        with pytest.raises(Invalid):
            kala.update(parent, parents=(child,), schedule="")
        assert (kala.job(parent), kala.job(child)) == before

    def test_is_none_where_two_ways_lead_to_the_same_job(self, kala, parent):
        left, right = kala.create(parents=(parent,)), kala.create(parents=(parent,))
        bottom = kala.create(parents=(left, right))
        run_well(kala, parent)
        kala.succeed(left)
        kala.succeed(right)
        assert kala.story(bottom) == ["parent running", "parent queued"]


class TestRunsThatComeAboutAlike:
    """A job of which one waits gets no second: it will run after both of what they stand for."""

    @pytest.mark.parametrize("overlap", [Overlap.WAIT, Overlap.ALLOW])
    def test_because_of_parents_are_one_while_they_wait(self, new_kala, overlap):
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

    def test_because_of_a_parent_are_two_where_one_has_started(self, kala, parent):
        child = kala.create(parents=(parent,))
        for _ in range(4):
            run_well(kala, parent)
        assert kala.story(child) == ["parent running", "parent queued"]

    def test_because_of_failures_are_one_while_they_wait(self, kala):
        alarm = kala.create(name="alarm", schedule=HOURLY)
        broken = [kala.create(name=f"{number}", schedule=HOURLY, on_failure_job=alarm) for number in range(4)]
        for job in broken:
            kala.start(job)
            kala.fail(job)
        assert kala.story(alarm) == ["failure running", "failure queued"]

    def test_are_not_one_with_those_that_came_about_otherwise(self, kala, parent):
        child = kala.create(parents=(parent,))
        kala.start(child)
        kala.start(child)
        run_well(kala, parent)
        assert kala.story(child) == ["manual running", "manual queued", "parent queued"]

    def test_are_each_skipped_or_replaced_where_the_job_says_so(self, kala, parent):
        skips = kala.create(parents=(parent,), overlap=Overlap.SKIP)
        replaces = kala.create(parents=(parent,), overlap=Overlap.REPLACE)
        for _ in range(3):
            run_well(kala, parent)
        assert kala.story(skips) == ["parent running", "parent skipped", "parent skipped"]
        assert kala.story(replaces) == ["parent running", "parent cancelled", "parent queued"]

    def test_make_few_runs_of_few_jobs_however_they_are_linked(self, kala, parent):
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
    """More than one step looks at."""

    @pytest.fixture
    def children(self, kala, parent, monkeypatch) -> list[str]:
        monkeypatch.setattr("kala.engine.step.FOLLOWERS", 3)
        return [kala.create(name=f"child {number}", parents=(parent,)) for number in range(8)]

    def test_start_in_the_steps_that_follow_in_the_order_of_their_creation(self, kala, parent, children):
        kala.start(parent)
        counts = []
        kala.step(kala.done(parent))
        while kala.engine.is_behind:
            counts.append(len(kala.runs()) - 1)
            kala.step()
        assert (counts, len(kala.runs()) - 1) == ([3, 6], 8)
        assert [run.job_id for run in kala.workers.given[1:]] == children
        assert {run.cause_run for run in kala.workers.given[1:]} == {kala.runs(parent)[0].id}

    def test_start_after_a_restart_that_came_in_between(self, kala, parent, children):
        run_well(kala, parent)
        kala.restart(minutes=1)
        while kala.engine.is_behind:
            kala.step()
        assert [len(kala.runs(child)) for child in children] == [1] * 8

    def test_do_not_keep_a_slot_that_comes_due_meanwhile(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        kala.start(parent)
        kala.now += timedelta(hours=1)
        kala.step(kala.done(parent))
        assert kala.slots(other) == ["13:00"]
        assert kala.runs(children[-1]) == []

    def test_of_several_parents_start_one_after_the_other(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        nephew = kala.create(name="nephew", parents=(other,))
        kala.start(parent)
        kala.start(other)
        kala.step(kala.done(parent), kala.done(other))
        while kala.engine.is_behind:
            kala.step()
        assert [run.job_id for run in kala.runs()[2:]] == [*children, nephew]

    def test_that_are_left_do_not_start_where_the_parent_is_deleted_meanwhile(self, kala, parent, children):
        other = kala.create(name="other", schedule=HOURLY)
        for child in children:
            kala.update(child, parents=(parent, other))
        run_well(kala, parent)
        kala.delete(parent)
        while kala.engine.is_behind:
            kala.step()
        assert sum(len(kala.runs(child)) for child in children) == 6

    def test_that_are_new_do_not_run_after_a_success_that_was_before_them(self, kala, parent, children):
        run_well(kala, parent)
        late = kala.create(name="late", parents=(parent,))
        while kala.engine.is_behind:
            kala.step()
        assert kala.runs(late) == []


class TestTheNumberOf:
    def test_children_of_a_job_has_a_limit(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.CHILDREN", 2)
        first, _ = (kala.create(name=f"child {number}", parents=(parent,)) for number in range(2))
        other = kala.create(name="other", schedule=HOURLY)
        with pytest.raises(Conflict, match=f"^parent_jobs: job {parent} has 2 children, which is the limit"):
            kala.create(parents=(other, parent))
        kala.update(first, parents=(parent, other))  # those that there are may stay

    def test_dependencies_in_all_has_a_limit(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.DEPENDENCIES", 2)
        child = kala.create(name="child", parents=(parent,))
        other = kala.create(name="other", schedule=HOURLY)
        kala.update(child, parents=(parent, other))
        with pytest.raises(Conflict, match=r"^parent_jobs: there are 2 dependencies, which is the limit"):
            kala.create(parents=(parent,))

    def test_jobs_that_go_with_their_parent_has_a_limit(self, kala, parent, monkeypatch):
        monkeypatch.setattr("kala.engine.requests.DELETED", 2)
        child = kala.create(name="child", parents=(parent,))
        last = kala.create(name="last", parents=(kala.create(name="grandchild", parents=(child,)),))
        with pytest.raises(Conflict, match="3 descendants would be deleted with it"):
            kala.delete(parent)
        kala.delete(last)
        kala.delete(parent)
        assert kala.jobs() == []


class TestASearchForCircles:
    @pytest.fixture
    def asked(self, kala, monkeypatch) -> list[str]:
        asked: list[str] = []
        dependencies = kala.store.writer.dependencies
        find = dependencies.started_by
        monkeypatch.setattr(dependencies, "started_by", lambda jobs: asked.extend(jobs) or find(jobs))
        return asked

    def test_looks_at_each_job_once_however_many_ways_lead_to_it(self, kala, parent, asked):
        head = kala.create(name="head", parents=tuple(kala.create(name=f"{n}", parents=(parent,)) for n in range(5)))
        kala.create(name="end", parents=(head,))
        kala.update(parent, on_failure_job=kala.create(name="alarm", schedule=HOURLY))
        assert len(asked) == len(set(asked)) == 9

    def test_is_made_only_where_a_job_gets_somebody_to_start_or_to_start_it(self, kala, parent, asked):
        child = kala.create(name="child", parents=(parent,))
        other = kala.create(name="other", schedule=HOURLY)
        kala.disable(parent)
        kala.enable(parent)
        kala.update(child, owner="ann@example.org")
        kala.update(other, schedule="R/2040-01-01T00:00:00Z/P1D")
        assert asked == []
        kala.update(child, parents=(parent, other))
        assert asked == [child]


class TestDeleting:
    def test_a_child_frees_its_parents(self, kala, parent):
        child = kala.create(parents=(parent,))
        assert kala.delete(child) == [child]
        run_well(kala, parent)
        assert kala.job(parent).children == ()
        assert kala.runs(child) == []

    def test_a_parent_deletes_the_children_that_have_no_other_and_theirs(self, kala, parent):
        child = kala.create(parents=(parent,))
        grandchild = kala.create(parents=(child,))
        assert kala.delete(parent) == [parent, child, grandchild]
        assert kala.jobs() == []

    def test_a_parent_leaves_the_children_that_have_another(self, kala, parent):
        other = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, other))
        kala.delete(parent)
        assert kala.jobs() == [other, child]
        assert kala.job(child).spec.parents == (other,)

    def test_a_parent_leaves_a_child_that_still_runs_after_its_other_parent(self, kala, parent):
        other = kala.create(schedule=HOURLY)
        child = kala.create(parents=(parent, other))
        kala.delete(parent)
        run_well(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_a_parent_cancels_the_queued_runs_of_the_children_that_go_with_it(self, kala, parent):
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

    def test_a_job_takes_it_from_all_that_name_it_even_where_one_step_is_too_short(self, kala, monkeypatch):
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

    def test_an_on_failure_job_that_goes_with_its_parent_frees_its_callers(self, kala, parent):
        alarm = kala.create(parents=(parent,))
        caller = kala.create(schedule=HOURLY, on_failure_job=alarm)
        kala.delete(parent)
        assert kala.job(caller).spec.on_failure_job == ""


class TestAChildOfAll:
    @pytest.fixture
    def other(self, kala) -> str:
        return kala.create(name="other", schedule="R/2040-01-01T00:00:00Z/P1D")

    @pytest.fixture
    def child(self, kala, parent, other) -> str:
        return kala.create(name="child", parents=(parent, other), parents_mode=ParentsMode.ALL)

    def test_runs_when_the_last_of_its_parents_has_succeeded(self, kala, parent, other, child):
        run_well(kala, parent)
        assert kala.runs(child) == []
        run_well(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_knows_the_run_that_was_the_last(self, kala, parent, other, child):
        run_well(kala, parent)
        run_well(kala, other)
        assert kala.runs(child)[0].cause_run == kala.runs(other)[0].id

    def test_does_not_mind_the_order(self, kala, parent, other, child):
        run_well(kala, other)
        run_well(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_is_not_run_by_one_parent_that_succeeds_again_and_again(self, kala, parent, child):
        for _ in range(3):
            run_well(kala, parent)
        assert kala.runs(child) == []

    def test_waits_for_each_of_them_anew_after_its_run(self, kala, parent, other, child):
        for one in (parent, other, parent):
            run_well(kala, one)
        kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"]
        run_well(kala, parent)
        run_well(kala, other)
        assert kala.story(child) == ["parent succeeded", "parent running"]

    def test_is_not_run_by_a_parent_that_fails_but_by_its_later_success(self, kala, parent, other, child):
        run_well(kala, parent)
        kala.start(other)
        kala.fail(other)
        assert kala.runs(child) == []
        run_well(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_remembers_over_a_restart_who_has_succeeded(self, kala, parent, other, child):
        run_well(kala, parent)
        kala.restart(hours=1)
        run_well(kala, other)
        assert kala.story(child) == ["parent running"]

    def test_that_is_started_by_hand_waits_for_each_of_them_anew(self, kala, parent, other, child):
        run_well(kala, parent)
        run_well(kala, child)
        run_well(kala, other)
        assert kala.story(child) == ["manual succeeded"]

    def test_of_parents_that_run_in_rounds_waits_for_all_of_the_same_round(self, kala):
        root = kala.create(name="root", schedule=HOURLY)
        left, right = (kala.create(name=name, parents=(root,)) for name in ("left", "right"))
        child = kala.create(name="child", parents=(left, right), parents_mode=ParentsMode.ALL)
        run_well(kala, root)
        kala.fail(left)
        kala.succeed(right)
        for _ in range(2):
            run_well(kala, root)
            kala.succeed(left)
            assert "parent running" not in kala.story(child)
            kala.succeed(right)
            assert kala.story(child)[-1] == "parent running"
            kala.succeed(child)
        assert kala.story(child) == ["parent succeeded"] * 2

    @pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.TIMED_OUT])
    def test_is_not_run_where_the_latest_run_of_a_parent_did_not_succeed(self, kala, parent, other, child, end):
        run_well(kala, parent)
        kala.start(parent)
        kala.step(kala.done(parent, end))
        run_well(kala, other)
        assert kala.runs(child) == []
        run_well(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_counts_no_success_of_a_run_that_a_later_one_has_overtaken(self, kala, parent, other, child):
        kala.update(parent, overlap=Overlap.ALLOW)
        run_well(kala, other)
        first, second = kala.start(parent), kala.start(parent)
        kala.step(kala.end_of(first.id))
        assert kala.runs(child) == []
        kala.step(kala.end_of(second.id))
        assert [run.cause_run for run in kala.runs(child)] == [second.id]

    def test_does_not_mind_a_later_run_of_a_parent_that_was_cancelled_before_it_started(
        self, kala, parent, other, child
    ):
        run_well(kala, other)
        kala.start(parent)
        kala.cancel(kala.start(parent).id)
        kala.succeed(parent)
        assert kala.story(child) == ["parent running"]

    def test_does_not_mind_a_run_of_a_parent_that_was_skipped(self, kala, parent, other, child):
        kala.update(parent, overlap=Overlap.SKIP)
        run_well(kala, other)
        kala.start(parent)
        kala.start(parent)
        kala.succeed(parent)
        assert kala.story(parent) == ["manual succeeded", "manual skipped"]
        assert kala.story(child) == ["parent running"]

    def test_no_longer_waits_for_a_parent_that_was_deleted(self, kala, parent, other, child):
        run_well(kala, parent)
        kala.delete(other)
        run_well(kala, parent)
        assert kala.story(child) == ["parent running"]


class TestAParentsName:
    def test_stands_for_its_id(self, kala, parent):
        child = kala.create(name="child", parents=("parent",))
        assert kala.job(child).spec.parents == (parent,)
        run_well(kala, parent)
        assert kala.story(child) == ["parent running"]

    def test_that_several_jobs_have_is_refused(self, kala, parent):
        kala.create(name="parent", schedule=HOURLY)
        with pytest.raises(Invalid, match=r"^parent_jobs: more than one job has the name 'parent'; use an id$"):
            kala.create(name="child", parents=("parent",))

    def test_that_no_job_has_is_refused(self, kala):
        with pytest.raises(Invalid, match=r"^parent_jobs: no job has the id or name 'nobody'$"):
            kala.create(name="child", parents=("nobody",))

    def test_can_change_without_the_child_noticing(self, kala, parent):
        child = kala.create(name="child", parents=("parent",))
        kala.update(parent, name="renamed")
        run_well(kala, parent)
        assert kala.story(child) == ["parent running"]
