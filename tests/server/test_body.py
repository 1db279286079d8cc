"""Request bodies, sized and chunked."""

import http.client
import json
import os
import socket

import pytest
from raw_http import CHUNKED, GET, MAX_BODY, PATIENCE, POST, SHORT, ignore_body


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 11\r\n\r\nhello world",
        CHUNKED + b"5\r\nhello\r\n6;note=x\r\n world\r\n0\r\n\r\n",
        CHUNKED + b"B\r\nhello world\r\n00\r\nTrailer: x\r\nAnother: y\r\n\r\n",
    ],
)
def test_a_body_is_read_completely_and_the_connection_serves_the_next_request(serve, connect, sent):
    client = connect(serve())
    for _ in range(3):
        assert json.loads(client.ask(sent).body)["body"] == "hello world"
    assert json.loads(client.ask(GET).body)["body"] == ""


def test_a_body_may_be_as_large_as_the_limit(serve, connect):
    client = connect(serve())
    sized = POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY
    chunked = CHUNKED + b"1\r\nx\r\n" * MAX_BODY + b"0\r\n\r\n"
    assert [client.ask(sent).status for sent in (sized, chunked)] == [200, 200]


def test_a_large_body_arrives_unchanged(serve):
    started = serve(max_body=3_000_000)
    data = os.urandom(1_000_000).hex().encode()
    for body in (data, iter([data[:700_000], data[700_000:]])):
        client = http.client.HTTPConnection(*started.address, timeout=PATIENCE)
        client.request("POST", "/", body)
        assert json.loads(client.getresponse().read())["body"].encode() == data
        client.close()


def test_a_body_above_the_limit_gets_413_before_any_of_it_is_sent(serve, connect):
    def forbidden(_environ, _start_response):
        pytest.fail("the application was called")

    answered = connect(serve(forbidden)).ask(POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
    assert answered.status == 413
    assert json.loads(answered.body) == {
        "error": "body: larger than 1000 bytes, which is the limit; send a smaller body"
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_is_still_sending_too_much_gets_the_whole_413_and_no_reset(serve, chunked):
    client = http.client.HTTPConnection(*serve().address, timeout=PATIENCE)
    client.request("POST", "/", iter([b"x" * 100_000] * 50) if chunked else b"x" * 5_000_000)
    answered = client.getresponse()
    assert answered.status == 413
    assert json.loads(answered.read())["error"].startswith("body: larger than 1000 bytes")
    client.close()


def test_a_client_that_is_still_sending_an_endless_head_gets_the_whole_414_and_no_reset(serve, connect):
    assert connect(serve()).ask(b"GET /" + b"x" * 5_000_000).status == 414


def test_a_client_that_keeps_sending_after_the_last_response_is_disconnected(serve, connect):
    client = connect(serve(idle_timeout=SHORT))
    assert client.ask(POST + b"Content-Length: 1001\r\n\r\n").status == 413

    def send_for_ever():
        while True:
            client.socket.sendall(b"x" * 10_000)

    with pytest.raises(ConnectionError):
        send_for_ever()


def test_a_body_of_many_thousand_tiny_chunks_is_refused(serve, connect):
    client = connect(serve(max_body=100_000))
    answered = client.ask(CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: more than 10000 chunks; send larger chunks")


@pytest.mark.parametrize(
    ("chunks", "status", "said"),
    [
        (b"x\r\n", 400, "body: 'x\\r\\n' is not a chunk size"),
        (b"-1\r\na\r\n", 400, "body: '-1\\r\\n' is not a chunk size"),
        (b"0x1\r\na\r\n", 400, "body: '0x1\\r\\n' is not a chunk size"),
        (b"1\na\r\n", 400, "body: '1\\n' is not a chunk size"),
        (b"1" * 100_000, 400, "body: '1111"),
        (b"1\r\nab\r\n0\r\n\r\n", 400, "body: a chunk is longer than its declared size"),
        (b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n", 400, "body: more than 32 trailer lines after the last chunk"),
        (b"3e9\r\n", 413, "body: larger than 1000 bytes"),
        (b"ffffffffffffffff\r\n", 413, "body: larger than 1000 bytes"),
        (b"1\r\nx\r\n" * 1001 + b"0\r\n\r\n", 413, "body: larger than 1000 bytes"),
    ],
)
def test_a_malformed_chunked_body_is_an_error_in_the_application_and_ends_the_connection(
    serve, connect, chunks, status, said
):
    client = connect(serve())
    answered = client.ask(CHUNKED + chunks)
    assert answered.status == status
    assert json.loads(answered.body)["error"].startswith(said)
    assert client.is_closed()


@pytest.mark.parametrize(
    "sent", [POST + b"Content-Length: 9\r\n\r\nabc", CHUNKED, CHUNKED + b"9\r\nabc", CHUNKED + b"3\r\nabc\r\n0\r\n"]
)
def test_a_truncated_body_is_invalid(serve, connect, sent):
    client = connect(serve())
    client.socket.sendall(sent)
    client.socket.shutdown(socket.SHUT_WR)
    answered = client.answer()
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: the connection was closed before the end of the body")


def test_a_body_that_stalls_is_invalid_after_the_idle_timeout(serve, connect, log):
    started = serve(idle_timeout=SHORT)
    client = connect(started)
    answered = client.ask(POST + b"Content-Length: 9\r\n\r\nabc")
    assert answered.status == 400
    assert json.loads(answered.body)["error"].startswith("body: not received in time")
    assert client.is_closed()
    client.close()
    assert connect(started).ask(GET).status == 200
    assert not log.records


def test_a_body_that_the_application_does_not_read_is_not_taken_for_the_next_request(serve, connect):
    client = connect(serve(ignore_body))
    assert client.ask(POST + b"Content-Length: %d\r\n\r\n" % len(GET) + GET).status == 200
    assert client.ask(b"nonsense\r\n\r\n").status == 400  # and not the answer to another GET


def test_a_malformed_body_that_the_application_does_not_read_ends_the_connection(serve, connect):
    client = connect(serve(ignore_body))
    answered = client.ask(CHUNKED + GET)
    assert answered.status == 200
    assert answered.headers["Connection"] == "close"
    assert client.is_closed()


def test_a_connection_after_a_chunked_body_occupies_no_worker(serve, connect):
    started = serve(threads=1)
    assert connect(started).ask(CHUNKED + b"1\r\na\r\n0\r\n\r\n").status == 200
    assert connect(started).ask(GET).status == 200


def test_a_client_that_expects_100_continue_gets_it_before_it_sends(serve, connect):
    client = connect(serve())
    client.socket.sendall(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.answer().status == 100
    assert json.loads(client.ask(b"abc").body)["body"] == "abc"
