"""Invalid jobs.

Each of them gets a 4xx with one sentence in JSON that says what is wrong, changes nothing, and leaves Kala responsive.
"""

import json
import time
from typing import Any

import pytest
from effort import effort
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from samples import FAR, UNKNOWN

CALL = {"url": "http://example.org/", "headers": {"Accept": ["text/plain"]}}
LONG = "9" * 400

# Fields with an invalid value, and the beginning of the sentence.
Case = tuple[dict[str, Any], str]

NO_TEXTS = [True, 0, 10**30, ["a"], {"a": 1}]
TEXTS = ["name", "command", "schedule", "on_failure_job", "owner", "epsilon", "TemplateDelimiters"]
LINES = [name for name in TEXTS if name != "command"]
NO_LINES = ["a\nb", "\x1b[31m", "\x7f", "\x9b31m", "a\u2028b", "x" * 1001]
NO_FLAGS = ["true", "", 0, 1, [], {}]
NO_NUMBERS = [-1, -(10**30), 10**30, 2**63, 1_000_001, 1.5, 1.0, 1e300, True, "1", "", [], [1], {}]


def remote(**properties: Any) -> dict[str, Any]:
    return {"type": 1, "remote_properties": CALL | properties}


def headers(value: Any) -> dict[str, Any]:
    return remote(headers=value)


def template(command: str, delimiters: str = "{{ }}") -> dict[str, Any]:
    return {"command": command, "TemplateDelimiters": delimiters}


WRONG_KINDS: list[Case] = [
    *(({name: value}, name) for name in TEXTS for value in NO_TEXTS),
    *(({name: "a\0b"}, name) for name in TEXTS),
    *(({name: value}, name) for name in LINES for value in NO_LINES),
    ({"name": None}, "name"),
    ({"name": ""}, "name"),
    ({"name": " \N{NO-BREAK SPACE}"}, "name"),
    ({"command": None}, "command"),
    ({"command": " \n"}, "command"),
    ({"command": "x" * 128 * 1024}, "command"),
    *(({name: value}, name) for name in ("disabled", "resume_at_next_scheduled_time") for value in NO_FLAGS),
    *(({"retries": value}, "retries") for value in NO_NUMBERS),
    *(({"type": value}, "type") for value in (-1, 2, 10**30, 0.0, 1.0, True, False, "0", "remote", [], {})),
    *(({"parent_jobs": value}, "parent_jobs") for value in ("x", 1, True, {}, {"0": "x"})),
    *(({"parent_jobs": value}, "parent_jobs[0]") for value in ([1], [None], [[]], [{}], ["a\0b"], ["\n"], [True])),
    *(({"remote_properties": value}, "remote_properties") for value in ("x", 1, True, [], [CALL])),
]

