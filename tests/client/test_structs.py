"""The structs of the client have the fields that the OpenAPI document has."""

import typing

import msgspec
import pytest

from kala.api.openapi import document
from kala.api.routes import ROUTES
from kala.client import (
    Chain,
    Job,
    JobFields,
    LastRun,
    NewestRun,
    RemoteFields,
    RemoteProperties,
    Run,
    Slots,
    Summary,
    Upcoming,
    UpcomingJob,
)

SCHEMAS = document(ROUTES)["components"]["schemas"]
# Go's Kala has these; they are elsewhere, too.
LEFT_OUT = {"Job": {"metadata", "stats"}, "Upcoming": {"histogram"}}
# From a header.
ADDED = {"Job": {"etag"}}


@pytest.mark.parametrize(
    "struct", [Job, Run, Summary, LastRun, NewestRun, Slots, Upcoming, UpcomingJob, Chain], ids=lambda one: one.__name__
)
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
