"""Clients that are slow, silent or many: neither runs nor other clients wait for them."""

import time
from contextlib import closing

import pytest
from crowd import need_descriptors, request, say
from process import Api
from scene import FAR

# As much as a packaged service had before its unit said otherwise.
USUAL = ("prlimit", "--nofile=1024")
OTHERS = tuple(f"127.0.0.{number}" for number in range(2, 22))
UNFINISHED = b"GET /api/v1/stats/ HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 60_000


def ask_anew(kala, times=5) -> None:
    """A client that was not connected before is answered, too."""
    for _ in range(times):
        with closing(Api(kala.address)) as client:
            assert client.get("/stats/").status == 200


@pytest.mark.parametrize("sources", [OTHERS[:1], OTHERS], ids=["one address", "twenty addresses"])
def test_runs_start_on_time_while_1100_connections_say_nothing(under_attack, crowd, sources):
    need_descriptors(1100)
    with under_attack(prefix=USUAL) as scene:
        crowd.come(scene.kala.address, 1100, sources=sources)
        scene.lasts(2)
        ask_anew(scene.kala)
        scene.lasts(4)


def test_the_memory_for_heads_that_never_end_is_bounded(under_attack, crowd):
    need_descriptors(6000)
    with under_attack(prefix=("prlimit", "--nofile=8192")) as scene:
        # Few enough at a time that the kernel queues them all until they are accepted.
        for _ in range(60):
            crowd.come(scene.kala.address, 100, UNFINISHED, sources=OTHERS)
            time.sleep(0.03)
        scene.lasts(4)
        ask_anew(scene.kala)


def test_bodies_of_one_byte_at_a_time_hold_up_nobody(under_attack, crowd):
    with under_attack() as scene:
        crowd.come(scene.kala.address, 48, request("POST", "/job/", **{"Content-Length": "1000"}))
        crowd.each(1, lambda one: say(one, b" "))
        scene.lasts(2)
        ask_anew(scene.kala)
        scene.lasts(4)


def test_clients_that_read_slowly_hold_up_nobody(under_attack, crowd):
    def fill(kala):
        with closing(Api(kala.address)) as client:
            for number in range(60):
                client.create(name=f"large {number}", command=f": {'x' * 100_000}", schedule=FAR)

    with under_attack(before=fill) as scene:
        crowd.come(scene.kala.address, 32, request("GET", "/job/"), window=4096)
        crowd.each(0.1, sip)
        scene.lasts(2)
        ask_anew(scene.kala)
        scene.lasts(4)


def sip(one) -> None:
    """Read at 47 kB/s."""
    try:
        one.recv(4700)
    except OSError:  # nothing has come, or nothing will
        return


def test_many_new_connections_hold_up_nobody(under_attack, crowd):
    with under_attack() as scene:
        for second in range(1, 4):
            for one in crowd.come(scene.kala.address, 100, b"GET / HTTP/1.1\r\n"):
                one.close()
            crowd.come(scene.kala.address, 50, request("GET", "/nothing/"))
            scene.lasts(second)
        ask_anew(scene.kala)


def test_many_followers_of_events_hold_up_nobody(under_attack, crowd):
    need_descriptors(1100)
    with under_attack(prefix=("prlimit", "--nofile=8192")) as scene:
        crowd.come(scene.kala.address, 1100, request("GET", "/events/"), sources=OTHERS, window=4096)
        scene.lasts(2)
        ask_anew(scene.kala)
        scene.lasts(4)


def test_many_names_in_bodies_hold_up_nobody(under_attack, crowd):
    body = {f"fie{number:05}": 0 for number in range(60_000)}
    with under_attack() as scene:
        job = scene.kala.create(schedule=FAR)
        words = request("PATCH", f"/job/{job}/", body)
        for one in crowd.come(scene.kala.address, 16):
            send_all(one, words)
        scene.lasts(4)
        ask_anew(scene.kala)


def send_all(one, words) -> None:
    """Send everything, as a client does that waits while the other side takes nothing."""
    one.settimeout(10)
    try:
        one.sendall(words)
    except OSError:  # it was refused before all of it was read
        return


HEADS = {
    "a path of many segments": b"GET " + b"/a" * 30_000 + b" HTTP/1.1\r\n",
    "a path of many segments that is not too long": b"GET " + b"/a" * 8_000 + b" HTTP/1.1\r\n",
    "a media type of many parameters": b"GET / HTTP/1.1\r\nContent-Type: " + b"a;" * 30_000 + b"\r\n",
    "many media types": b"GET / HTTP/1.1\r\nContent-Type: " + b"a," * 30_000 + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15_000,
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_that_take_long_to_parse_hold_up_nobody(under_attack, crowd, head):
    with under_attack() as scene:
        for second in range(1, 3):
            crowd.come(scene.kala.address, 16, head + b"Host: localhost\r\n\r\n")
            scene.lasts(second)
        ask_anew(scene.kala)
