"""Templates are programs of their authors: none may compute for long or produce a large text."""

import time

import pytest
from crowd import request

GO = "{{ }}"
SQUARES = "{{% set n=namespace(s=10) %}}{{% for i in range(24) %}}{{% set n.s=n.s*n.s %}}{{% endfor %}}ok"
# At creation, when the template is checked, a job has no id yet.
LATER = f"{{{{% if id %}}}}{SQUARES}{{{{% endif %}}}}"
LOOPS = "{{% if id %}}" + "{{% for a in range(99999) %}}" * 3 + "{{% endfor %}}" * 3 + "{{% endif %}}"
LONG = "{{% for a in range(99999) %}}{{% for b in range(99) %}}xxxxxxxxxxxxxxxx{{% endfor %}}{{% endfor %}}"
HUGE = '{{ "x".ljust(200000000) }}'
# The longest a run whose template is refused may take, in seconds; refusing takes milliseconds.
AT_ONCE = 1.0


def refused_or_failed(kala, job, eventually) -> None:
    """Check that the job is refused, or that its run fails, at once."""
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
def test_a_template_that_takes_much_time_or_memory_is_refused(under_attack, eventually, crowd, templates):
    with under_attack() as scene:
        for template in templates:
            # One for each starter thread.
            for number in range(3):
                job = {"name": f"heavy {number}", "command": f"echo {template}", "TemplateDelimiters": GO}
                crowd.connect(scene.kala.address, 1, request("POST", "/job/", job))
            time.sleep(0.5)
            refused_or_failed(scene.kala, job, eventually)
        scene.wait_until(3)


def test_an_http_template_that_takes_much_time_or_memory_is_refused(under_attack, eventually, stranger):
    server = stranger(lambda client, _: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    with under_attack() as scene:
        for call in ({"url": f"{server.address}/{HUGE}"}, {"url": server.address, "method": "POST", "body": HUGE}):
            job = {"name": "heavy", "type": 1, "remote_properties": call, "TemplateDelimiters": GO}
            refused_or_failed(scene.kala, job, eventually)
        scene.wait_until(3)
