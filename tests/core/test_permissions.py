"""Whose jobs a caller may create and change, and when the user that a job runs as forbids it."""

import pytest
from msgspec.structs import replace

from kala.core import permissions
from kala.core.caller import Caller, Role
from kala.core.errors import Conflict, Forbidden, Invalid
from kala.core.job import Command, HttpCall, Spec

EDITOR = Caller("user:ann", Role.EDITOR)
OF_TEAM = replace(EDITOR, owners=("*@db.example", "db"))
SPEC = Spec(name="backup", action=Command("true"), owner="ann@db.example")
AS_ROOT = replace(SPEC, user="root")
CALL = replace(SPEC, action=HttpCall("https://example.org/"))


@pytest.mark.parametrize("owner", ["ann@db.example", "@db.example", "db"])
def test_an_owner_that_matches_can_be_given(owner):
    permissions.check_change(OF_TEAM, None, replace(SPEC, owner=owner))


@pytest.mark.parametrize("owner", ["ann@web.example", "DB", "ann@db.example.org"])
def test_no_other_owner_can_be_given(owner):
    with pytest.raises(Forbidden, match=rf"owner: must match \*@db.example or db, not '{owner}'"):
        permissions.check_change(OF_TEAM, SPEC, replace(SPEC, owner=owner))


def test_without_owners_any_owner_can_be_given():
    permissions.check_change(EDITOR, None, replace(SPEC, owner=""))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, AS_ROOT),
        (SPEC, AS_ROOT),
        (AS_ROOT, SPEC),
        (AS_ROOT, replace(AS_ROOT, user="ann")),
        (AS_ROOT, replace(AS_ROOT, action=Command("id"))),
        (AS_ROOT, replace(AS_ROOT, schedule="0 * * * *", disabled=True)),
    ],
)
def test_a_job_with_a_user_is_changed_only_with_the_permission_to_choose_it(before, after):
    with pytest.raises(Forbidden, match=r"^user: .* needs the role admin, or the permission run_as\b"):
        permissions.check_change(EDITOR, before, after)
    permissions.check_change(replace(EDITOR, run_as=True), before, after)
    permissions.check_change(replace(EDITOR, role=Role.ADMIN), before, after)


@pytest.mark.parametrize(
    ("before", "after"), [(None, SPEC), (SPEC, replace(SPEC, retries=1)), (CALL, SPEC), (SPEC, CALL)]
)
def test_where_kala_is_root_a_command_without_a_user_needs_the_permission_too(before, after):
    with pytest.raises(Forbidden, match=r"^user: .* needs the role admin, or the permission run_as\b"):
        permissions.check_change(EDITOR, before, after, "root")
    permissions.check_change(replace(EDITOR, run_as=True), before, after, "root")


def test_where_kala_is_root_an_http_call_needs_no_permission():
    permissions.check_change(EDITOR, None, CALL, "root")
    permissions.check_change(EDITOR, CALL, replace(CALL, retries=1), "root")


def test_where_kala_is_root_the_sentence_says_as_whom_the_command_would_run():
    with pytest.raises(Forbidden) as error:
        permissions.check_change(EDITOR, None, SPEC, "root")
    assert str(error.value).startswith("user: without one, the command runs as root; this needs the role admin")


def test_a_job_with_a_user_can_be_disabled_and_enabled_by_all():
    disabled = replace(AS_ROOT, disabled=True)
    permissions.check_change(replace(EDITOR, role=Role.OPERATOR), AS_ROOT, disabled)
    permissions.check_change(replace(EDITOR, role=Role.OPERATOR), disabled, AS_ROOT)


def test_a_deletion_names_no_job_that_is_not_seen():
    permissions.check_deletion("1", ["1", "2"], ["1", "2", "3"])
    with pytest.raises(Conflict) as error:
        permissions.check_deletion("1", ["1", "secret", "hidden"], ["1"])
    assert "2 of the jobs that would be deleted with it" in str(error.value)
    assert "secret" not in str(error.value)


def test_an_admin_sees_the_jobs_of_all_owners():
    permissions.check_limit(Role.ADMIN, ())
    permissions.check_limit(Role.EDITOR, ["*@db.example"])
    with pytest.raises(Invalid, match="owners: an admin sees the jobs of all owners"):
        permissions.check_limit(Role.ADMIN, ["*@db.example"])
