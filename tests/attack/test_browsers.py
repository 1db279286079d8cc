"""Browsers: which responses a page of another site can use, and which host names are accepted."""

import http.client
from contextlib import closing


def answer(kala, path, **headers) -> http.client.HTTPResponse:
    host = kala.address.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in {"Host": host, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response


def test_every_response_has_headers_that_isolate_it_from_other_sites(kala):
    run = kala.runs(kala.create(command="echo '<script>alert(1)</script>'"), 1)[0]
    for path in ("/", "/api/v1/stats/", "/api/v1/job/", "/api/v1/nothing/", f"/api/v1/run/{run['id']}/output"):
        headers = answer(kala, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Content-Security-Policy"], path
        assert headers["Cross-Origin-Resource-Policy"] in ("same-origin", "same-site"), path
        assert "no-store" in headers["Cache-Control"], path


FOREIGN = """
    [::1]evil.com [::1]evil.com:80 127.0.0.1:evil.com localhost:80:evil.com localhost@evil.com evil.com
    127.0.0.1.evil.com localhost.evil.com localhost/evil.com
""".split()
OWN = "localhost localhost:8000 127.0.0.1 [::1] [::1]:8000 LOCALHOST.".split()


def test_only_requests_for_a_host_name_of_kala_are_served(kala):
    served = [host for host in (*FOREIGN, *OWN) if answer(kala, "/api/v1/stats/", Host=host).status == 200]
    assert served == OWN


def test_no_job_name_can_forge_a_log_line(kala):
    """Such as with control, bidirectional or zero-width characters."""
    forging = "\u202e\u2066\u200b\ufeff\u00ad\x1b\x9b\u2028"
    for character in forging:
        status, body = kala.post("/job/", {"name": f"backup{character}moc.live", "command": "/bin/false"})
        assert status in (201, 400), body
        if status == 201:
            kala.runs(body["id"], 1)
    kala.settle()
    assert not set(forging) & set(kala.log)
