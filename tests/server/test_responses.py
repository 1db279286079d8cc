"""Headers, errors and logs of the server itself."""

import json
import socket
import struct
import threading

import pytest
from raw_http import CHUNKED, GET, PATIENCE, POST, answer


def test_the_server_header_is_kala_without_a_version_even_if_the_application_sets_it(serve, connect):
    def talkative(_environ, start_response):
        return answer(start_response, "200 OK", "", ("Server", "CherryPy/18.10.0"))

    started = serve(talkative)
    assert connect(started).ask(GET).headers.get_all("Server") == ["Kala"]
    assert connect(started).ask(b"nonsense\r\n\r\n").headers.get_all("Server") == ["Kala"]


SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize("sent", [GET, b"nonsense\r\n\r\n", POST + b"Content-Length: 1001\r\n\r\n", CHUNKED + b"x\r\n"])
def test_each_response_tells_browsers_that_it_is_private_data(serve, connect, sent):
    headers = connect(serve()).ask(sent).headers
    assert {name: headers.get_all(name) for name in SAFE} == {name: [value] for name, value in SAFE.items()}


def test_an_application_may_override_these_headers(serve, connect):
    def page(_environ, start_response):
        return answer(start_response, "200 OK", "", ("content-security-policy", "default-src 'self'"))

    headers = connect(serve(page)).ask(GET).headers
    assert headers.get_all("Content-Security-Policy") == ["default-src 'self'"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_is_not_logged(serve, connect, log, capfd):
    connect(serve()).ask(GET)
    assert not log.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("secret"), FileNotFoundError(2, "secret"), SystemExit("secret")])
def test_a_handler_that_raises_is_logged_and_the_client_gets_only_500(serve, connect, log, error, capfd):
    def broken(_environ, _start_response):
        raise error

    started = serve(broken)
    for _ in range(2):
        answered = connect(started).ask(GET)
        assert answered.status == 500
        assert json.loads(answered.body) == {"error": "Internal Server Error"}
    started.stop(PATIENCE)
    assert {(record.name, record.levelname) for record in log.records} == {("kala.http", "WARNING")}
    assert "secret" in log.text
    assert capfd.readouterr().err == ""


def test_a_client_that_disconnects_within_a_response_is_not_logged(serve, connect, log):
    closed = threading.Event()

    def endless(_environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    started = serve(endless)
    client = connect(started)
    client.socket.sendall(GET)
    client.file.read(200_000)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert closed.wait(PATIENCE)
    started.stop(PATIENCE)
    assert not log.records


def test_a_client_that_disconnects_within_a_head_is_not_logged(serve, connect, log):
    started = serve()
    for linger in (0, 1):
        client = connect(started)
        client.socket.sendall(GET[:10])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
        client.close()
    assert connect(started).ask(GET).status == 200
    started.stop(PATIENCE)
    assert not log.records
