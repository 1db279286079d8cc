"""What is shown in place of secrets."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kala.core.fields import Object, declared
from kala.core.job import FIELDS, Command, HttpCall, Job, Spec
from kala.core.masking import _MASKED, MASK, masked_job, masked_message, masked_run, masked_url
from kala.core.run import Cause, Outcome, Run, State

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def job(action: Command | HttpCall, **fields: object) -> Job:
    return Job(id="1", spec=Spec(name="job", action=action, **fields), created_at=NOON, next_due=None)


def test_names_of_variables_and_headers_stay():
    call = HttpCall("https://h/s", body="s", headers=(("X-Key", ("s", "t")), ("Accept", ("s",))))
    spec = masked_job(job(call, env=(("A", "s"), ("B", "")))).spec
    assert spec.env == (("A", MASK), ("B", MASK))
    assert spec.action == HttpCall("https://h/***", body=MASK, headers=(("X-Key", (MASK,)), ("Accept", (MASK,))))


def test_a_job_without_secrets_is_shown_as_it_is():
    for one in (job(Command("true"), owner="ann"), job(HttpCall("https://example.org"))):
        assert masked_job(one) == one


def test_each_kind_of_field_that_can_be_secret_has_a_mask():
    found = [*FIELDS.values(), *declared(Command).values(), *declared(HttpCall).values()]
    assert {type(field.kind) for field in found if field.can_be_secret} == set(_MASKED)
    assert not any(isinstance(field.kind, Object) for field in found)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/hook", "https://example.org/***"),
        ("https://example.org?key=1", "https://example.org/***"),
        ("https://example.org/#key", "https://example.org/***"),
        ("https://ann:key@example.org/", "https://example.org/***"),
        ("https://ann@example.org", "https://example.org/***"),
        ("http://[::1]:8080/a b", "http://[::1]:8080/***"),
        ("http://example.org:8080", "http://example.org:8080"),
        ("HTTP://EXAMPLE.org/", "HTTP://EXAMPLE.org/"),
        ("{{ .Name }}/hook", "***"),
        ("", ""),
    ],
)
def test_a_url_is_shown_up_to_its_host(url, shown):
    assert masked_url(url) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("exit status 1", "exit status 1"),
        ("GET https://h/a?b=c: Connection refused", "GET https://h/***: Connection refused"),
        ("POST http://u:***@h:1/a: answered 500, expected 200", "POST http://h:1/***: answered 500, expected 200"),
        (
            "GET http://h/a (through the proxy http://p:3128): timed out",
            "GET http://h/*** (through the proxy http://p:3128): timed out",
        ),
        (
            "no complete response from http://h/a redirected to https://i within 3 s",
            "no complete response from http://h/*** redirected to https://i within 3 s",
        ),
        ("GET http://h/aaaaaaa…", "GET http://h/***"),
        ("GET HTTP://h:port/a: odd", "GET ***: odd"),
    ],
)
def test_a_message_has_each_url_up_to_its_host(message, shown):
    assert masked_message(message) == shown
    assert masked_message(shown) == shown


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(lambda text: f"{text}SECRET"))
def test_nothing_after_the_host_is_left_in_a_message(tail):
    assert "SECRET" not in masked_message(f"GET http://h/{tail} answered 500, expected 200")


def test_a_run_is_shown_with_a_masked_message():
    run = Run(id=1, job_id="1", job_name="job", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, state=State.QUEUED)
    assert masked_run(run) is run
    ended = replace(run, outcome=Outcome(state=State.FAILED, ended_at=NOON, duration=1, message="GET http://h/a: no"))
    assert masked_run(ended).outcome.message == "GET http://h/***: no"
