"""Large texts: neither a message of a run, nor a list of jobs, nor output costs memory or disk without bound."""

import http.client
import os
from contextlib import closing
from pathlib import Path

import pytest
from process import Api
from scene import FAR

LENGTH = 900_000
LONG = "x" * LENGTH
# What a person reads of a run's message.
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
def test_a_message_is_bounded_however_long_the_field_that_it_shows(kala, fields):
    status, body = kala.post("/job/", {"name": "long", "command": "/bin/true", "retries": 2, **fields})
    if status == 400:
        assert len(body["error"]) <= 2 * MESSAGE
        return
    runs = kala.runs(body["id"], 3)
    assert {run["state"] for run in runs} == {"failed"}
    assert max(len(run["message"]) for run in runs) <= MESSAGE
    assert max(map(len, kala.lines)) <= 3 * MESSAGE


@pytest.mark.parametrize("part", ["%2f%2f", "%2f%2fa:b", "//a:b", "http://:"])
def test_a_long_value_that_is_refused_does_not_hold_kala_up(under_attack, part):
    """It is shown without the passwords of URLs, and a search for those can take quadratic time: an hour for this."""
    with under_attack() as scene:
        status, body = scene.kala.post("/job/", {"name": "long", "command": [part * (LENGTH // len(part))]})
        assert status == 400
        assert len(body["error"]) <= MESSAGE
        scene.lasts(1)


def test_lists_and_graphs_of_200_mb_of_jobs_cost_little_memory(under_attack):
    def fill(kala):
        with closing(Api(kala.address)) as client:
            remote = {"url": "http://127.0.0.1:9/", "method": "POST", "body": "x" * 1_000_000}
            for number in range(200):
                client.create(name=f"large {number}", type=1, command="", remote_properties=remote, schedule=FAR)

    with under_attack(before=fill) as scene:
        assert read(scene.kala, "/job/") > 200_000_000
        assert read(scene.kala, "/job/?limit=1000") > 1_000_000
        assert read(scene.kala, "/graph/") > 1_000
        scene.lasts(4)


def read(kala, path) -> int:
    """How many bytes an answer has."""
    size = 0
    with closing(http.client.HTTPConnection(kala.address.removeprefix("http://"), timeout=30)) as connection:
        connection.request("GET", f"/api/v1{path}")
        response = connection.getresponse()
        assert response.status == 200
        while part := response.read(1 << 20):
            size += len(part)
    return size


@pytest.mark.skipif(os.geteuid() != 0, reason="what Kala has written is root's to know (proc(5))")
def test_four_commands_that_print_without_end_do_not_wear_out_the_disk(under_attack):
    with under_attack() as scene:
        before = written(scene.pid)
        jobs = [scene.kala.create(name="yes", command="yes", timeout="PT3S") for _ in range(4)]
        scene.lasts(4)
        for job in jobs:
            [run] = scene.kala.runs(job, 1)
            assert run["state"] == "timed_out"
            assert run["output_cut"]
            assert len(scene.kala.output(run["id"])[1]) < 2**21
        print(f"\n  {(written(scene.pid) - before) / 1e6:.0f} MB written to keep 4")
        assert written(scene.pid) - before < 200e6


def written(pid) -> int:
    """How many bytes the threads of a process have written, without the commands that have ended."""
    texts = [(task / "io").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("wchar"))
