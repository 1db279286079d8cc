"""Invalid requests.

Each of them gets a 4xx with one sentence in JSON that says what is wrong, changes nothing, and leaves Kala responsive.
"""

import gzip
import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from effort import effort
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

FAR = "R/2099-01-01T00:00:00Z/PT1H"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
JOB = {"name": "a", "command": "true", "schedule": FAR}
CALL = {"url": "http://example.org/", "headers": {"Accept": ["text/plain"]}}
DEEP = 100_000
LONG = "9" * 400
# The longest sentence: it may quote a whole line of a job.
READABLE = 1500
HEAD = b"POST /api/v1/job/ HTTP/1.1\r\nHost: %HOST%\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = json.dumps(JOB).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


class Untouched:
    """A Kala with two jobs, one the parent of the other, which checks that requests change nothing."""

    def __init__(self, idle_api) -> None:
        self.idle_api = idle_api
        self.other = idle_api.create(name="other")
        self.id = idle_api.create(name="job", parent_jobs=[self.other], owner="me@b", retries=2)
        self._before = self._state()
        self.is_sound = False

    def _state(self) -> tuple[bytes, dict[str, Any]]:
        response = self.idle_api.ask("GET", "/api/v1/job/")
        assert response.status == 200
        return response.body, self.idle_api.totals()

    def assert_refused(self, *responses, status: int = 400, start: str = "") -> None:
        self.is_sound = False
        for response in responses:
            self._assert_is_sentence(response, status, start)
        assert self._state() == self._before
        self.is_sound = True

    @staticmethod
    def _assert_is_sentence(response, status: int, start: str) -> None:
        assert response.status == status, response.body[:READABLE]
        assert response.headers["Content-Type"] == "application/json"
        sentence = response.error
        assert sentence.startswith(start)
        assert sentence == sentence.strip() != ""
        assert len(sentence.splitlines()) == 1
        assert "Traceback" not in sentence
        assert len(sentence) <= READABLE

    def change(self, fields: dict[str, Any]) -> list[Any]:
        """Return the responses to PUT and PATCH of the existing job. A patch has only these fields."""
        path = f"/api/v1/job/{self.id}/"
        patch = {"parent_jobs": None, "schedule": FAR} | fields
        return [self.idle_api.ask("PUT", path, JOB | fields), self.idle_api.ask("PATCH", path, patch)]

    def create(self, fields: dict[str, Any]) -> Any:
        return self.idle_api.ask("POST", "/api/v1/job/", JOB | fields)

    def fill_in(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Replace ME and OTHER in the fields by the ids of the two jobs."""
        return json.loads(json.dumps(fields).replace("OTHER", self.other).replace("ME", self.id))


@pytest.fixture(scope="module")
def _found_sound():
    """The Kala that the previous test left untouched, if it did: the next test can use it again."""
    return []


@pytest.fixture
def kala(_found_sound, request):
    kala = _found_sound.pop() if _found_sound else Untouched(request.getfixturevalue("idle_api"))
    yield kala
    if kala.is_sound:
        _found_sound.append(kala)


@pytest.fixture
def idle_api(idle_api, _found_sound):
    """A Kala for tests that change it."""
    _found_sound.clear()
    return idle_api


BODIES = {
    "nothing": b"",
    "only blanks": b" \r\n\t ",
    "a form": b"name=a&command=true",
    "an array": b"[]",
    "an array of jobs": b"[" + BODY + b"]",
    "null": b"null",
    "true": b"true",
    "a number": b"5",
    "a text": b'"a job"',
    "half an object": BODY[:-1],
    "a lone brace": b"{",
    "two objects": BODY + BODY,
    "an object and more": BODY + b" x",
    "an object and NUL": BODY + b"\0",
    "a BOM": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "UTF-32": BODY.decode().encode("utf-32"),
    "gzip": gzip.compress(BODY),
    "single quotes": b"{'name': 'a'}",
    "names without quotes": b"{name: 1}",
    "a comma too many": b'{"name": "a",}',
    "a comma too few": b'{"name": "a" "command": "true"}',
    "a comment": b'{"name": "a" /* the name */}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"retries": Infinity}',
    "1e400": b'{"retries": 1e400}',
    "-1e400 in a field of no use": b'{"name": "a", "command": "true", "unknown": -1e400}',
    "a number of 5,000 digits": b'{"retries": ' + b"9" * 5000 + b"}",
    "a number that begins with 0": b'{"retries": 01}',
    "a hexadecimal number": b'{"retries": 0x1}',
    "a bad escape": rb'{"name": "\x41"}',
    "half an escape": rb'{"name": "\u12"}',
    "a control character in a text": b'{"name": "a\nb"}',
    "a lone high surrogate": rb'{"name": "\ud800"}',
    "a lone low surrogate": rb'{"name": "\udc00"}',
    "surrogates in the wrong order": rb'{"name": "\udc00\ud800"}',
    "a surrogate in a field's name": rb'{"\ud800": 1}',
    "a surrogate as bytes": b'{"name": "\xed\xa0\x80"}',
    "bytes that are not UTF-8": b'{"name": "\xff\xfe"}',
    "an overlong NUL": b'{"name": "\xc0\x80"}',
    "half a character": b'{"name": "\xe2\x82"}',
    "Latin-1": '{"name": "ä"}'.encode("latin-1"),
    "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><job>&y;</job>",
    "arrays without end": b"[" * DEEP,
    "arrays nested deeply": b"[" * DEEP + b"]" * DEEP,
    "objects nested deeply": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a field nested deeply": b'{"name":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a field of no use nested deeply": BODY[:-1] + b', "x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a name given twice, the last one wrong": b'{"name": "a", "command": "true", "name": 5}',
    "a name given twice in different case, the last one wrong": b'{"name": "a", "command": "true", "NAME": 5}',
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_not_one_json_object_is_refused(kala, what):
    paths = {"POST": "/api/v1/job/", "PUT": f"/api/v1/job/{kala.id}/", "PATCH": f"/api/v1/job/{kala.id}/"}
    kala.assert_refused(*(kala.idle_api.ask(method, path, BODIES[what]) for method, path in paths.items()))


def test_a_value_is_refused_however_deeply_it_is_nested(kala):
    bodies = [b'{"name":' + b"[" * depth + b"]" * depth + b"}" for depth in range(900, 1010, 3)]
    kala.assert_refused(*(kala.idle_api.ask("POST", "/api/v1/job/", body) for body in bodies))


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
    "* * * * *",
    "@daily",
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
    "R/2015-06-04T19:25:16Z/PT10S",
    "R0/2015-06-04T19:25:16Z",
    "R2/0001-01-01T00:00:00Z/PT10S",
    "R/0001-01-01T00:00:00+14:00/P1D",
    "R/1970-01-01T00:00:00/P1D",
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
def test_an_invalid_job_is_refused_and_the_field_is_named(kala, case):
    fields = kala.fill_in(case[0])
    kala.assert_refused(kala.create(fields), *kala.change(fields), start=case[1])


@pytest.mark.parametrize("fields", [{"schedule": None, "parent_jobs": ["ME"]}, {"on_failure_job": "ME"}])
def test_a_job_that_would_start_itself_is_refused(kala, fields):
    kala.assert_refused(*kala.change(kala.fill_in(fields)), start="parent_jobs, on_failure_job: ")


@pytest.mark.parametrize(
    ("name", "patch"),
    [("other", {"schedule": None, "parent_jobs": ["ME"]}), ("id", {"on_failure_job": "OTHER"})],
)
def test_jobs_that_would_start_each_other_in_a_cycle_are_refused(kala, name, patch):
    response = kala.idle_api.ask("PATCH", f"/api/v1/job/{getattr(kala, name)}/", kala.fill_in(patch))
    kala.assert_refused(response, start="parent_jobs, on_failure_job: ")


def request(fields: dict[str, Any]) -> bytes:
    body = json.dumps(JOB | fields).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunks(*sizes_and_data: bytes) -> bytes:
    return CHUNKED + b"".join(sizes_and_data)


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: %HOST%\r\n\r\n"


def with_header(line: bytes) -> bytes:
    """Return a request whose response is 404, whatever the header means."""
    return get(b"/nowhere")[:-2] + line + b"\r\n\r\n"


MEBIBYTE = b"x" * 1024 * 1024

# Bytes and the status of the response. The client sends nothing more.
REQUESTS = {
    # Bodies
    "2 MiB": (HEAD + b"Content-Length: 2097152\r\n\r\n" + MEBIBYTE * 2, 413),
    "1 MiB and a byte": (HEAD + b"Content-Length: 1048577\r\n\r\n" + MEBIBYTE + b"x", 413),
    "1 MiB of nonsense": (HEAD + b"Content-Length: 1048576\r\n\r\n" + MEBIBYTE, 400),
    "2 MiB in chunks": (chunks(*[b"100000\r\n" + MEBIBYTE + b"\r\n"] * 2, b"0\r\n\r\n"), 413),
    "2 MiB in one chunk": (chunks(b"200000\r\n", MEBIBYTE * 2, b"\r\n0\r\n\r\n"), 413),
    "a chunk that is said to be huge": (chunks(b"ffffffffffffffff\r\nx"), 413),
    "a body that is said to be huge": (HEAD + b"Content-Length: 999999999999\r\n\r\n{}", 413),
    "a chunk without a size": (chunks(b"\r\n", BODY), 400),
    "a chunk whose size is no number": (chunks(b"xyz\r\n", BODY), 400),
    "a chunk whose size is negative": (chunks(b"-5\r\n", BODY), 400),
    "a chunk longer than its size": (chunks(b"1\r\n", BODY, b"\r\n0\r\n\r\n"), 400),
    "a chunk shorter than its size": (chunks(b"%x\r\n" % (len(BODY) + 1), BODY, b"\r\n0\r\n\r\n"), 400),
    "chunks without end": (chunks(b"%x\r\n" % len(BODY), BODY, b"\r\n"), 400),
    "chunks of nothing": (chunks(b"0\r\n\r\n"), 400),
    "a body that is cut off": (HEAD + LENGTH + b"\r\n" + BODY[:-5], 400),
    "a body that never comes": (HEAD + LENGTH + b"\r\n", 400),
    "a Content-Length that is too small": (HEAD + b"Content-Length: 5\r\n\r\n" + BODY, 400),
    "a Content-Length that is too large": (HEAD + b"Content-Length: 500\r\n\r\n" + BODY, 400),
    "a Content-Length that is negative": (HEAD + b"Content-Length: -1\r\n\r\n" + BODY, 400),
    "a Content-Length that is no number": (HEAD + b"Content-Length: many\r\n\r\n" + BODY, 400),
    "a Content-Length that is a fraction": (HEAD + b"Content-Length: 2.0\r\n\r\n{}", 400),
    "a Content-Length with a plus": (HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
    "a Content-Length of 5,000 digits": (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "no Content-Length": (HEAD + b"\r\n" + BODY, 400),
    "two Content-Lengths": (HEAD + LENGTH + LENGTH + b"\r\n" + BODY, 400),
    "Content-Length and chunks": (HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding: gzip": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + gzip.compress(BODY), 400),
    "Transfer-Encoding: gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "Transfer-Encoding: identity": (HEAD + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY, 400),
    "Transfer-Encoding: xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "Content-Encoding: gzip": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(BODY)) + gzip.compress(BODY),
        400,
    ),
    # Heads
    "no Host": (get(b"/").replace(b"Host: %HOST%\r\n", b""), 400),
    "an empty Host": (get(b"/").replace(b"%HOST%", b""), 400),
    "two Hosts": (with_header(b"Host: %HOST%"), 400),
    "a foreign Host": (get(b"/").replace(b"%HOST%", b"evil.example"), 403),
    "a URL as the target": (get(b"http://%HOST%/api/v1/job/"), 400),
    "another server's URL as the target": (get(b"http://evil.example/api/v1/job/"), 400),
    "a target of two slashes": (get(b"//evil.example/"), 400),
    "a target without a slash": (get(b"api/v1/job/"), 400),
    "an asterisk as the target": (get(b"*"), 400),
    "an asterisk as the target of OPTIONS": (get(b"*").replace(b"GET", b"OPTIONS"), 404),
    "CONNECT": (get(b"%HOST%").replace(b"GET", b"CONNECT"), 405),
    "BREW": (get(b"/api/v1/job/").replace(b"GET", b"BREW"), 405),
    "get": (get(b"/api/v1/job/").replace(b"GET", b"get"), 400),
    "a method of 10,000 letters": (get(b"/api/v1/job/").replace(b"GET", b"G" * 10_000), 405),
    "a method with a bracket": (get(b"/api/v1/job/").replace(b"GET", b"G(T"), 400),
    "no method": (get(b"/api/v1/job/").replace(b"GET ", b""), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "nothing but line ends": (b"\r\n\r\n\r\n", 400),
    "half a request line": (b"GET /api", 400),
    "half a head": (b"GET / HTTP/1.1\r\nHost: %HOST%\r\n", 400),
    "a header without a colon": (with_header(b"nonsense"), 400),
    "a header with a blank before its colon": (with_header(b"X : y"), 400),
    "a header with a line end in it": (with_header(b"X: y\rz"), 400),
    "a header with NUL": (with_header(b"X: \0"), 400),
    "a header folded": (with_header(b"X: y\r\n z"), 400),
    "a header of 100 kB": (with_header(b"X: " + b"y" * 100_000), 431),
    "100,000 headers": (with_header(b"\r\n".join([b"X: y"] * 100_000)), 431),
    "a header in an unknown RFC 2047 charset": (with_header(b"X: =?nonsense?q?abc?="), 404),
    "a header in broken RFC 2047 UTF-8": (with_header(b"X: =?utf-8?q?=FF?="), 404),
    "a header in broken RFC 2047 base64": (with_header(b"X: =?utf-8?b?!?="), 404),
    "a header in RFC 2047 that hides a line end": (with_header(b"Origin: =?utf-8?q?a=0D=0Ab?="), 403),
    "a Content-Disposition that makes no sense": (with_header(b"Content-Disposition: a; filename*=b"), 404),
    "a Content-Disposition in a charset of no use": (with_header(b"Content-Disposition: a; filename*=x'y'z"), 404),
    "a Content-Type that makes no sense": (with_header(b"Content-Type: ;=;,\"'\xff"), 404),
    "a Cookie that makes no sense": (with_header(b'Cookie: a@b=1; =; "; \xff=\xff; $Path=/'), 404),
    "an Accept that makes no sense": (with_header(b"Accept: ;q=x, */*;q=-1"), 404),
    "a Range that makes no sense": (with_header(b"Range: bytes=5-1"), 404),
    "an If-Modified-Since that makes no sense": (with_header(b"If-Modified-Since: the day before"), 404),
    "an Authorization that makes no sense": (with_header(b"Authorization: Basic \xff"), 404),
    "an Expect that makes no sense": (HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", 400),
    "an Expect of 100-continue for too much": (HEAD + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", 413),
    "an Upgrade": (with_header(b"Connection: Upgrade\r\nUpgrade: websocket"), 404),
    "an X-HTTP-Method-Override": (with_header(b"X-HTTP-Method-Override: DELETE"), 404),
    "an X-Forwarded-Host": (with_header(b"X-Forwarded-Host: evil.example\r\nX-Forwarded-For: \xff"), 404),
    # Paths
    "a path with %00": (get(b"/api/v1/job/%00/"), 404),
    "a path with %2e%2e": (get(b"/api/v1/job/%2e%2e/%2e%2e/etc/passwd"), 404),
    "a path with two dots": (get(b"/api/v1/job/../../../etc/passwd"), 404),
    "a path with %2f": (get(b"/api/v1/job/a%2fb/"), 404),
    "a path with %ff": (get(b"/api/v1/job/%ff/"), 404),
    "a path with a surrogate": (get(b"/api/v1/job/%ed%a0%80/"), 404),
    "a path with %zz": (get(b"/api/v1/job/%zz/"), 404),
    "a path that ends in %": (get(b"/api/v1/job/%"), 404),
    "a path with a line end": (get(b"/api/v1/job/a%0d%0ab/"), 404),
    "a path with a line end of Unicode": (get(b"/api/v1/job/%e2%80%a8%c2%85/"), 404),
    "a path that is not ASCII": (get("/api/v1/jöb/".encode()), 400),
    "a path with a blank": (get(b"/api/v1/job/a b/"), 400),
    "a path with a fragment": (get(b"/api/v1/job/#a"), 400),
    "a path with a semicolon": (get(b"/api/v1/job;a=b/"), 404),
    "a path with a quote": (get(b"/api/v1/job/'%20OR%201=1/"), 404),
    "an id of 10 kB": (get(b"/api/v1/job/" + b"a" * 10_000), 404),
    "an id of 10 kB for DELETE": (get(b"/api/v1/job/" + b"a" * 10_000).replace(b"GET", b"DELETE"), 404),
    "a path of 10 kB": (get(b"/" + b"a" * 10_000), 404),
    "a path of 10,000 slashes": (get(b"/a" + b"/" * 10_000), 404),
    "a path of 20 kB": (get(b"/" + b"a" * 20_000), 414),
    "a query of 20 kB": (get(b"/api/v1/job/?q=" + b"a" * 20_000), 414),
    "a path of 100 kB": (get(b"/" + b"a" * 100_000), 414),
    "10 kB of path for a method that it does not know": (
        get(b"/api/v1/job/" + b"a" * 10_000).replace(b"GET", b"BREW"),
        405,
    ),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_an_invalid_request_is_refused(kala, what):
    sent, status = REQUESTS[what]
    started = time.monotonic()
    kala.assert_refused(kala.idle_api.send(sent, then_close=len(sent) < 2**16), status=status)
    assert time.monotonic() - started < 2


QUERIES = {
    "limit=": "limit: ",
    "limit": "limit: ",
    "limit=0": "limit: ",
    "limit=-1": "limit: ",
    "limit=+1": "limit: ",
    "limit=%2B1": "limit: ",
    "limit=1.0": "limit: ",
    "limit=1e3": "limit: ",
    "limit=0x1": "limit: ",
    "limit=1_0": "limit: ",
    "limit=ten": "limit: ",
    "limit=null": "limit: ",
    "limit=%zz": "limit: ",
    "limit=%": "limit: ",
    "limit=%00": "limit: ",
    "limit=%D9%A2": "limit: ",
    "limit=%C2%B2": "limit: ",
    "limit=9223372036854775808": "limit: ",
    f"limit={10**30}": "limit: ",
    "limit=" + "9" * 5000: "limit: ",
    "limit=" + "0" * 19 + "1" + "9" * 30: "limit: ",
    "limit=" + "0" * 19 + "1" + "9" * 5000: "limit: ",
    "limit=1&limit=1": "limit: ",
    "limit=1&limit=2": "limit: ",
    "disabled=": "disabled: ",
    "disabled=maybe": "disabled: ",
    "disabled=2": "disabled: ",
    "disabled=%00": "disabled: ",
    "disabled=true&disabled=false": "disabled: ",
    "done=yes": "done: ",
    "q=a&q=b": "q: ",
    "q=%00": "q: ",
    "q=" + "a" * 10_000: "q: ",
    "owner=%00": "owner: ",
    "after=%00": "after: ",
    "after=%0a": "after: ",
    "after=" + "x" * 10_000: "after: ",
    "q=%ff": "query: ",
    "q=%ed%a0%80": "query: ",
    "%ff=1": "query: ",
    "a%0Ab=1&a%0Ab=2": "",
    "a%E2%80%A8b=1&a%E2%80%A8b=2": "",
    "a" * 8_000 + "=1&" + "a" * 8_000 + "=2": "",
    "%00=1&%00=2": "",
}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
def test_an_invalid_query_is_refused(kala, query):
    kala.assert_refused(kala.idle_api.ask("GET", f"/api/v1/job/?{query}"), start=QUERIES[query])


@pytest.mark.parametrize("after", ["x", "%27", UNKNOWN, "*", "x" * 1000])
def test_after_an_unknown_job_is_404(kala, after):
    kala.assert_refused(kala.idle_api.ask("GET", f"/api/v1/job/?after={after}"), status=404, start="after: ")


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "x", "1.5", f"{10**30}", "0" * 19 + "1" + "9" * 30, "%00", "1&before=1"]
)
@pytest.mark.parametrize("name", ["limit", "before"])
def test_an_invalid_query_for_runs_is_refused(kala, name, value):
    value = value.replace("before", name)
    response = kala.idle_api.ask("GET", f"/api/v1/job/stats/{kala.id}/?{name}={value}")
    kala.assert_refused(response, start=f"{name}: ")


@pytest.mark.parametrize("query", ["1,2", "=", "?", "%zz=%zz", "unknown=%00", ";", "a" * 10_000, "+", "LIMIT=1"])
def test_an_unknown_query_parameter_is_refused(kala, query):
    response = kala.idle_api.ask("GET", f"/api/v1/job/?{query}")
    kala.assert_refused(response, start="query: ")
    assert "is not a parameter of this request; use limit or after or" in response.error


def test_a_filter_on_deletion_does_not_delete_all(kala):
    response = kala.idle_api.ask("DELETE", "/api/v1/job/all/?owner=me")
    kala.assert_refused(response, start='query: "owner" is not a parameter of this request; this request has none')
    assert kala.idle_api.jobs() == [kala.other, kala.id]


@pytest.mark.parametrize("path", ["start", "disable", "enable", "stats"])
@pytest.mark.parametrize("job_id", ["x", "%00", "..", "%27%20OR%201", "%ff", "x" * 10_000, "%F0%9F%92%A9"])
def test_an_unknown_job_cannot_be_started_changed_or_deleted(kala, path, job_id):
    responses = [kala.idle_api.ask("GET" if path == "stats" else "POST", f"/api/v1/job/{path}/{job_id}/")]
    responses += [kala.idle_api.ask(method, f"/api/v1/job/{job_id}/") for method in ("GET", "DELETE")]
    responses += [kala.idle_api.ask(method, f"/api/v1/job/{job_id}/", JOB) for method in ("PUT", "PATCH")]
    kala.assert_refused(*responses, status=404, start="no job has the id or name ")


def test_a_request_hidden_in_a_refused_body_is_never_carried_out(kala):
    """Request smuggling: if two parsers disagree on where a body ends, its rest must not become a request."""
    hidden = b"DELETE /api/v1/job/all/ HTTP/1.1\r\nHost: %HOST%\r\n\r\n"
    for framing in (
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(hidden),
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % len(hidden),
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        kala.assert_refused(kala.idle_api.send(HEAD + framing + hidden))


@pytest.mark.parametrize(
    "line",
    [
        "{{ 7 ** 3000000 }}",
        "{{% for a in range(5000) %}}{{% for b in range(5000) %}}{{% endfor %}}{{% endfor %}}",
        "{{% set n=namespace(s=10) %}}{{% for i in range(24) %}}{{% set n.s=n.s*n.s %}}{{% endfor %}}",
        "{{ 'x'.ljust(200000000) }}",
    ],
)
def test_an_endless_template_is_refused_soon(kala, line):
    started = time.monotonic()
    kala.assert_refused(kala.create(template(line)), start="TemplateDelimiters")
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


def assert_sensible(response) -> None:
    """Assert that the request was accepted, or refused with a sentence."""
    assert response.status in (200, 201) or 400 <= response.status < 500, response
    if response.status >= 400 and response.body:
        assert len(response.error.splitlines()) == 1


@fuzzed
@given(st.dictionaries(names, values, max_size=5), st.one_of(st.just({}), near_misses))
def test_any_job_is_created_or_refused(idle_api, fields, more):
    response = idle_api.ask("POST", "/api/v1/job/", {"name": "a", "command": "true"} | fields | more)
    assert_sensible(response)
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
    assert_sensible(response)
    assert idle_api.job(job_id) == (response.json["job"] if response.status == 200 else before)


@fuzzed
@given(st.binary(max_size=40))
def test_any_bytes_as_a_body_are_refused(idle_api, body):
    assert_sensible(idle_api.ask("POST", "/api/v1/job/", body))


@fuzzed
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    st.sampled_from(["/", "/api/v1/", "/api/v1/job/", "/api/v1/job/stats/", "/api/v1/job/start/"]),
    st.binary(max_size=10),
    st.dictionaries(
        st.sampled_from(["q", "limit", "after", "owner", "disabled", "done", "before"]), st.binary(max_size=8)
    ),
)
def test_any_path_and_query_get_a_response(idle_api, method, path, rest, query):
    asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    assert_sensible(idle_api.ask(method, f"{path}{quote(rest, safe='')}?{asked}"))


@fuzzed
@given(
    st.sampled_from(["Accept", "Content-Type", "Content-Disposition", "Cookie", "Expect", "Range", "TE", "X", "Via"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    | st.lists(
        st.sampled_from([*"=?;,\"'*/:@ abqB1\xff", "=?x?q?", "utf-8", "filename*", "q=", "charset="]), max_size=8
    ).map("".join),
)
def test_any_header_gets_a_response(idle_api, name, value):
    assert_sensible(idle_api.send(with_header(f"{name}: {value}".encode("latin-1"))))
