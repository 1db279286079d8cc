"""Many, slow or idle clients: neither runs nor other clients wait for them."""

import time
from contextlib import closing

import pytest
from crowd import need_descriptors, request, send
from process import Api
from scene import FAR

# The default of systemd, which the package had before its unit set LimitNOFILE=.
USUAL = ("prlimit", "--nofile=1024")
OTHERS = tuple(f"127.0.0.{number}" for number in range(2, 22))
UNFINISHED = b"GET /api/v1/stats/ HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 60_000


def connect_new_clients(kala, times=5) -> None:
    """Check that new connections are served, too."""
    for _ in range(times):
        with closing(Api(kala.address)) as client:
            assert client.get("/stats/").status == 200


@pytest.mark.parametrize("sources", [OTHERS[:1], OTHERS], ids=["one address", "twenty addresses"])
def test_runs_start_on_time_during_1100_idle_connections(under_attack, crowd, sources):
    need_descriptors(1100)
    with under_attack(prefix=USUAL) as scene:
        crowd.connect(scene.kala.address, 1100, sources=sources)
        scene.wait_until(2)
        connect_new_clients(scene.kala)
        scene.wait_until(4)


def test_the_memory_for_unfinished_headers_is_bounded(under_attack, crowd):
    need_descriptors(6000)
    with under_attack(prefix=("prlimit", "--nofile=8192")) as scene:
        # Few enough at a time for the kernel's accept queue.
        for _ in range(60):
            crowd.connect(scene.kala.address, 100, UNFINISHED, sources=OTHERS)
            time.sleep(0.03)
        scene.wait_until(4)
        connect_new_clients(scene.kala)


def test_bodies_sent_byte_by_byte_delay_nothing(under_attack, crowd):
    with under_attack() as scene:
        crowd.connect(scene.kala.address, 48, request("POST", "/job/", **{"Content-Length": "1000"}))
        crowd.repeat(1, lambda one: send(one, b" "))
        scene.wait_until(2)
        connect_new_clients(scene.kala)
        scene.wait_until(4)


def test_clients_that_read_slowly_delay_nothing(under_attack, crowd):
    def fill(kala):
        with closing(Api(kala.address)) as client:
            for number in range(60):
                client.create(name=f"large {number}", command=f": {'x' * 100_000}", schedule=FAR)

    with under_attack(before=fill) as scene:
        crowd.connect(scene.kala.address, 32, request("GET", "/job/"), window=4096)
        crowd.repeat(0.1, sip)
        scene.wait_until(2)
        connect_new_clients(scene.kala)
        scene.wait_until(4)


def sip(one) -> None:
    """Read at 47 kB/s."""
    try:
        one.recv(4700)
    except OSError:  # nothing to read yet, or the connection is closed
        return


def test_many_new_connections_delay_nothing(under_attack, crowd):
    with under_attack() as scene:
        for second in range(1, 4):
            for one in crowd.connect(scene.kala.address, 100, b"GET / HTTP/1.1\r\n"):
                one.close()
            crowd.connect(scene.kala.address, 50, request("GET", "/nothing/"))
            scene.wait_until(second)
        connect_new_clients(scene.kala)


def test_many_event_streams_delay_nothing(under_attack, crowd):
    need_descriptors(1100)
    with under_attack(prefix=("prlimit", "--nofile=8192")) as scene:
        crowd.connect(scene.kala.address, 1100, request("GET", "/events/"), sources=OTHERS, window=4096)
        scene.wait_until(2)
        connect_new_clients(scene.kala)
        scene.wait_until(4)


def test_many_fields_in_a_body_delay_nothing(under_attack, crowd):
    body = {f"fie{number:05}": 0 for number in range(60_000)}
    with under_attack() as scene:
        job = scene.kala.create(schedule=FAR)
        words = request("PATCH", f"/job/{job}/", body)
        for one in crowd.connect(scene.kala.address, 16):
            send_all(one, words)
        scene.wait_until(4)
        connect_new_clients(scene.kala)


def send_all(one, words) -> None:
    """Send everything, waiting while the socket's buffer is full."""
    one.settimeout(10)
    try:
        one.sendall(words)
    except OSError:  # the server refused the request before reading all of it
        return


HEADS = {
    "a path of many segments": b"GET " + b"/a" * 30_000 + b" HTTP/1.1\r\n",
    "a path of many segments that is not too long": b"GET " + b"/a" * 8_000 + b" HTTP/1.1\r\n",
    "a media type of many parameters": b"GET / HTTP/1.1\r\nContent-Type: " + b"a;" * 30_000 + b"\r\n",
    "many media types": b"GET / HTTP/1.1\r\nContent-Type: " + b"a," * 30_000 + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15_000,
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_headers_that_take_long_to_parse_delay_nothing(under_attack, crowd, head):
    with under_attack() as scene:
        for second in range(1, 3):
            crowd.connect(scene.kala.address, 16, head + b"Host: localhost\r\n\r\n")
            scene.wait_until(second)
        connect_new_clients(scene.kala)
