"""What Kala shows of a job can be sent back to it, and a job is accepted as a whole or not at all."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from effort import effort
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from samples import JOB
from specs import of_kind

from kala.api import views
from kala.core.job import FIELDS
from kala.core.run import MOVES, Cause, Outcome, Run, State, Waiting

line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters="{}"), max_size=12)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{}"), max_size=12)
schedules = st.builds(
    "R{}/{}/{}".format,
    st.sampled_from(["", "0", "7"]),
    st.sampled_from(["2099-01-31T08:00:00.5+01:00", "20990101T080000", "2099-W01-1T08:00Z", "9999-12-30T23:00Z"]),
    st.sampled_from(["PT1S", "P1M", "P2W", "P1DT12H", "PT1.5H"]),
)
remote = st.fixed_dictionaries(
    {"url": st.sampled_from(["http://example.org", "https://[::1]:8080/ä?b=c#d"])},
    optional={
        "method": st.sampled_from(["", "GET", "post", "BREW"]),
        "body": text,
        "headers": st.dictionaries(
            st.sampled_from(["Accept", "X-a", "x-B"]),
            st.lists(st.sampled_from(["", "a", "b c"]), min_size=1, max_size=2),
        ),
        "timeout": st.integers(0, 86_400),
        "expected_response_codes": st.lists(st.integers(100, 599), max_size=3),
    },
)


def in_json(value: Any) -> Any:
    """Return an attribute of a Spec as a request has it."""
    if not isinstance(value, tuple):
        return value
    return dict(value) if value and isinstance(value[0], tuple) else list(value)


# The other fields need something outside of the job, or have their values above and below.
OTHERS = "name schedule parent_jobs on_failure_job pool memory_max cpu_quota tasks_max".split()
decided = {name: of_kind(field.kind).map(in_json) for name, field in FIELDS.items() if name not in OTHERS} | {
    "env": st.dictionaries(st.sampled_from(["A", "a", "_1"]), text, max_size=3),
    "user": st.sampled_from(["", "root"]),
    # Any other delay depends on the id.
    "jitter": st.sampled_from(["", "PT0S"]),
    "TemplateDelimiters": st.sampled_from(["", "{{ }}", "<% %>"]),
}
kalas_own = {name: st.integers() for name in ("id", "stats", "metadata", "is_done", "dependent_jobs", "next_run_at")}
kinds = st.one_of(
    st.fixed_dictionaries({"command": text.filter(str.strip)}, optional={"type": st.just(0)}),
    st.fixed_dictionaries({"type": st.just(1), "remote_properties": remote}),
)
names_and_plans = st.fixed_dictionaries({"name": line.filter(str.strip), "schedule": schedules})
# Every field that a job can have, with valid values; those that only Kala sets are ignored.
jobs = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.fixed_dictionaries({}, optional=kalas_own),
    names_and_plans,
    kinds,
    st.fixed_dictionaries({}, optional=decided),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
usual = effort(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def as_others_spell_it(job: dict[str, Any], change: int) -> dict[str, Any]:
    """The same job, with names in other cases and in another order, and with null for fields that are not given."""
    spell = [str.lower, str.upper, str.title, str][change % 4]
    absent = {name: None for name in decided if name not in job}
    given = [(spell(name), value) for name, value in {**job, **absent}.items()]
    return dict(given[change % len(given) :] + given[: change % len(given)])


def shown(idle_api, job_id: str) -> bytes:
    response = idle_api.ask("GET", f"/api/v1/job/{job_id}/")
    assert response.status == 200
    return response.body


@usual
@given(jobs, st.integers(0, 100))
def test_a_job_is_shown_as_it_was_given_whatever_the_case_of_its_names(idle_api, job, change):
    ids = [idle_api.ask("POST", "/api/v1/job/", one).json["id"] for one in (job, as_others_spell_it(job, change))]
    first, second = (json.loads(shown(idle_api, job_id))["job"] for job_id in ids)
    assert first | {"id": ""} == second | {"id": ""}
    for name in (*decided, "name", "schedule"):
        if job.get(name):
            expected = list(dict.fromkeys(job[name])) if name == "retry_on" else job[name]
            assert first[name] == expected, name
    assert idle_api.ask("DELETE", "/api/v1/job/all/").status == 204


@usual
@given(jobs, jobs)
def test_putting_what_get_returned_makes_another_job_equal(idle_api, job, other):
    one, two = (idle_api.ask("POST", "/api/v1/job/", given).json["id"] for given in (job, other))
    before = shown(idle_api, one)
    for method in ("PUT", "PATCH"):
        assert idle_api.ask(method, f"/api/v1/job/{one}/", json.loads(before)["job"]).body == before
    assert idle_api.ask("PUT", f"/api/v1/job/{two}/", json.loads(before)["job"]).status == 200
    assert shown(idle_api, two).replace(two.encode(), one.encode()) == before
    assert idle_api.ask("DELETE", "/api/v1/job/all/").status == 204


@usual
@given(jobs, st.sampled_from([*decided, "name", "schedule", "command", "type", "remote_properties", "pool"]), anything)
def test_one_wrong_value_in_a_job_and_nothing_is_stored(idle_api, job, name, value):
    job_id = idle_api.ask("POST", "/api/v1/job/", JOB).json["id"]
    path, before = f"/api/v1/job/{job_id}/", shown(idle_api, job_id)
    for method in ("PUT", "PATCH"):
        response = idle_api.ask(method, path, {**job, name: value})
        assert response.status in (200, 400), response
        now = shown(idle_api, job_id)
        assert now == (before if response.status == 400 else response.body)
        assert idle_api.ask("PUT", path, json.loads(now)["job"]).body == now
        before = now
    made = idle_api.ask("POST", "/api/v1/job/", {**job, name: value})
    assert made.status in (201, 400), made
    assert idle_api.totals()["jobs"] == (2 if made.status == 201 else 1)
    assert idle_api.ask("DELETE", "/api/v1/job/all/").status == 204


@usual
@given(st.sampled_from(["POST", "PUT", "PATCH"]), anything | st.dictionaries(st.sampled_from(list(decided)), anything))
def test_any_json_is_a_job_or_refused(idle_api, method, value):
    job_id = (idle_api.jobs() or [idle_api.ask("POST", "/api/v1/job/", JOB).json["id"]])[0]
    before = shown(idle_api, job_id)
    body = json.dumps(value).encode()
    for path in ("/api/v1/job/", f"/api/v1/job/{job_id}/", "/api/v1/schedule/preview"):
        response = idle_api.ask(method, path, body)
        assert response.status in (200, 400, 405), response
    if response.status != 200 and method != "PATCH":
        assert shown(idle_api, job_id) == before


instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  given there
outcomes = st.builds(
    Outcome,
    state=st.sampled_from([state for state in State if state not in MOVES]),
    ended_at=instants,
    duration=st.integers(0, 2**63 - 1),
    message=text,
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    http_status=st.none() | st.integers(100, 599),
    output_size=st.integers(0, 2**53),
    output_cut=st.booleans(),
)
runs = st.builds(
    Run,
    id=st.integers(1, 2**53),
    job_id=line,
    job_name=line,
    cause=st.sampled_from(Cause),
    queued_at=instants,
    due_at=instants,
    state=st.sampled_from(State),
    waiting=st.sampled_from(Waiting),
    not_before=st.none() | instants,
    cause_run=st.none() | st.integers(1, 2**53),
    slot=st.none() | instants,
    attempt=st.integers(0, 10**6),
    started_at=st.none() | instants,
    outcome=st.none() | outcomes,
)


@given(runs)
def test_every_field_of_a_run_can_be_read_back(run):
    found = json.loads(msgspec.json.encode(views.run_view(run)))
    for name in ("slot", "queued_at", "started_at", "not_before"):
        given_at = getattr(run, name)
        assert found[name] is given_at is None or datetime.fromisoformat(found[name]) == given_at
    for name in ("id", "job_id", "job_name", "cause", "state", "attempt"):
        assert found[name] == getattr(run, name)
    assert found["duration"] == (run.outcome.duration / 1e9 if run.outcome else None)
    for name in ("exit_code", "signal", "http_status", "output_size", "output_cut"):
        assert found[name] == (getattr(run.outcome, name) if run.outcome else None)
