"""The structs of the client have the fields that the OpenAPI document has."""

import typing
from datetime import UTC, datetime

import msgspec
import pytest

from kala.api.openapi import document
from kala.api.routes import ROUTES
from kala.client import (
    Chain,
    CreatedToken,
    Entry,
    Invitation,
    Job,
    JobFields,
    LastRun,
    Login,
    Me,
    NewestRun,
    RemoteFields,
    RemoteProperties,
    Run,
    Session,
    Slots,
    Summary,
    Token,
    Upcoming,
    UpcomingJob,
    User,
)

SCHEMAS = document(ROUTES)["components"]["schemas"]
# Go's Kala has these; they are elsewhere, too.
LEFT_OUT = {"Job": {"metadata", "stats"}, "Upcoming": {"histogram"}}
# From a header, and from beside the user.
ADDED = {"Job": {"etag"}, "User": {"logins"}}
STRUCTS = [Job, Run, Summary, LastRun, NewestRun, Slots, Upcoming, UpcomingJob, Chain]
ABOUT_ACCESS = [Me, Login, Session, User, Invitation, Token, CreatedToken, Entry]


@pytest.mark.parametrize("struct", [*STRUCTS, *ABOUT_ACCESS], ids=lambda one: one.__name__)
def test_a_struct_has_the_fields_of_its_schema(struct):
    name = struct.__name__
    fields = {field.encode_name for field in msgspec.structs.fields(struct)} - ADDED.get(name, set())
    assert fields == set(SCHEMAS[name]["properties"]) - LEFT_OUT.get(name, set())


def test_a_job_can_be_given_with_the_fields_of_its_schema():
    assert set(typing.get_type_hints(JobFields)) == set(SCHEMAS["NewJob"]["properties"])
    remote = {field.encode_name for field in msgspec.structs.fields(RemoteProperties)}
    assert (
        remote
        == set(typing.get_type_hints(RemoteFields))
        == set(SCHEMAS["NewJob"]["properties"]["remote_properties"]["properties"])
    )


def test_no_secret_is_in_what_is_printed_of_it():
    now = datetime.now(UTC)
    token = Token(name="ci", role="viewer", created_by="user:ann", created_at=now)
    shown = [
        Session(token="kala_secret", user="ann", role="viewer", expires_at=now),
        CreatedToken("kala_secret", token),
        Invitation(invitation="kala_secret", user="ann", expires_at=now),
    ]
    assert not [one for one in shown if "kala_secret" in f"{one} {one!r}"]