SCHEDULES = [
    "tomorrow",
    "* * * *",
    "*/60 * * * *",
    "0 0 31 2 *",
    "@every 5m",
    "@fortnightly",
    "TZ=Mars/Olympus 0 2 * * *",
    "R",
    "R/",
    "R//",
    "R//PT1H",
    "R/2099-01-01T00:00:00Z",
    "R/2099-01-01T00:00:00Z/",
    "R2/2099-01-01T00:00:00Z",
    "2099-01-01T00:00:00Z",
    "2099-01-01T00:00:00Z/PT1H",
    "r/2099-01-01T00:00:00Z/PT1H",
    " R/2099-01-01T00:00:00Z/PT1H",
    "R/2099-01-01T00:00:00Z/PT1H ",
    "R/2099-01-01T00:00:00Z/PT1H/PT1H",
    "R/2099-01-01T00:00:00Z/2099-01-02T00:00:00Z",
    "R/PT1H/2099-01-01T00:00:00Z",
    # Repeats
    "R-1/2099-01-01T00:00:00Z/PT1H",
    "R+1/2099-01-01T00:00:00Z/PT1H",
    "R1.5/2099-01-01T00:00:00Z/PT1H",
    "Rx/2099-01-01T00:00:00Z/PT1H",
    "R1000000000/2099-01-01T00:00:00Z/PT1H",
    f"R{LONG}/2099-01-01T00:00:00Z/PT1H",
    "R\N{ARABIC-INDIC DIGIT TWO}/2099-01-01T00:00:00Z/PT1H",
    # Starts
    "R/2099-01-01/PT1H",
    "R/T00:00:00Z/PT1H",
    "R/2099-00-01T00:00:00Z/PT1H",
    "R/2099-13-01T00:00:00Z/PT1H",
    "R/2099-01-00T00:00:00Z/PT1H",
    "R/2099-01-32T00:00:00Z/PT1H",
    "R/2099-02-29T00:00:00Z/PT1H",
    "R/2099-02-30T00:00:00Z/PT1H",
    "R/2099-366T00:00:00Z/PT1H",
    "R/2099-W00-1T00:00:00Z/PT1H",
    "R/2099-W54-1T00:00:00Z/PT1H",
    "R/2099-W01-8T00:00:00Z/PT1H",
    "R/2099-01-01T24:61:00Z/PT1H",
    "R/2099-01-01T25:00:00Z/PT1H",
    "R/2099-01-01T00:60:00Z/PT1H",
    "R/2099-01-01T00:00:61Z/PT1H",
    "R/2099-01-01T00:00:00+99:00/PT1H",
    "R/2099-01-01T00:00:00X/PT1H",
    "R/2099-01-01T00:00:00ZZ/PT1H",
    "R/2099-01-01T00:00:00 Z/PT1H",
    "R/2099-01-01 00:00:00Z/PT1H",
    "R/0000-01-01T00:00:00Z/PT1H",
    "R/10000-01-01T00:00:00Z/PT1H",
    "R/+12099-01-01T00:00:00Z/PT1H",
    "R/-2099-01-01T00:00:00Z/PT1H",
    "R/9999-12-31T23:59:59-01:00/PT1H",
    "R/\N{ARABIC-INDIC DIGIT TWO}099-01-01T00:00:00Z/PT1H",
    "R/\N{FULLWIDTH DIGIT TWO}099-01-01T00:00:00Z/PT1H",
    f"R/{LONG}-01-01T00:00:00Z/PT1H",
    f"R/2099-01-01T00:00:00.{LONG}x/PT1H",
    "R/1893456000/PT1H",
    "R/01.01.2099T00:00:00Z/PT1H",
    # Starts that have passed
    "R9/2015-06-04T19:25:16Z/PT10S",
    "R0/2015-06-04T19:25:16Z",
    "R2/0001-01-01T00:00:00Z/PT10S",
    "R0/0001-01-01T00:00:00+14:00",
    "R1/1970-01-01T00:00:00/P1D",
]

NO_DURATIONS = [
    "P",
    "PT",
    "P1",
    "1H",
    "T1H",
    "PT1",
    "P1H",
    "PT1D",
    "PT1Y",
    "P1DT",
    "p1d",
    "P1D1D",
    "PT1S1M",
    "P1D2Y",
    "-P1D",
    "P-1D",
    "PT-1S",
    "+P1D",
    "P+1D",
    "PT1.S",
    "PT.S",
    "PT1e3S",
    "PT1,5.5S",
    "P1.5D",
    "P1.000001D",
    "P1.5M",
    "P0.3Y",
    "P0.1W",
    "PT1S ",
    " PT1S",
    "PT\N{ARABIC-INDIC DIGIT TWO}S",
    "PT\N{FULLWIDTH DIGIT TWO}S",
    "P0002-01-01",
    "P99999999Y",
    "P2750000Y",
    "P999999999999D",
    f"P{LONG}Y",
    f"P{LONG}M",
    f"P{LONG}W",
    f"P{LONG}D",
    f"PT{LONG}H",
    f"PT{LONG}S",
    f"PT1.{LONG}",
    "one hour",
    "3600",
    "2099-01-01T00:00:00Z",
]

TOO_SHORT = ["PT0S", "P0D", "P0Y", "PT0.5S", "PT0.999999S", "PT0,5S", "P0DT0H0M0.1S"]

