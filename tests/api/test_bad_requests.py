"""Invalid bodies, requests and queries.

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
from samples import JOB, UNKNOWN

DEEP = 100_000
HEAD = b"POST /api/v1/job/ HTTP/1.1\r\nHost: %HOST%\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = json.dumps(JOB).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


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
def test_a_body_that_is_not_one_json_object_is_refused(untouched, what):
    paths = {"POST": "/api/v1/job/", "PUT": f"/api/v1/job/{untouched.id}/", "PATCH": f"/api/v1/job/{untouched.id}/"}
    untouched.assert_refused(*(untouched.api.ask(method, path, BODIES[what]) for method, path in paths.items()))


def test_a_value_is_refused_however_deeply_it_is_nested(untouched):
    bodies = [b'{"name":' + b"[" * depth + b"]" * depth + b"}" for depth in range(900, 1010, 3)]
    untouched.assert_refused(*(untouched.api.ask("POST", "/api/v1/job/", body) for body in bodies))


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
    "a chunk with a huge declared size": (chunks(b"ffffffffffffffff\r\nx"), 413),
    "a body with a huge declared length": (HEAD + b"Content-Length: 999999999999\r\n\r\n{}", 413),
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
    "an empty Host": (get(b"/api/v1/job/").replace(b"%HOST%", b""), 400),
    "two Hosts": (with_header(b"Host: %HOST%"), 400),
    "a foreign Host": (get(b"/api/v1/job/").replace(b"%HOST%", b"evil.example"), 403),
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
def test_an_invalid_request_is_refused(untouched, what):
    sent, status = REQUESTS[what]
    started = time.monotonic()
    untouched.assert_refused(untouched.api.send(sent, then_close=len(sent) < 2**16), status=status)
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
def test_an_invalid_query_is_refused(untouched, query):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/job/?{query}"), start=QUERIES[query])


@pytest.mark.parametrize("after", ["x", "%27", UNKNOWN, "*", "x" * 1000])
def test_after_an_unknown_job_is_404(untouched, after):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/job/?after={after}"), status=404, start="after: ")


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "x", "1.5", f"{10**30}", "0" * 19 + "1" + "9" * 30, "%00", "1&before=1"]
)
@pytest.mark.parametrize("name", ["limit", "before"])
def test_an_invalid_query_for_runs_is_refused(untouched, name, value):
    value = value.replace("before", name)
    response = untouched.api.ask("GET", f"/api/v1/job/stats/{untouched.id}/?{name}={value}")
    untouched.assert_refused(response, start=f"{name}: ")


@pytest.mark.parametrize("query", ["1,2", "=", "?", "%zz=%zz", "unknown=%00", ";", "a" * 10_000, "+", "LIMIT=1"])
def test_an_unknown_query_parameter_is_refused(untouched, query):
    response = untouched.api.ask("GET", f"/api/v1/job/?{query}")
    untouched.assert_refused(response, start="query: ")
    assert "is not a parameter of this request; use limit or after or" in response.error


def test_a_filter_on_deletion_does_not_delete_all(untouched):
    response = untouched.api.ask("DELETE", "/api/v1/job/all/?owner=me")
    untouched.assert_refused(response, start='query: "owner" is not a parameter of this request; this request has none')
    assert untouched.api.jobs() == [untouched.other, untouched.id]


@pytest.mark.parametrize("path", ["start", "disable", "enable", "stats"])
@pytest.mark.parametrize("job_id", ["x", "%00", "..", "%27%20OR%201", "%ff", "x" * 10_000, "%F0%9F%92%A9"])
def test_an_unknown_job_cannot_be_started_changed_or_deleted(untouched, path, job_id):
    responses = [untouched.api.ask("GET" if path == "stats" else "POST", f"/api/v1/job/{path}/{job_id}/")]
    responses += [untouched.api.ask(method, f"/api/v1/job/{job_id}/") for method in ("GET", "DELETE")]
    responses += [untouched.api.ask(method, f"/api/v1/job/{job_id}/", JOB) for method in ("PUT", "PATCH")]
    untouched.assert_refused(*responses, status=404, start="no job has the id or name ")


def test_a_request_hidden_in_a_refused_body_is_never_carried_out(untouched):
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
        untouched.assert_refused(untouched.api.send(HEAD + framing + hidden))


# Fuzzing

fuzzed = effort(75, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@fuzzed
@given(st.binary(max_size=40))
def test_any_bytes_as_a_body_are_refused(idle_api, body):
    idle_api.ask("POST", "/api/v1/job/", body).assert_sensible()


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
    idle_api.ask(method, f"{path}{quote(rest, safe='')}?{asked}").assert_sensible()


@fuzzed
@given(
    st.sampled_from(["Accept", "Content-Type", "Content-Disposition", "Cookie", "Expect", "Range", "TE", "X", "Via"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    | st.lists(
        st.sampled_from([*"=?;,\"'*/:@ abqB1\xff", "=?x?q?", "utf-8", "filename*", "q=", "charset="]), max_size=8
    ).map("".join),
)
def test_any_header_gets_a_response(idle_api, name, value):
    idle_api.send(with_header(f"{name}: {value}".encode("latin-1"))).assert_sensible()
