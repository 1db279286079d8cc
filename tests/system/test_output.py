"""The output of commands, as clients of the running process read it."""

import re
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

FAR = "R/2099-01-01T00:00:00Z/PT1H"
ALIVE = ("queued", "running")
MEBIBYTE = 1 << 20


@pytest.fixture
def follow():
    """Follow a run's output with curl; returns the process, whose stdout is read as it comes."""
    started = []

    def follow(kala, run_id):
        url = f"{kala.address}/api/v1/run/{run_id}/output?follow=1"
        started.append(subprocess.Popen(["curl", "-sSfN", url], stdout=subprocess.PIPE))
        return started[-1]

    yield follow
    for curl in started:
        curl.kill()
        curl.communicate()


def rss(kala):
    """Return the process's current and peak memory in MiB."""
    status = Path(f"/proc/{kala.process.pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))


def done(kala, job):
    """Wait for the end of a job's run; return its id."""
    return kala.runs(job, 1)[0]["id"]


def underway(kala, job):
    return kala.runs(job, 1, ("running",))[0]["id"]


def files(kala):
    return sorted(path.name for path in (kala.data / "output").glob("*/*"))


# What is kept


def test_bytes_are_kept_unchanged_and_in_order(kala):
    line = r"printf 'a\0b\n'; printf '\377\376\n' >&2; printf 'c\303'; printf '\r\n' >&2; printf end"
    run = done(kala, kala.create(command=line))
    assert kala.output(run) == (200, b"a\0b\n\xff\xfe\nc\xc3\r\nend")
    assert kala.run(run)["output_size"] == len(b"a\0b\n\xff\xfe\nc\xc3\r\nend")


def test_a_range_or_the_last_lines_of_an_output_can_be_read(kala):
    run = done(kala, kala.create(command="seq 1 20000"))
    whole = b"".join(b"%d\n" % number for number in range(1, 20001))
    assert kala.output(run) == (200, whole)
    assert kala.output(run, Range="bytes=0-9") == (206, whole[:10])
    assert kala.output(run, Range="bytes=70000-70999") == (206, whole[70000:71000])
    assert kala.output(run, Range="bytes=-6") == (206, b"20000\n")
    assert kala.output(run, Range=f"bytes={len(whole) - 1}-") == (206, b"\n")
    assert kala.output(run, Range=f"bytes={len(whole)}-")[0] == 416
    assert kala.output(run, Range="lines=1-2") == (200, whole)
    assert kala.output(run, "?tail=2") == (200, b"19999\n20000\n")
    assert kala.output(run, "?tail=0") == (200, b"")
    assert kala.output(run, "?tail=99999") == (200, whole)
    assert kala.output(run, "?tail=x")[0] == 400
    assert kala.output(run + 1)[0] == 404


def test_a_small_output_is_in_the_database_and_a_large_one_a_file(kala):
    # The first pauses long enough that its output is written to disk meanwhile.
    small = done(kala, kala.create(command="echo small; sleep 1.5; echo end"))
    large = done(kala, kala.create(command="head -c 100000 /dev/zero"))
    assert kala.query("SELECT run_id, data FROM output")[0][:] == (small, b"small\nend\n")
    assert files(kala) == [f"{large}.out"]
    kala.restart()
    assert kala.output(small) == (200, b"small\nend\n")
    assert kala.output(large) == (200, bytes(100_000))


def test_deleting_a_run_deletes_its_output(kala, eventually):
    for line in ("echo small", "head -c 100000 /dev/zero"):
        run = done(kala, kala.create(command=line))
        assert kala.delete(f"/run/{run}/").status == 204
    eventually(lambda: not files(kala) and not kala.query("SELECT * FROM output"))


# Following


def test_a_follower_sees_each_line_when_it_comes_and_ends_with_the_run(kala, follow, tmp_path, eventually):
    line = f"echo early; for n in 1 2 3; do until [ -e {tmp_path}/$n ]; do sleep 0.02; done; echo $n; done; printf end"
    run = underway(kala, kala.create(command=line))
    eventually(lambda: kala.output(run)[1] == b"early\n")
    curl = follow(kala, run)
    assert curl.stdout.readline() == b"early\n"
    for number in (b"1", b"2", b"3"):
        (tmp_path / number.decode()).touch()
        assert curl.stdout.readline() == number + b"\n"
    assert curl.stdout.read() == b"end"
    assert curl.wait(10) == 0
    late = follow(kala, run)
    assert late.communicate(timeout=10)[0] == b"early\n1\n2\n3\nend"
    assert late.returncode == 0


def test_a_queued_run_is_followed_from_its_start(kala, follow, gate):
    job = kala.create(command=f"{gate.wait}; echo $KALA_RUN_ID", schedule=FAR)
    for _ in range(3):
        kala.go(job)
    runs = [run["id"] for run in kala.runs(job, 3, ALIVE)]
    curls = [follow(kala, run) for run in runs]
    kala.post(f"/run/{runs[1]}/cancel")
    assert curls[1].communicate(timeout=10)[0] == b""
    assert all(curl.poll() is None for curl in (curls[0], curls[2]))
    gate.open()
    assert [curl.communicate(timeout=10)[0] for curl in curls] == [b"%d\n" % runs[0], b"", b"%d\n" % runs[2]]
    assert [curl.returncode for curl in curls] == [0, 0, 0]


# Much of it


def test_a_run_that_prints_a_gibibyte_is_cut_in_the_middle_and_delays_nothing_else(kala, soon, gate):
    kala.settle()
    before = rss(kala)[0]
    ticks = kala.create(schedule=f"R/{soon(0.5)}/PT1S")
    endless = kala.create(command=f"until [ -e {gate.path} ]; do head -c 10000000 /dev/zero; done")
    loud = kala.create(command="echo begin; head -c 1073741824 /dev/zero; echo; echo end")
    clock = time.monotonic()
    run = done(kala, loud)
    print(f"a gibibyte in {time.monotonic() - clock:.1f} s")
    told = kala.run(run)
    assert told["state"] == "succeeded"
    assert told["output_cut"] is True
    output = kala.output(run)[1]
    assert len(output) == told["output_size"] < MEBIBYTE + 100
    total = len("begin\n") + (1 << 30) + len("\nend\n")
    cut = b"\n[kala: %d bytes omitted here]\n" % (total - MEBIBYTE)
    head, middle, tail = output.partition(cut)
    assert middle
    assert head == b"begin\n" + bytes(MEBIBYTE // 2 - 6)
    assert tail == bytes(MEBIBYTE // 2 - 5) + b"\nend\n"
    kala.runs(ticks, 2)
    assert kala.runs(endless, states=("running",))
    gate.open()
    kala.runs(endless, 1)
    print(f"{rss(kala)[1] - before:.1f} MiB more at most")
    assert rss(kala)[1] - before < 60
    lateness = [kala.run(tick["id"])["lateness"] for tick in kala.runs(ticks)]
    print(f"meanwhile late by {lateness} s")
    assert max(lateness) < 1


def test_the_outputs_of_many_runs_at_once_are_not_mixed_up(serve):
    kala = serve("--workers", "500")
    line = "n=0; while [ $n -lt 100 ]; do echo $KALA_RUN_ID $n; n=$((n+1)); done; head -c 20000 /dev/zero"
    jobs = [kala.create(command=line) for _ in range(500)]
    for job in jobs:
        run = done(kala, job)
        assert kala.output(run)[1] == b"".join(b"%d %d\n" % (run, n) for n in range(100)) + bytes(20_000)


def test_followers_that_stop_reading_delay_neither_the_api_nor_other_followers(kala, gate, eventually):
    # More than what fits between Kala and a client that does not read.
    size = MEBIBYTE - 1
    run = underway(kala, kala.create(command=f"echo ready; {gate.wait}; head -c {size - 6} /dev/zero"))
    eventually(lambda: kala.output(run)[1])
    host, port = kala.address.removeprefix("http://").split(":")
    request = f"GET /api/v1/run/{run}/output?follow=1 HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode()
    clients = []
    try:
        for number in range(200):
            client = socket.socket()
            clients.append(client)
            if number < 190:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(30)
            client.connect((host, int(port)))
            client.sendall(request)
        got = [bytearray() for _ in range(10)]
        readers = [
            threading.Thread(target=_read_all, args=pair, daemon=True) for pair in zip(clients[190:], got, strict=True)
        ]
        for reader in readers:
            reader.start()
        eventually(lambda: all(b"ready\n" in part for part in got))
        gate.open()
        longest = 0.0
        while any(reader.is_alive() for reader in readers) or not kala.runs(kala.run(run)["job_id"]):
            clock = time.monotonic()
            assert kala.get("/stats/").status == 200
            longest = max(longest, time.monotonic() - clock)
        print(f"meanwhile the API took {longest * 1000:.0f} ms at most")
        assert longest < 2
        for part in got:
            assert bytes(part).partition(b"\r\n\r\n")[2] == b"ready\n" + bytes(size - 6)
        kala.runs(kala.create(), 1)
    finally:
        for client in clients:
            client.close()
    with closing(socket.create_connection((host, int(port)), 30)) as client:
        client.sendall(request)
        late = bytearray()
        _read_all(client, late)
    assert len(late.partition(b"\r\n\r\n")[2]) == size


def _read_all(client, got):
    while data := client.recv(65536):
        got += data
