"""Malformed requests are refused; well-formed ones may share a connection."""

import json
import socket

import pytest
from raw_http import CHUNKED, GET, MAX_BODY, POST, answer

from kala.core.limits import HEAD_BYTES

MALFORMED = {
    "a line that is not a request": (b"nonsense\r\n\r\n", 400),
    "two empty lines": (b"\r\n\r\n", 400),
    "the begin of a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "a version that is none": (b"GET / HTTP/x.y\r\nHost: a\r\n\r\n", 400),
    "a version that a lenient parser takes for 1.1": (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 400),
    "a method in small letters": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method with a control character": (b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method that needs a proxy": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "a path that does not begin with a slash": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path with a control character": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path that is not ASCII": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path that the URL parser chokes on": (b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target of another host": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a request line without end": (b"GET /" + b"a" * 70_000, 414),
    "lines that end in LF alone": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a header line without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "a blank before a header's colon": (POST + b"Content-Length : 1\r\n\r\na", 400),
    "a header that continues on the next line": (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
    "a first header that begins with a blank": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a header with a control character": (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 400),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 12_000, 431),
    "more headers than a request needs": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 70_000, 431),
    "a head that ends too early": (None, 400),
    "no Host in HTTP/1.1": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a Content-Length that is not a number": (POST + b"Content-Length: one\r\n\r\na", 400),
    "a Content-Length that is negative": (POST + b"Content-Length: -1\r\n\r\na", 400),
    "a Content-Length that a lenient parser takes for 10": (POST + b"Content-Length: 1_0\r\n\r\na", 400),
    "a Content-Length that is empty": (POST + b"Content-Length:\r\n\r\n", 400),
    "two Content-Lengths that differ": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "two Content-Lengths that agree": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "a Content-Length above any limit": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a Content-Length above ours": (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
    "a Transfer-Encoding that is not chunked": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "a Transfer-Encoding that is more than chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "two Transfer-Encodings": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "a Transfer-Encoding in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both Transfer-Encoding and Content-Length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        400,
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_gets_an_error_in_json_and_affects_no_other(serve, connect, log, what):
    sent, status = MALFORMED[what]
    started = serve(threads=1)
    client = connect(started)
    client.socket.sendall(sent or GET[:-2])
    if sent is None:
        client.socket.shutdown(socket.SHUT_WR)
    answered = client.answer()
    assert answered.status == status
    assert answered.headers["Content-Type"] == "application/json"
    assert answered.headers["Connection"] == "close"
    assert json.loads(answered.body)["error"]
    assert client.is_closed()
    assert connect(started).ask(GET).status == 200
    assert not log.records


def test_a_header_with_an_underscore_cannot_pass_for_another(serve, connect):
    seen = {}

    def look(environ, start_response):
        seen.update(environ)
        return answer(start_response, "200 OK", "")

    connect(serve(look)).ask(b"GET / HTTP/1.1\r\nHost: kala\r\nX-User: me\r\nX_User: you\r\n\r\n")
    assert seen["HTTP_X_USER"] == "me"


def test_repeated_headers_are_joined_to_one_list(serve, connect):
    def look(environ, start_response):
        return answer(start_response, "200 OK", environ["HTTP_ORIGIN"])

    answered = connect(serve(look)).ask(b"GET / HTTP/1.1\r\nHost: kala\r\nOrigin: a\r\nOrigin: b\r\n\r\n")
    assert json.loads(answered.body) == "a, b"


# Several requests on a connection


def test_pipelined_requests_are_answered_in_order(serve, connect):
    client = connect(serve())
    client.socket.sendall(
        GET.replace(b"/", b"/1", 1)
        + POST.replace(b"/", b"/2", 1)
        + b"Content-Length: 3\r\n\r\nabc"
        + CHUNKED.replace(b"/", b"/3", 1)
        + b"3\r\nabc\r\n0\r\n\r\n"
        + GET.replace(b"/", b"/4", 1)
    )
    assert [json.loads(client.answer().body)["path"] for _ in range(4)] == ["/1", "/2", "/3", "/4"]


def test_pipelined_requests_are_all_answered_after_a_half_close(serve, connect):
    client = connect(serve())
    client.socket.sendall(GET * 3)
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.answer().status for _ in range(3)] == [200] * 3
    assert client.is_closed()


def test_a_response_to_head_has_no_body_and_keeps_the_connection(serve, connect):
    client = connect(serve())
    answered = client.ask(b"HEAD / HTTP/1.1\r\nHost: kala\r\n\r\n", "HEAD")
    assert int(answered.headers["Content-Length"]) > 0
    assert client.ask(GET).status == 200


def test_http_10_needs_no_host_and_the_connection_closes_after_the_response(serve, connect):
    client = connect(serve())
    assert client.ask(b"GET / HTTP/1.0\r\n\r\n").status == 200
    assert client.is_closed()


@pytest.mark.parametrize("words", [b"Keep-Alive", b"keep-alive", b"TE, keep-alive"])
def test_http_10_may_keep_its_connection(serve, connect, words):
    client = connect(serve())
    for _ in range(2):
        answered = client.ask(b"GET / HTTP/1.0\r\nConnection: %b\r\n\r\n" % words)
        assert answered.headers["Connection"] == "Keep-Alive"


@pytest.mark.parametrize("words", [b"close", b"Close", b"TE, close", b"keep-alive,CLOSE"])
def test_connection_close_closes_the_connection_after_the_response(serve, connect, words):
    client = connect(serve())
    assert client.ask(b"GET / HTTP/1.1\r\nHost: kala\r\nConnection: %b\r\n\r\n" % words).status == 200
    assert client.is_closed()


def test_a_head_may_be_as_large_as_64_kib(serve, connect):
    filler = b"a" * (HEAD_BYTES - len(GET) - len("A: \r\n"))
    sent = GET[:-2] + b"A: " + filler + b"\r\n\r\n"
    assert len(sent) == 64 * 1024
    assert connect(serve()).ask(sent).status == 200
