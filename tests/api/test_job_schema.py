"""The JSON Schemas of a job agree with what requests accept and what responses have."""

import msgspec
import pytest
from samples import JOB as A_JOB

from kala.api import job_schema, views
from kala.api.job_fields import JOB, REMOTE
from kala.api.job_input import parse, parse_patch
from kala.core.errors import Invalid
from kala.core.job import Command, Job, Spec


def beyond(schema):
    """Return values that break single rules of a schema."""
    if "enum" in schema:
        return ["none of these"]
    broken = [[[]]]
    broken += [schema["maximum"] + 1] if "maximum" in schema else []
    broken += [schema["minimum"] - 1] if "minimum" in schema else []
    broken += ["x" * (schema["maxLength"] + 1), "/" + "x" * schema["maxLength"]] if "maxLength" in schema else []
    broken += [[beyond_item] for beyond_item in beyond(schema["items"])] if "items" in schema else []
    return broken


CREATED = job_schema.created()["properties"]
BROKEN = [(name, value) for name, one in CREATED.items() for value in beyond(one)]


def test_a_response_has_the_fields_of_its_schema_in_this_order():
    job = Job(id="1", spec=Spec(name="a", action=Command("true")), created_at=views.NEVER, next_due=None)
    shown = msgspec.json.decode(msgspec.json.encode(views.job_view(job)))
    schema = job_schema.shown()
    assert list(shown) == list(schema["properties"]) == schema["required"]
    assert list(shown["remote_properties"]) == schema["properties"]["remote_properties"]["required"]
    read_only = {name for name, one in schema["properties"].items() if one.get("readOnly")}
    assert read_only == shown.keys() - JOB.keys()


@pytest.mark.parametrize("schema", [job_schema.created(), job_schema.changed()])
def test_a_request_can_give_the_fields_of_its_owner_or_null(schema):
    assert list(schema["properties"]) == list(JOB)
    assert list(schema["properties"]["remote_properties"]["properties"]) == list(REMOTE)
    assert all("null" in one["type"] for one in schema["properties"].values())


def test_the_defaults_in_a_schema_are_what_a_request_without_the_fields_gets():
    defaults = {name: one["default"] for name, one in CREATED.items() if "default" in one}
    given = {"name": "a", "command": "true"}
    assert parse(given | defaults) == parse(given)


@pytest.mark.parametrize(("name", "value"), BROKEN, ids=[f"{name} {str(value)[:20]}" for name, value in BROKEN])
def test_what_a_schema_rules_out_is_refused(name, value):
    for check in (parse, parse_patch):
        with pytest.raises(Invalid, match=f"^{name}"):
            check(A_JOB | {name: value})
