"""What a caller with owners asks for is carried out only for jobs of these owners; others do not exist for it."""

import pytest
from msgspec.structs import replace
from samples import HOURLY

from kala.core.caller import KALA, Caller, Role
from kala.core.errors import Conflict, Forbidden, Invalid, KalaError, NotFound
from kala.core.job import Command, Overlap, Spec
from kala.engine.messages import (
    CancelRun,
    CancelRuns,
    CheckJob,
    CreateJob,
    DeleteAllJobs,
    DeleteJob,
    DeleteRun,
    RetryRun,
    StartJob,
    UpdateJob,
)

ANN = Caller("user:ann", Role.EDITOR, owners=("*@db.example",))
MINE, THEIRS = "ann@db.example", "bob@web.example"


def spec(**fields: object) -> Spec:
    return Spec(**{"name": "backup", "action": Command("true")} | fields)


@pytest.fixture
def ann(kala):
    """Asks for messages as Ann, who sees the jobs of her team."""

    def ask(message):
        kala.caller = ANN
        try:
            return kala.ask(message)
        finally:
            kala.caller = KALA

    return ask


def change(job: str, **fields: object) -> UpdateJob:
    return UpdateJob(job, lambda before: replace(before, **fields))


@pytest.mark.parametrize(
    "message",
    [
        StartJob,
        CancelRuns,
        DeleteJob,
        lambda job: change(job, disabled=True),
        lambda job: CheckJob(change(job, disabled=True), 1),
    ],
)
def test_a_job_of_others_is_found_neither_by_its_id_nor_by_its_name(kala, ann, message):
    theirs = kala.create(name="theirs", owner=THEIRS, schedule=HOURLY)
    before = kala.job(theirs)
    for given in (theirs, "theirs"):
        with pytest.raises(NotFound, match=f"no job has the id or name '{given}'"):
            ann(message(given))
    assert kala.job(theirs) == before
    assert kala.runs() == []


@pytest.mark.parametrize("message", [RetryRun, CancelRun, DeleteRun])
def test_a_run_of_others_is_not_found(kala, ann, message):
    theirs = kala.create(owner=THEIRS, schedule=HOURLY)
    run = kala.start(theirs)
    for number in (run.id, 999):
        with pytest.raises(NotFound, match=f"no run has the id {number}"):
            ann(message(number))
    assert kala.run(run.id) == run


@pytest.mark.parametrize("message", [RetryRun, DeleteRun])
def test_a_run_of_a_deleted_job_is_not_found(kala, ann, message):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    run = kala.start(mine)
    kala.succeed(mine)
    kala.delete(mine)
    with pytest.raises(NotFound):
        ann(message(run.id))


def test_ones_own_jobs_are_changed_as_by_anyone(kala, ann):
    mine = ann(CreateJob(spec(owner=MINE, schedule=HOURLY))).id
    kala.create(name="backup", owner=THEIRS, schedule=HOURLY)
    assert ann(change("backup", retries=2)).spec.retries == 2
    run = ann(StartJob(mine))
    kala.succeed(mine)
    assert ann(RetryRun(run.id)).requested_by == ANN.actor
    ann(CancelRuns(mine))
    assert ann(DeleteJob("backup")) == {mine: "backup"}


@pytest.mark.parametrize("fields", [{"parents": ("theirs",)}, {"on_failure_job": "theirs"}])
def test_no_job_of_others_can_be_named(kala, ann, fields):
    kala.create(name="theirs", owner=THEIRS, schedule=HOURLY)
    mine = kala.create(owner=MINE, schedule="" if "parents" in fields else HOURLY)
    for message in (CreateJob(spec(owner=MINE, **fields)), change(mine, **fields)):
        with pytest.raises(Invalid, match=r"(parent_jobs|on_failure_job): no job has the id or name 'theirs'"):
            ann(message)


def test_jobs_of_others_that_a_job_names_already_stay(kala, ann):
    parent, failure, other = (kala.create(name=name, owner=THEIRS, schedule=HOURLY) for name in "abc")
    mine = kala.create(owner=MINE, parents=(parent,), on_failure_job=failure)
    assert ann(change(mine, retries=2)).spec.parents == (parent,)
    with pytest.raises(Invalid, match="parent_jobs: no job has the id or name"):
        ann(change(mine, parents=(parent, other)))
    changed = ann(change(mine, parents=(), on_failure_job="", schedule=HOURLY))
    assert (changed.spec.parents, changed.spec.on_failure_job) == ((), "")
    with pytest.raises(Invalid, match="on_failure_job: no job has the id or name"):
        ann(change(mine, on_failure_job=failure))


def test_the_children_of_others_still_run_after_ones_own_job(kala, ann):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    theirs = kala.create(owner=THEIRS, parents=(mine,))
    ann(change(mine, retries=1))
    ann(StartJob(mine))
    kala.succeed(mine)
    assert kala.story(theirs) == ["parent running"]


@pytest.mark.parametrize("owner", [THEIRS, ""])
def test_a_job_cannot_have_an_owner_that_the_caller_does_not_see(kala, ann, owner):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    for message in (CreateJob(spec(owner=owner)), change(mine, owner=owner)):
        with pytest.raises(Forbidden, match=r"owner: must match \*@db.example"):
            ann(message)
    assert kala.job(mine).spec.owner == MINE