TIMES: list[Case] = [
    *(({"schedule": value}, "schedule") for value in SCHEDULES),
    *(({"schedule": f"R/2099-01-01T00:00:00Z/{value}"}, "schedule") for value in NO_DURATIONS + TOO_SHORT),
    *(({"schedule": f"R0/2099-01-01T00:00:00Z/{value}"}, "schedule") for value in NO_DURATIONS[:3]),
    *(({"epsilon": value}, "epsilon: ") for value in NO_DURATIONS),
    *(({field: "PT0S"}, f"{field}: ") for field in ("timeout", "keep_for")),
]

NO_URLS = [
    "example.org",
    "/hook",
    "//example.org",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "http:///hook",
    "http://:80/",
    "http://example.org:0/",
    "http://example.org:65536/",
    "http://example.org:-1/",
    "http://example.org:port/",
    "http://[::1/",
    "http://[nonsense]/",
    "http://exa mple.org/",
]

REMOTE: list[Case] = [
    ({"type": 1}, "remote_properties.url"),
    ({"type": 1, "remote_properties": {}}, "remote_properties.url"),
    *((remote(url=value), "remote_properties.url") for value in [None, "", *NO_URLS]),
    *((remote(url=value), "remote_properties.url") for value in [*NO_TEXTS, *NO_LINES, "http://example.org/\0"]),
    *((remote(method=value), "remote_properties.method") for value in [*NO_TEXTS, *NO_LINES[:5], "G T", "GÉT", "\0"]),
    (remote(method="GET / HTTP/1.1\r\nX: y"), "remote_properties.method"),
    *((remote(body=value), "remote_properties.body") for value in [*NO_TEXTS, "a\0b"]),
    *((remote(timeout=value), "remote_properties.timeout") for value in NO_NUMBERS),
    *(
        (remote(expected_response_codes=value), "remote_properties.expected_response_codes")
        for value in (200, "200", True, {}, [-1], [0], [99], [600], [10**30], [200.0], ["200"], [None], [True], [[200]])
    ),
    *((headers(value), "remote_properties.headers") for value in ("Accept: x", 1, True, [], ["Accept"], [["A", "b"]])),
    *((headers({"X": value}), "remote_properties.headers.X") for value in ("a", 1, True, {}, {"0": "a"})),
    *((headers({"X": [value]}), "remote_properties.headers.X") for value in [None, *NO_TEXTS, *NO_LINES, "\0"]),
    *((headers({"X": [value]}), "remote_properties.headers.X") for value in ("a\r\nY: b", "ä", "€", " a")),
    *((headers({name: ["a"]}), "remote_properties.headers") for name in ("", "X Y", "X:", "X\r\nY", "Ä", "X\0")),
    ({"remote_properties": {"timeout": -1}}, "remote_properties.timeout"),
]

TEMPLATES: list[Case] = [
    *((template("true", value), "TemplateDelimiters") for value in (" ", "{{", "{{}}", "{{ {{", "{{ }} }}", "a b c d")),
    *(
        (template(value), "TemplateDelimiters")
        for value in (
            "{{",
            "{{ }}",
            "{{ nonsense }}",
            "{{ .Nonsense }}",
            "{{ name",
            "{{ name | nonsense }}",
            "{{ 1 / 0 }}",
            "{{ name.nonsense.more }}",
            "{{ 'x'.encode('a\nb') }}",
            "{{ {}['" + "x" * 50_000 + "'] }}",
            "{{% if name %}}",
            "{{% nonsense %}}",
            "{{% include '/etc/passwd' %}}",
            "{{# comment",
            "{{ ''.__class__.__mro__ }}",
            "{{ '{0.__class__}'.format(name) }}",
            "{{ cycler.__init__.__globals__.os.system('true') }}",
            "{{ range(1000000) }}",
            "{{ " + "(" * 5000 + " }}",
            "{{ " + "[" * 150 + "]" * 150 + " }}",
            "{{ " + "-" * 5000 + "1 }}",
        )
    ),
    (remote(url="{{ nonsense }}") | {"TemplateDelimiters": "{{ }}"}, "TemplateDelimiters"),
    (remote(body="{{ nonsense }}") | {"TemplateDelimiters": "{{ }}"}, "TemplateDelimiters"),
]

