"""Kala below a path of a reverse proxy, which removes the path or does not."""

import json
import re
from html import unescape

import pytest
from live_api import running

from kala.api.route import Table
from kala.ui.routes import PAGES

HTML = [route for route in PAGES if route.method == "GET" and not route.path.startswith("/static/")]


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    with running(tmp_path_factory.mktemp("below"), base_path="/kala") as api:
        yield api


@pytest.fixture
def api(below):
    """A Kala that is offered at `/kala`."""
    below.close()  # as Kala closes connections that are idle for long
    return below


@pytest.fixture(params=["", "/kala"], ids=["removed", "kept"])
def prefix(request):
    """What precedes the paths of requests when they reach Kala."""
    return request.param


@pytest.fixture(scope="module")
def ids(below) -> dict[str, str]:
    """A job that has failed, and its run: their ids."""
    job = below.create(command="exit 1", owner="ann", tags=["db"])
    below.create(name="child", parent_jobs=[job])
    below.ask("POST", f"/api/v1/job/start/{job}/")
    below.await_job(job, error_count=1)
    below.ask("POST", "/api/v1/user/", {"name": "ann", "role": "viewer"})
    below.ask("POST", "/api/v1/token/", {"name": "ci", "role": "viewer"})
    return {
        "users": "ann",
        "tokens": "ci",
        "jobs": job,
        "runs": str(below.ask("GET", f"/api/v1/job/{job}/runs/").json["runs"][0]["id"]),
    }


def path_of(route, ids) -> str:
    return re.sub("{id}|{name}", ids.get(route.path.split("/")[1], ""), route.path)


def page(api, path: str) -> str:
    response = api.ask("GET", path, Accept="text/html")
    assert response.status == 200, response.body
    return response.body.decode()


def links(html: str, *attributes: str) -> set[str]:
    """Return the values of these attributes that are paths of other pages or files."""
    found = re.findall(rf'(?:{"|".join(attributes or ("href", "src"))})="([^"]*)"', html)
    return {unescape(link).partition("#")[0] for link in found} - {""}


@pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
def test_each_link_is_below_the_path(api, ids, prefix, route):
    html = page(api, prefix + path_of(route, ids))
    assert 'data-base="/kala"' in html
    for link in links(html, "href", "src", "action", "formaction"):
        assert link.startswith("/kala/")


def test_each_link_leads_to_a_page_or_a_file_and_each_form_to_a_route(api, ids):
    pages = [page(api, path_of(route, ids)) for route in HTML]
    for link in set().union(*map(links, pages)):
        for path in (link, link.removeprefix("/kala")):
            assert api.ask("GET", path, Accept="text/html").status == 200, path
    routes = Table(PAGES)
    for form in set().union(*(links(html, "action", "formaction") for html in pages)):
        path = form.removeprefix("/kala").partition("?")[0]
        assert routes.find(path, "POST")[0] or routes.find(path, "GET")[0], form


def test_the_path_itself_is_the_overview(api, prefix):
    assert "Overview" in page(api, "/kala")
    assert "Overview" in page(api, "/kala/")
    assert "Overview" in page(api, "/")


def test_static_files_are_below_it(api, prefix):
    for link in links(page(api, f"{prefix}/jobs")):
        if link.startswith("/kala/static/"):
            response = api.ask("GET", prefix + link.removeprefix("/kala"))
            assert (response.status, response.headers["Cache-Control"]) == (
                200,
                "public, max-age=31536000, immutable",
            )


def test_a_form_leads_to_a_page_below_it(api, ids, prefix):
    response = api.ask("POST", f"{prefix}/runs/{ids['runs']}/retry", b"", Accept="text/html")
    assert response.status == 303
    assert re.fullmatch(r"/kala/runs/\d+", response.headers["Location"])
    page(api, response.headers["Location"])


def test_a_form_leads_back_to_the_page_that_it_was_on(api, prefix):
    job = api.create(command="sleep 600")
    for _ in range(2):
        api.ask("POST", f"/api/v1/job/start/{job}/")
    html = page(api, f"{prefix}/runs?state=queued")
    response = api.submit(f"{prefix}/runs/cancel", **dict(re.findall(r'name="(\w+)" value="([^"]*)"', html)))
    assert (response.status, response.headers["Location"]) == (303, "/kala/runs?state=queued")


def test_the_api_is_below_it(api, prefix):
    job = api.ask("POST", f"{prefix}/api/v1/job/", {"name": "a job", "command": "true", "schedule": "manual"}).json[
        "id"
    ]
    started = api.ask("POST", f"{prefix}/api/v1/job/start/{job}/?return=run")
    assert started.headers["Location"] == f"/kala/api/v1/run/{started.json['run']['id']}/"
    assert api.ask("GET", started.headers["Location"]).status == 200
    assert api.ask("GET", f"{prefix}/api/v1/openapi.json").status == 200


def test_an_error_of_the_api_is_json_and_that_of_a_page_is_a_page(api, prefix):
    assert json.loads(api.ask("GET", f"{prefix}/api/v1/job/nothing/", Accept="text/html").body)
    response = api.ask("GET", f"{prefix}/jobs/nothing", Accept="text/html")
    assert response.status == 404
    assert all(link.startswith("/kala/") for link in links(response.body.decode()))


@pytest.mark.parametrize("path", ["/kalajobs", "/kala.evil/jobs", "/kala/kala/jobs"])
def test_a_path_that_only_looks_like_it_is_404(api, path):
    assert api.ask("GET", path, Accept="text/html").status == 404


def test_its_own_address_is_for_commands_to_copy(api, prefix):
    assert f"KALA=http://{api.host}:{api.port}/kala\n" in page(api, f"{prefix}/api/")
