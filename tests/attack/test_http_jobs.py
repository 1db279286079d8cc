"""An untrusted server answers a job: it must not control Kala, block it or fill its memory."""

import gzip
import time
from functools import partial

from process import eventually
from scene import FAR
from stranger import redirect


def call(kala, url, method="GET", **fields) -> str:
    """Create a job that calls a URL at once, and return its id."""
    remote = {"url": url, "method": method, **fields.pop("remote", {})}
    return kala.create(name="call", type=1, command="", remote_properties=remote, **fields)


REDIRECTS = (301, 302, 303, 307, 308)


def test_a_redirect_to_kala_itself_deletes_no_job(kala, stranger):
    kept = kala.create(name="kept", schedule=FAR)
    for status in REDIRECTS:
        server = stranger(redirect(status, f"{kala.address}/api/v1/job/all/"))
        job = call(kala, server.address, "DELETE", schedule=FAR)
        kala.go(job)
        eventually(lambda: server.heads)  # noqa: B023 - called before the next one
        time.sleep(0.3)
        assert kala.get(f"/job/{kept}/").status == 200, status
        assert kala.runs(job, 1)[0]["state"] == "failed", status


def test_a_redirect_to_kala_itself_cancels_no_run(kala, stranger, gate):
    waits = kala.create(name="waits", command=f"{gate.wait}; echo done")
    [run] = kala.runs(waits, 1, ("running",))
    for status in REDIRECTS:
        server = stranger(redirect(status, f"{kala.address}/api/v1/run/{run['id']}/cancel/"))
        kala.runs(call(kala, server.address, "POST"), 1)
    gate.open()
    assert kala.runs(waits, 1)[0]["state"] == "succeeded"


def test_a_redirect_to_another_port_gets_no_header_that_the_job_sets(kala, stranger):
    names = ("Authorization", "X-Api-Key", "Cookie", "Private-Token")
    thief = stranger(lambda client, _: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    server = stranger(redirect(307, f"{thief.address}/"))
    kala.runs(call(kala, server.address, remote={"headers": {name: ["TopSecret"] for name in names}}), 1)
    assert server.heads[0].count(b"TopSecret") == len(names)
    assert not any(b"TopSecret" in head for head in thief.heads)


def test_a_redirect_to_another_port_gets_no_login_of_the_url(kala, stranger):
    thief = stranger(lambda client, _: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    server = stranger(redirect(302, f"{thief.address}/"))
    kala.runs(call(kala, server.address.replace("://", "://user:TopSecret@")), 1)
    assert len(server.heads) == 1
    assert b"authorization" in server.heads[0].lower()
    assert not any(b"authorization" in head.lower() for head in thief.heads)


def large(status, encoding, body, times, client, _) -> None:
    """Return a redirect whose body is long or decompresses to a long one."""
    size = len(body) * times
    head = f"HTTP/1.1 {status} Moved\r\nLocation: /\r\nContent-Encoding: {encoding}\r\nContent-Length: {size}\r\n\r\n"
    client.sendall(head.encode())
    for _ in range(times):
        client.sendall(body)


def test_response_bodies_are_not_kept_in_memory(under_attack, stranger):
    """600 MB with a redirect; a redirect and a response of 400 kB that decompress to 400 MB."""
    packed = gzip.compress(bytes(400_000_000), 1)
    servers = [
        stranger(partial(large, 302, "identity", bytes(1_000_000), 600)),
        stranger(partial(large, 302, "gzip", packed, 1)),
        stranger(partial(large, 200, "gzip", packed, 1)),
    ]
    with under_attack() as scene:
        jobs = [call(scene.kala, server.address, remote={"timeout": 3}) for server in servers]
        scene.wait_until(4)
        for job in jobs:
            scene.kala.runs(job, 1)


def forever(parts, seconds, client, _) -> None:
    """Send the first part once, then the second repeatedly."""
    client.sendall(parts[0])
    while True:
        time.sleep(seconds)
        client.sendall(parts[1])


ENDLESS = {
    "heads that drip": ((b"HTTP/1.1 200 OK\r\n", b"X-Drip: drop\r\n"), 0.05),
    "a line without end": ((b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 60_000), 0.05),
    "interim answers": ((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"), 0.01),
    "bodies that drip": ((b"HTTP/1.1 200 OK\r\n\r\n", b"."), 0.05),
    "a chunk's extension": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000), 0.05),
}


def test_endless_responses_are_cut_off_at_the_timeout(under_attack, stranger):
    servers = {kind: stranger(partial(forever, *how)) for kind, how in ENDLESS.items()}
    with under_attack() as scene:
        jobs = {
            call(scene.kala, server.address, remote={"timeout": 2}): kind
            for kind, server in servers.items()
            for _ in range(4)
        }
        scene.wait_until(5)
        for job, kind in jobs.items():
            [run] = scene.kala.runs(job, 1)
            assert run["state"] in ("timed_out", "failed"), kind
            assert run["duration"] < 4e9, kind


COSTLY = {
    "blanks within a header": b"X: a" + b" " * 60_000 + b"b",
    "blanks in a header that is wrong": b"X: " + b" " * 60_000 + b"\0",
    "folds without text in one": b"X:" + b"\n " * 30_000 + b"\0",
}


def test_blanks_in_a_response_do_not_block_kala(under_attack, stranger):
    """Regular expressions can take quadratic time for blanks, with the GIL held: 5 to 24 seconds."""
    servers = [
        stranger(lambda client, _, line=line: client.sendall(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"))
        for line in COSTLY.values()
    ]
    with under_attack() as scene:
        jobs = [call(scene.kala, server.address) for server in servers]
        scene.wait_until(3)
        for job in jobs:
            scene.kala.runs(job, 1)


def test_a_redirect_loop_ends(kala, stranger):
    server = stranger(redirect(302, "/again"))
    [run] = kala.runs(call(kala, server.address), 1)
    assert run["state"] == "failed"
    assert len(server.heads) <= 40
