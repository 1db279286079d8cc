import pytest
from click.testing import CliRunner

from kala.api.job_fields import JOB
from kala.cli import commands
from kala.cli.job_fields import TARGETS, change, find, new_job
from kala.core.errors import Invalid
from kala.core.fields import Object


def created(**options):
    return new_job((find(name)[0], texts) for name, texts in options.items())


def test_each_field_of_a_job_has_an_option():
    output = " ".join(CliRunner().invoke(commands, ["create", "--help"]).output.split())
    for field in JOB.values():
        if field.json != "name" and not isinstance(field.kind, Object):
            target, _ = find(field.json)
            assert target.path == (field.json,)
            assert f"--{target.names[-1].replace('_', '-')} " in output, field.json
    for target in TARGETS:
        assert target.path[0] in JOB


def test_no_two_fields_share_a_name():
    names = [name for target in TARGETS for name in target.names]
    assert len(names) == len(set(names))


def test_values_become_what_the_api_wants():
    assert created(
        retries=["2"],
        retry_backoff=["1.5"],
        disabled=["true"],
        tag=["a,b", "c"],
        parent=["x, y", "z"],
        retry_on=["1,2"],
        env=["A=1", "B=x=y"],
        command=["echo"],
    ) == {
        "retries": 2,
        "retry_backoff": 1.5,
        "disabled": True,
        "tags": ["a", "b", "c"],
        "parent_jobs": ["x, y", "z"],
        "retry_on": [1, 2],
        "env": {"A": "1", "B": "x=y"},
        "command": "echo",
    }


def test_a_url_makes_an_http_job():
    assert created(url=["http://a"], header=["Accept: text/plain", "Accept: text/html"], call_timeout=["5"]) == {
        "type": 1,
        "remote_properties": {"url": "http://a", "headers": {"Accept": ["text/plain", "text/html"]}, "timeout": 5},
    }


def test_changes_are_a_merge_patch():
    assert change(
        ["retries=2", "timeout=", "env.A-b=1", "env.C=", "tag=a", "tag=b", "remote_properties.url=http://a"]
    ) == {
        "retries": 2,
        "timeout": None,
        "env": {"A-b": "1", "C": None},
        "tags": ["a", "b"],
        "remote_properties": {"url": "http://a"},
    }


@pytest.mark.parametrize("name", ["start-deadline", "START_DEADLINE", "start_deadline"])
def test_names_have_dashes_or_underscores_in_any_case(name):
    assert change([f"{name}=PT1H"]) == {"start_deadline": "PT1H"}


@pytest.mark.parametrize("name", ["TemplateDelimiters", "template-delimiters"])
def test_the_name_of_the_api_works_too(name):
    assert change([f"{name}={{ }}"]) == {"TemplateDelimiters": "{ }"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("retries=two", "retries: must be a number, not 'two'"),
        ("disabled=maybe", "disabled: must be true or false, not 'maybe'"),
        ("retires=2", "retires: unknown field; did you mean retries?"),
        ("env=A", "env: must be NAME=VALUE, not 'A'"),
        ("retries", "'retries' is not a change; use FIELD=VALUE, such as retries=2"),
    ],
)
def test_a_wrong_change_is_a_sentence(text, sentence):
    with pytest.raises(Invalid) as caught:
        change([text])
    assert str(caught.value) == sentence