REFERENCES: list[Case] = [
    *(({"schedule": None, "parent_jobs": [value]}, "parent_jobs: ") for value in (UNKNOWN, "", " ", "x" * 1000)),
    ({"schedule": None, "parent_jobs": ["OTHER", UNKNOWN]}, "parent_jobs: "),
    ({"schedule": None, "parent_jobs": ["OTHER "]}, "parent_jobs: "),
    ({"parent_jobs": ["OTHER"]}, "schedule: "),
    *(({"on_failure_job": value}, "on_failure_job: ") for value in (UNKNOWN, " ", "x" * 1000, "a,b")),
]

CASES = [*WRONG_KINDS, *TIMES, *REMOTE, *TEMPLATES, *REFERENCES]


def named(case: Case) -> str:
    return f"{case[1]} {ascii(case[0])[-50:]}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_invalid_job_is_refused_and_the_field_is_named(untouched, case):
    fields = untouched.fill_in(case[0])
    untouched.assert_refused(untouched.create(fields), *untouched.change(fields), start=case[1])


@pytest.mark.parametrize("fields", [{"schedule": None, "parent_jobs": ["ME"]}, {"on_failure_job": "ME"}])
def test_a_job_that_would_start_itself_is_refused(untouched, fields):
    untouched.assert_refused(*untouched.change(untouched.fill_in(fields)), start="parent_jobs, on_failure_job: ")


@pytest.mark.parametrize(
    ("name", "patch"),
    [("other", {"schedule": None, "parent_jobs": ["ME"]}), ("id", {"on_failure_job": "OTHER"})],
)
def test_jobs_that_would_start_each_other_in_a_cycle_are_refused(untouched, name, patch):
    response = untouched.api.ask("PATCH", f"/api/v1/job/{getattr(untouched, name)}/", untouched.fill_in(patch))
    untouched.assert_refused(response, start="parent_jobs, on_failure_job: ")


@pytest.mark.parametrize(
    "line",
    [
        "{{ 7 ** 3000000 }}",
        "{{% for a in range(5000) %}}{{% for b in range(5000) %}}{{% endfor %}}{{% endfor %}}",
        "{{% set n=namespace(s=10) %}}{{% for i in range(24) %}}{{% set n.s=n.s*n.s %}}{{% endfor %}}",
        "{{ 'x'.ljust(200000000) }}",
    ],
)
def test_an_endless_template_is_refused_soon(untouched, line):
    started = time.monotonic()
    untouched.assert_refused(untouched.create(template(line)), start="TemplateDelimiters")
    assert time.monotonic() - started < 0.5


# Fuzzing

names = st.sampled_from(
    [*TEXTS, "parent_jobs", "disabled", "retries", "type", "remote_properties", "unknown", "ID", "stats"]
)
near_misses = st.sampled_from(
    [case[0] for case in CASES if "nonsense" not in str(case[0])] + [{"parent_jobs": []}, {"epsilon": "P1Y"}, remote()]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 600)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["R0/2099-01-01T00:00:00Z", FAR, "P1D", "{{ }}", "http://a", UNKNOWN, "GET", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "Method", "body", "headers", "timeout", "X"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=8,
)
fuzzed = effort(75, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@fuzzed
@given(st.dictionaries(names, values, max_size=5), st.one_of(st.just({}), near_misses))
def test_any_job_is_created_or_refused(idle_api, fields, more):
    response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | fields | more)
    response.assert_sensible()
    if response.status == 201:
        path = f"/api/v1/job/{response.json['id']}/"
        before = idle_api.ask("GET", path).body
        assert idle_api.ask("PUT", path, json.loads(before)["job"]).body == before
        assert idle_api.ask("DELETE", path).status == 204


@fuzzed
@given(st.dictionaries(names, values, max_size=5))
def test_any_change_is_made_or_refused(idle_api, fields):
    job_id = (idle_api.jobs() or [idle_api.create(type=1, remote_properties=CALL)])[0]
    before = idle_api.job(job_id)
    response = idle_api.ask("PATCH", f"/api/v1/job/{job_id}/", fields)
    response.assert_sensible()
    assert idle_api.job(job_id) == (response.json["job"] if response.status == 200 else before)
