"""Templates are their authors' programs: none of them may compute for long, or make much of little."""

import time

import pytest
from crowd import request

GO = "{{ }}"
SQUARES = "{{% set n=namespace(s=10) %}}{{% for i in range(24) %}}{{% set n.s=n.s*n.s %}}{{% endfor %}}ok"
# Checked at creation, a job has no id yet.
LATER = f"{{{{% if id %}}}}{SQUARES}{{{{% endif %}}}}"
LOOPS = "{{% if id %}}" + "{{% for a in range(99999) %}}" * 3 + "{{% endfor %}}" * 3 + "{{% endif %}}"
LONG = "{{% for a in range(99999) %}}{{% for b in range(99) %}}xxxxxxxxxxxxxxxx{{% endfor %}}{{% endfor %}}"
HUGE = '{{ "x".ljust(200000000) }}'
# How long a run whose template is refused may take: it costs milliseconds.
AT_ONCE = 1.0


def refused_or_failed(kala, job, eventually) -> None:
    """A job is refused at once, or it is created and its run fails at once."""
    clock = time.monotonic()
    status, body = kala.post("/job/", job)
    assert status in (201, 400), body
    if status == 201:
        [run, *_] = eventually(lambda: kala.runs(body["id"]), limit=AT_ONCE)
        assert run["state"] == "failed", dict(run)
        assert len(run["message"]) <= 1000
    else:
        assert len(body["error"]) <= 2000
    assert time.monotonic() - clock < AT_ONCE


@pytest.mark.parametrize("templates", [(SQUARES, LATER, LOOPS), (LONG, HUGE)], ids=["time", "memory"])
def test_a_template_that_takes_much_is_refused(under_attack, eventually, crowd, templates):
    with under_attack() as scene:
        for template in templates:
            # One for each of the threads that start commands.
            for number in range(3):
                job = {"name": f"heavy {number}", "command": f"echo {template}", "TemplateDelimiters": GO}
                crowd.come(scene.kala.address, 1, request("POST", "/job/", job))
            time.sleep(0.5)
            refused_or_failed(scene.kala, job, eventually)
        scene.lasts(3)


def test_a_template_of_a_call_that_takes_much_is_refused(under_attack, eventually, stranger):
    server = stranger(lambda client, _: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    with under_attack() as scene:
        for call in ({"url": f"{server.address}/{HUGE}"}, {"url": server.address, "method": "POST", "body": HUGE}):
            job = {"name": "heavy", "type": 1, "remote_properties": call, "TemplateDelimiters": GO}
            refused_or_failed(scene.kala, job, eventually)
        scene.lasts(3)
