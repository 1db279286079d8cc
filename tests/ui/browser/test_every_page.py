"""What holds for every page: no violation of WCAG 2.2 AA, no error, no foreign request, and room on a phone."""

import re

import pytest

from kala.ui.routes import PAGES

HTML = [route for route in PAGES if route.method == "GET" and not route.path.startswith("/static/")]


@pytest.fixture
def kala(shared):
    return shared[0]


@pytest.fixture
def busy(shared):
    return shared[1]


def path_of(route, kala) -> str:
    """Return a path of the route, for a job that fails or its run, where it names one."""
    values = iter(["ann" if route.path.startswith("/users/") else "ci"])
    if "{id}" in route.path:
        job_id = kala.ids["Failing <b>import</b>"]
        is_run = route.path.startswith("/runs/")
        values = iter([str(kala.runs(job_id, 1)[0]["id"]) if is_run else job_id])
    return re.sub(r"{\w+}", lambda _: next(values), route.path)


def is_page(page) -> bool:
    return page.evaluate("document.contentType") == "text/html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
def test_a_full_page_is_accessible(busy, browse, accessible, route, scheme):
    accessible(browse(busy, path_of(route, busy), color_scheme=scheme))


@pytest.mark.parametrize("route", [route for route in HTML if "{" not in route.path], ids=lambda route: route.path)
def test_an_empty_page_is_accessible(kala, browse, accessible, route):
    accessible(browse(kala, route.path))


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
def test_a_page_fits_on_a_phone(busy, browse, route, has_scripts):
    page = browse(busy, path_of(route, busy), width=360, height=740, java_script_enabled=has_scripts)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", ["/nothing", "/jobs/nothing", "/runs/999999", "/jobs?colour=red"])
def test_the_page_of_an_error_is_accessible(kala, browse, accessible, path):
    page = browse(kala)
    page.watch.expected.append("Failed to load resource")
    assert page.goto(path).status in (400, 404)
    accessible(page)
    assert page.get_by_role("alert").is_visible()
