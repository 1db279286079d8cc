"""Jobs as the texts in a form."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from specs import any_spec, of_kind

from kala.api import job_input, kinds, views
from kala.api.job_fields import JOB, RESUME
from kala.core.errors import Invalid
from kala.core.fields import Headers, Listed, Variables
from kala.core.job import Job
from kala.ui.job_texts import _TEXTS, as_sent, change, flat, job_of, texts_of, tidied, without_defaults

START = {"name": "a", "type": 0, "command": "true"}


def json_of(spec):
    job = Job(id="1", spec=spec, created_at=datetime.now(UTC), next_due=None)
    return tidied(msgspec.json.decode(msgspec.json.encode(views.job_view(job))))


def sent(texts):
    """Return the texts as a browser sends them back, and a form reads them."""
    return {path: as_sent(path, text) for path, text in texts.items()}


def read(**fields):
    return job_of(texts_of(START) | fields)


def test_each_kind_of_field_can_be_written():
    assert {*_TEXTS, Listed} == kinds._IN_JSON.keys()


def test_the_form_has_each_field_that_a_job_has():
    assert {path.partition(".")[0] for path in flat()} == JOB.keys() - {RESUME.json}


@given(any_spec)
def test_a_form_that_is_sent_as_it_was_changes_nothing(spec):
    job = json_of(spec)
    assert change(job, job_of(sent(texts_of(job)), job)) == {}


@given(of_kind(Variables()), of_kind(Headers()))
def test_variables_and_headers_are_what_their_texts_say(variables, headers):
    remote = {"url": "http://example.org", "headers": {name: list(values) for name, values in headers} or None}
    job = {"name": "a", "type": 1, "remote_properties": remote, "env": dict(variables) or None}
    again = job_of(sent(texts_of(job)))
    assert (again["env"], again["remote_properties"]["headers"]) == (job["env"], remote["headers"])


@given(any_spec, any_spec)
def test_a_change_makes_one_job_of_another(before, after):
    patch = change(json_of(before), json_of(after))
    assert json_of(job_input.revise(before, job_input.parse_patch(patch))) == json_of(after)


def test_what_is_not_filled_in_is_left_out_of_a_new_job():
    assert without_defaults(read(), is_new=True) == {"name": "a", "command": "true"}


def test_lists_are_written_in_lines_or_with_commas():
    job = read(tags="db, nightly ,,a b", retry_on="1 2,3", parent_jobs="Dump, daily\n\n other ")
    assert (job["tags"], job["retry_on"], job["parent_jobs"]) == (
        ["db", "nightly", "a b"],
        [1, 2, 3],
        ["Dump, daily", "other"],
    )


def test_variables_are_written_as_in_a_shell():
    job = read(env='A=b=c\n\nEMPTY=\nSPACE= x \nQUOTED="a\\nb"\nINNER=say "hi"')
    assert job["env"] == {"A": "b=c", "EMPTY": "", "SPACE": " x ", "QUOTED": "a\nb", "INNER": 'say "hi"'}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A=b\nsecret", "env: must have NAME=value on each line"),
        ("A=b\nA=c", 'env: "A" is there twice'),
        ('A="b', "env.A: begins with a quotation mark"),
        ('A="b"c', "env.A: begins with a quotation mark"),
    ],
)
def test_what_is_no_variable_is_refused_and_not_quoted(text, sentence):
    with pytest.raises(Invalid, match=sentence) as error:
        read(env=text)
    assert "secret" not in str(error.value)


def test_headers_are_written_as_in_http():
    job = read(**{"type": "1", "remote_properties.headers": "Accept: text/plain\nX-A:b:c\nAccept: a/b"})
    assert job["remote_properties"]["headers"] == {"Accept": ["text/plain", "a/b"], "X-A": ["b:c"]}
    with pytest.raises(Invalid, match=r"remote_properties\.headers: must have Name: value"):
        read(**{"remote_properties.headers": "Accept"})


def test_numbers_stay_texts_for_the_api_to_refuse():
    job = read(retries="two", retry_backoff="1,5", priority=" -3 ")
    assert (job["retries"], job["retry_backoff"], job["priority"]) == ("two", "1,5", -3)


def test_other_jobs_go_by_their_names():
    job = START | {"parent_jobs": ["1", "2"], "on_failure_job": "1"}
    names = {"1": "Dump"}
    texts = texts_of(job, names)
    assert (texts["parent_jobs"], texts["on_failure_job"]) == ("Dump\n2", "Dump")
    again = job_of(texts | {"retries": "1"}, job, names)
    assert (again["parent_jobs"], again["on_failure_job"]) == (["1", "2"], "1")


def test_a_value_that_no_form_can_show_is_refused():
    with pytest.raises(Invalid, match="tags: must be a list"):
        texts_of(START | {"tags": "db"})


def test_a_header_can_be_written_in_other_letters():
    before, after = ({"headers": {name: ["a"]}, "url": "http://example.org"} for name in ("X-Key", "x-key"))
    spec = job_input.parse({"name": "a", "type": 1, "remote_properties": before})
    patch = {"remote_properties": change(before, after)}
    assert json_of(job_input.revise(spec, job_input.parse_patch(patch)))["remote_properties"]["headers"] == {
        "x-key": ["a"]
    }