def test_a_job_is_deleted_with_no_job_of_others(kala, ann):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    child = kala.create(owner=THEIRS, parents=(mine,))
    with pytest.raises(Conflict, match=r"1 of the jobs that would be deleted with it, .* belongs to other owners"):
        ann(DeleteJob(mine))
    second = kala.create(owner=MINE, schedule=HOURLY)
    kala.update(child, parents=(mine, second))
    ann(DeleteJob(mine))
    assert kala.job(child).spec.parents == (second,)


def test_a_cycle_names_no_job_of_others(kala, ann):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    theirs = kala.create(owner=THEIRS, parents=(mine,))
    last = kala.create(owner=MINE, parents=(theirs,))
    with pytest.raises(Invalid) as error:
        ann(change(last, on_failure_job=mine))
    assert f"{last} -> {mine} -> a job of another owner -> {last};" in str(error.value)


def test_all_jobs_are_deleted_only_for_who_sees_all(kala, ann):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    with pytest.raises(Forbidden, match="all jobs can be deleted only by a caller who sees them all"):
        ann(DeleteAllJobs())
    assert kala.jobs() == [mine]


def test_an_editor_cannot_set_the_user_of_a_job_nor_change_a_job_with_one(kala):
    as_root = kala.create(user="root", schedule=HOURLY)
    kala.caller = replace(ANN, owners=())
    for message in (CreateJob(spec(user="root")), change(as_root, action=Command("id")), change(as_root, user="")):
        with pytest.raises(Forbidden, match="user: "):
            kala.ask(message)
    kala.disable(as_root)
    kala.enable(as_root)
    kala.start(as_root)
    kala.caller = replace(ANN, owners=(), run_as=True)
    assert kala.ask(change(as_root, action=Command("id"))).spec.user == "root"


def test_what_is_refused_changes_nothing(kala, ann):
    mine = kala.create(owner=MINE, schedule=HOURLY)
    before, told = kala.job(mine), kala.feed.last
    with pytest.raises(KalaError):
        ann(change(mine, owner=THEIRS, retries=7))
    assert (kala.job(mine), kala.feed.last) == (before, told)


class TestTheFeed:
    @pytest.fixture
    def seen(self, kala):
        """Returns what Ann sees of the changes since the call before."""
        last = 0

        def seen():
            nonlocal last
            changes = kala.feed.after(last, timeout=0)
            last = kala.feed.last
            found = [change.as_seen_by(ANN.owners) for _, change in changes]
            return [(change.subject, change.id, change.what) for change in found if change]

        return seen

    def test_has_each_change_of_ones_own_jobs_and_their_runs(self, kala, seen):
        mine = kala.create(owner=MINE, schedule=HOURLY)
        kala.create(owner=THEIRS, schedule=HOURLY)
        run = kala.start(mine)
        kala.succeed(mine)
        kala.ask(DeleteRun(run.id))
        kala.delete(mine)
        number = str(run.id)
        assert seen() == [
            ("job", mine, "created"),
            *(("run", number, what) for what in ("running", "succeeded", "deleted")),
            ("job", mine, "deleted"),
        ]

    def test_has_nothing_of_others(self, kala, seen):
        theirs = kala.create(owner=THEIRS, schedule=HOURLY)
        child = kala.create(owner=THEIRS, parents=(theirs,))
        kala.start(theirs)
        kala.succeed(theirs)
        kala.succeed(child)
        kala.passes(hours=2)
        kala.delete(theirs)
        assert seen() == []

    def test_has_skipped_queued_and_cancelled_runs(self, kala, seen):
        mine = kala.create(owner=MINE, schedule=HOURLY, overlap=Overlap.SKIP)
        kala.start(mine)
        skipped = kala.start(mine)
        assert ("run", str(skipped.id), "skipped") in seen()
        kala.update(mine, overlap=Overlap.WAIT)
        queued = kala.start(mine)
        kala.cancel(queued.id)
        assert seen()[-2:] == [("run", str(queued.id), "queued"), ("run", str(queued.id), "cancelled")]

    def test_has_a_job_that_changes_its_owner_as_created_or_deleted(self, kala, seen):
        job = kala.create(owner=THEIRS, schedule=HOURLY)
        kala.update(job, owner=MINE)
        assert seen() == [("job", job, "created")]
        kala.update(job, owner="eve@db.example")
        assert seen() == [("job", job, "updated")]
        kala.update(job, owner=THEIRS)
        assert seen() == [("job", job, "deleted")]

    def test_has_ones_own_job_that_loses_a_parent_or_on_failure_job_of_others(self, kala, seen):
        parent, other = (kala.create(owner=THEIRS, schedule=HOURLY) for _ in range(2))
        child = kala.create(owner=MINE, parents=(parent, other))
        failing = kala.create(owner=MINE, schedule=HOURLY, on_failure_job=parent)
        seen()
        kala.delete(parent)
        assert sorted(seen()) == sorted([("job", child, "updated"), ("job", failing, "updated")])

    def test_has_the_deletion_of_all_jobs(self, kala, seen):
        kala.create(owner=THEIRS, schedule=HOURLY)
        kala.ask(DeleteAllJobs())
        assert seen() == [("job", "*", "deleted")]
