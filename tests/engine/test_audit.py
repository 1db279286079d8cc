"""What the audit log has: who asked for which change, in the transaction of the change."""

import pytest
from msgspec.structs import replace
from samples import FAR

from kala.core.account import Action
from kala.core.caller import KALA, Caller, Role
from kala.core.errors import KalaError
from kala.core.job import Command, HttpCall, Spec
from kala.engine.messages import (
    CancelRun,
    CheckJob,
    CreateJob,
    DeleteAllJobs,
    DeleteJob,
    DeleteRun,
    RetryRun,
    StartJob,
    UpdateJob,
)
from kala.store.audit import AuditFilter

ANN = Caller("user:ann", Role.EDITOR, address="192.0.2.1")


@pytest.fixture
def kala(kala):
    kala.caller = ANN
    return kala


def entries(kala, **wanted):
    with kala.store.reading(()) as session:
        return session.audit.search(AuditFilter(limit=100, **wanted))


def told(kala):
    return [(entry.action, entry.target, entry.name) for entry in entries(kala)][::-1]


def test_each_change_is_noted_with_who_asked_for_it_and_from_where(kala):
    job = kala.create(name="backup", schedule=FAR)
    [entry] = entries(kala)
    assert (entry.actor, entry.address, entry.at) == ("user:ann", "192.0.2.1", kala.now)
    assert (entry.action, entry.target, entry.name, entry.refused) == (Action.JOB_CREATE, job, "backup", "")


def test_actions_have_the_job_or_the_run_that_they_are_about(kala):
    job = kala.create(name="backup", schedule=FAR)
    run = str(kala.start(job).id)
    kala.succeed(job)
    retry = str(kala.ask(RetryRun(int(run))).id)
    kala.ask(CancelRun(int(retry)))
    kala.ask(DeleteRun(int(run)))
    kala.delete(job)
    kala.ask(DeleteAllJobs())
    assert told(kala)[1:] == [
        (Action.JOB_START, job, "backup"),
        (Action.RUN_RETRY, run, "backup"),
        (Action.RUN_CANCEL, retry, "backup"),
        (Action.RUN_DELETE, run, "backup"),
        (Action.JOB_DELETE, job, "backup"),
        (Action.JOB_DELETE_ALL, "", ""),
    ]


def test_a_refusal_has_the_job_that_it_is_about(kala):
    kala.caller = replace(ANN, owners=("*@db.example",))
    job = kala.create(name="backup", owner="a@db.example", schedule=FAR)
    revise = UpdateJob(job, lambda spec: replace(spec, owner=""))
    create = CreateJob(Spec(name="mine", action=Command("true"), schedule=FAR, owner="a@web.example"))
    for message in (create, revise, DeleteAllJobs(), CheckJob(create, 1)):
        with pytest.raises(KalaError):
            kala.ask(message)
    assert [(entry.action, entry.target, entry.name) for entry in entries(kala, refused=True)][::-1] == [
        (Action.JOB_CREATE, "", "mine"),
        (Action.JOB_UPDATE, job, "backup"),
        (Action.JOB_DELETE_ALL, "", ""),
    ]
    sentence = "owner: must match *@db.example, not 'a@web.example'; you see only jobs of such owners"
    assert entries(kala, refused=True)[-1].refused == sentence


def test_a_deletion_names_the_descendants_that_went_along(kala):
    parent = kala.create(name="extract", schedule=FAR)
    child = kala.create(name="load", parents=(parent,))
    kala.delete(parent)
    assert set(told(kala)[2:]) == {(Action.JOB_DELETE, parent, "extract"), (Action.JOB_DELETE, child, "load")}


def test_an_update_has_the_old_and_the_new_values_of_what_it_changed(kala):
    job = kala.create(name="backup", schedule=FAR, action=Command("old"))
    kala.update(job, action=Command("new"), retries=2)
    assert entries(kala)[0].changed == {"command": ["old", "new"], "retries": [0, 2]}


def test_secrets_are_not_in_the_log(kala):
    call = HttpCall(
        "https://ann:secret@hooks.example/secret?secret=1", body="secret", headers=(("X-Key", ("secret",)),)
    )
    job = kala.create(name="backup", schedule=FAR, env=(("KEY", "secret"),), action=HttpCall("https://hooks.example/"))
    kala.update(job, env=(("KEY", "secret2"),), action=call)
    assert entries(kala)[0].changed == {
        "env": [[["KEY", "***"]], [["KEY", "***"]]],
        "remote_properties.url": ["https://hooks.example/", "https://hooks.example/***"],
        "remote_properties.body": ["", "***"],
        "remote_properties.headers": [[], [["X-Key", ["***"]]]],
    }


def test_what_fails_and_what_is_only_checked_leaves_no_entry(kala):
    kala.ask(CheckJob(CreateJob(Spec(name="backup", action=Command("true"), schedule=FAR)), 1))
    with pytest.raises(KalaError):
        kala.ask(DeleteJob("none"))
    assert entries(kala) == []


def test_what_kala_does_by_itself_is_not_in_the_log(kala):
    kala.caller = KALA
    job = kala.create(schedule=FAR)
    kala.ask(StartJob(job))
    assert entries(kala) == []


def test_a_run_knows_who_started_it(kala):
    job = kala.create(schedule=FAR)
    run = kala.start(job)
    kala.succeed(job)
    kala.caller = Caller("token:ci", Role.OPERATOR)
    retry = kala.ask(RetryRun(run.id))
    assert [kala.run(run.id).requested_by, kala.run(retry.id).requested_by] == ["user:ann", "token:ci"]


def test_entries_are_found_by_actor_action_target_and_time(kala):
    first = kala.create(name="first", schedule=FAR)
    kala.passes(hours=1)
    kala.caller = Caller("token:ci", Role.EDITOR)
    second = kala.create(name="second", schedule=FAR)
    found = {
        "actor": entries(kala, actor="token:ci"),
        "target": entries(kala, target=second),
        "name": entries(kala, target="second"),
        "since": entries(kala, since=kala.now),
        "before": entries(kala, before=2),
        "done": entries(kala, refused=False, action=Action.JOB_CREATE),
        "refused": entries(kala, refused=True),
    }
    assert {name: [entry.target for entry in some] for name, some in found.items()} == {
        "actor": [second],
        "target": [second],
        "name": [second],
        "since": [second],
        "before": [first],
        "done": [second, first],
        "refused": [],
    }
