"""Large texts: messages of runs, lists of jobs and output use a bounded amount of memory and disk."""

import http.client
import os
from contextlib import closing
from pathlib import Path

import pytest
from process import Api
from scene import FAR

LENGTH = 900_000
LONG = "x" * LENGTH
# The limit of a run's message.
MESSAGE = 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"working_directory": f"/{LONG}"},
        {"shell": f"/{LONG}"},
        {
            "type": 1,
            "command": "",
            "remote_properties": {"url": 'http://127.0.0.1:9/{{ "x".ljust(900000) }}'},
            "TemplateDelimiters": "{{ }}",
        },
    ],
    ids=["working_directory", "shell", "url"],
)
def test_a_message_is_bounded_even_if_it_quotes_a_long_field(kala, fields):
    status, body = kala.post("/job/", {"name": "long", "command": "/bin/true", "retries": 2, **fields})
    if status == 400:
        assert len(body["error"]) <= 2 * MESSAGE
        return
    runs = kala.runs(body["id"], 3)
    assert {run["state"] for run in runs} == {"failed"}
    assert max(len(run["message"]) for run in runs) <= MESSAGE
    assert max(map(len, kala.lines)) <= 3 * MESSAGE


@pytest.mark.parametrize("part", ["%2f%2f", "%2f%2fa:b", "//a:b", "http://:"])
def test_refusing_a_long_value_does_not_block_kala(under_attack, part):
    """The error masks passwords of URLs. A search in quadratic time would take an hour for this value."""
    with under_attack() as scene:
        status, body = scene.kala.post("/job/", {"name": "long", "command": [part * (LENGTH // len(part))]})
        assert status == 400
        assert len(body["error"]) <= MESSAGE
        scene.wait_until(1)


def test_lists_and_graphs_of_200_mb_of_jobs_take_little_memory(under_attack):
    def fill(kala):
        with closing(Api(kala.address)) as client:
            remote = {"url": "http://127.0.0.1:9/", "method": "POST", "body": "x" * 1_000_000}
            for number in range(200):
                client.create(name=f"large {number}", type=1, command="", remote_properties=remote, schedule=FAR)

    with under_attack(before=fill) as scene:
        assert read(scene.kala, "/job/") > 200_000_000
        assert read(scene.kala, "/job/?limit=1000") > 1_000_000
        assert read(scene.kala, "/graph/") > 1_000
        scene.wait_until(4)


def read(kala, path) -> int:
    """Return the size of a response's body."""
    size = 0
    with closing(http.client.HTTPConnection(kala.address.removeprefix("http://"), timeout=30)) as connection:
        connection.request("GET", f"/api/v1{path}")
        response = connection.getresponse()
        assert response.status == 200
        while part := response.read(1 << 20):
            size += len(part)
    return size


@pytest.mark.skipif(os.geteuid() != 0, reason="what Kala has written is root's to know (proc(5))")
def test_four_commands_that_print_endlessly_write_little_to_disk(under_attack):
    with under_attack() as scene:
        before = written(scene.pid)
        jobs = [scene.kala.create(name="yes", command="yes", timeout="PT3S") for _ in range(4)]
        scene.wait_until(4)
        for job in jobs:
            [run] = scene.kala.runs(job, 1)
            assert run["state"] == "timed_out"
            assert run["output_cut"]
            assert len(scene.kala.output(run["id"])[1]) < 2**21
        print(f"\n  {(written(scene.pid) - before) / 1e6:.0f} MB written to keep 4")
        assert written(scene.pid) - before < 200e6


def written(pid) -> int:
    """Return how many bytes the threads of a process have written, without its reaped children."""
    texts = [(task / "io").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("wchar"))
