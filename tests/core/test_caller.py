"""Roles, and the owners whose jobs a caller sees."""

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.caller import KALA, NOBODY, Caller, Role, highest, matches


def test_each_role_includes_the_ones_before_it():
    roles = list(Role)
    for place, role in enumerate(roles):
        assert [other for other in roles if role.includes(other)] == roles[: place + 1]


@given(st.lists(st.sampled_from(Role)))
def test_the_highest_role_includes_all_the_others(roles):
    found = highest(roles)
    assert found in roles if roles else found is None
    assert all(found.includes(role) for role in roles)


@pytest.mark.parametrize(
    ("patterns", "owner", "expected"),
    [
        (["ann@db.example"], "ann@db.example", True),
        (["ann@db.example"], "Ann@db.example", False),
        (["*@db.example"], "ann@db.example", True),
        (["*@db.example"], "ann@db.example.evil", False),
        (["*@db.example"], "@db.example", True),
        (["ann@*"], "joann@db.example", False),
        (["*"], "", True),
        (["*"], "two\nlines", True),
        (["a?c"], "abc", False),
        (["[ab]@x"], "a@x", False),
        (["a.c"], "abc", False),
        (["*a*b*"], "xaxbx", True),
        (["no@x", "*@y"], "ann@y", True),
        ([], "ann@y", False),
    ],
)
def test_a_pattern_matches_a_whole_owner_and_only_a_star_stands_for_more(patterns, owner, expected):
    assert matches(patterns, owner) is expected


def test_who_has_no_owners_sees_all_jobs():
    assert Caller("user:ann", Role.VIEWER).sees("")
    assert not Caller("user:ann", Role.VIEWER, owners=("*@db",)).sees("")


def test_secrets_are_shown_to_who_may_write_them():
    shown = [role for role in Role if Caller("x", role).sees_secrets]
    assert shown == [Role.EDITOR, Role.ADMIN]
    assert KALA.sees_secrets
    assert not NOBODY.sees_secrets


@pytest.mark.parametrize(
    ("owners", "expected"),
    [((), "ops"), (("ann@db.example",), "ann@db.example"), (("*@db.example",), "ops"), (("a", "b"), "ops")],
)
def test_a_job_without_an_owner_gets_the_only_one_that_the_caller_may_give(owners, expected):
    assert Caller("user:ann", Role.EDITOR, owners=owners).default_owner("ops") == expected


@given(st.text("ab*", max_size=8), st.text("ab\n", max_size=8))
def test_a_wildcard_stands_for_any_text(pattern, owner):
    assert matches([pattern], owner) is fnmatchcase(owner, pattern)


def test_a_long_owner_is_compared_in_a_moment():
    began = time.process_time()
    assert not matches(["*a*a*a*a*a*b"], "a" * 1000)
    assert time.process_time() - began < 0.5
