"""What keeps strangers and the texts of jobs from acting in the browser of a person who uses the pages."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

import kala.ui
from kala.api.routes import ROUTES
from kala.ui.routes import PAGES

UI = Path(kala.ui.__file__).parent
TEMPLATES = sorted((UI / "templates").rglob("*.html"))
SCRIPTS = sorted((UI / "static/js").glob("*.js"))
HTML = [route for route in PAGES if route.method == "GET" and not route.path.startswith("/static/")]
FORMS = [route for route in PAGES if route.method == "POST"]
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Each text ends an attribute, an element, a comment and a script, where it is not escaped.
EVIL = "</script><x-evil onclick=\"a()\" title='b'>--> {{ 7 * 7 }} &lt;x-evil&gt; \N{UNICORN FACE} \u05d0\u05d1 \u0441"
FIELDS = {
    "name": EVIL,
    "command": f"cat <<'END'\n{EVIL}\n\u202eEND\nEND\nexit 1",
    "owner": EVIL,
    "tags": ["x-evil>", "\N{UNICORN FACE}'\""],
    "working_directory": "/",
    "schedule": "manual",
}
NAMES = (
    "name next actor action target until refused before q state owner tag job since sort depth after from tail pool"
    " cause copy"
).split()


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def assert_harmless(self) -> None:
        for tag, attributes in self.elements:
            assert tag not in ("x-evil", "style", "base", "iframe", "object", "embed")
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            assert not [value for value in attributes.values() if re.match(r"(?i)\s*(javascript|data):", value or "")]
            assert tag != "script" or attributes["src"].startswith("/static/")


def ask(api, path: str, method: str = "GET", **headers: str):
    return api.ask(method, path, Accept="text/html", **headers)


@pytest.fixture(scope="module")
def evil(live_kala) -> dict[str, str]:
    """A job whose texts are HTML, and its failed run: their ids."""
    live_kala.renew()
    job = live_kala.create(**FIELDS, on_failure_job=live_kala.create(name=f"on failure {EVIL}", schedule="manual"))
    live_kala.create(name=f"child {EVIL}", parent_jobs=[job])
    live_kala.ask("POST", f"/api/v1/job/start/{job}/")
    live_kala.await_job(job, error_count=1)
    live_kala.ask("POST", "/api/v1/user/", {"name": "ann", "role": "viewer", "owners": [EVIL]})
    live_kala.ask("POST", "/api/v1/token/", {"name": "ci", "role": "viewer", "owners": [EVIL]})
    return {
        "users": "ann",
        "tokens": "ci",
        "jobs": job,
        "runs": str(live_kala.ask("GET", f"/api/v1/job/{job}/runs/").json["runs"][0]["id"]),
    }


@pytest.fixture
def api(live_kala):
    """A Kala with these jobs, which no test here changes."""
    live_kala.close()  # as Kala closes connections that are idle for long
    return live_kala


def path_of(route, ids) -> str:
    return re.sub("{id}|{name}", ids.get(route.path.split("/")[1], ""), route.path)


class TestHeaders:
    @pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
    def test_of_each_page_forbid_what_is_not_kalas_own(self, api, evil, route):
        response = ask(api, path_of(route, evil))
        assert response.status == 200
        assert_strict(response.headers)
        assert response.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", ["/nothing", "/jobs?colour=red", "/runs/999999", "/graph?job=none"])
    def test_of_an_error_page_are_as_strict(self, api, path):
        response = ask(api, path)
        assert response.status in (400, 404)
        assert_strict(response.headers)

    @pytest.mark.parametrize("path", ["/jobs", "/api/v1/job/", "/nothing"])
    def test_set_no_cookie(self, api, path):
        assert "Set-Cookie" not in ask(api, path).headers


def assert_strict(headers) -> None:
    assert dict(part.split(maxsplit=1) for part in headers["Content-Security-Policy"].split(";")) == POLICY
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


class TestSources:
    @pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
    def test_of_templates_have_nothing_inline(self, path):
        source = path.read_text()
        assert not re.findall(r"<style|\sstyle=|[\s\"']on[a-z]+=|javascript:", source, re.IGNORECASE)
        scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", source, re.DOTALL)
        assert len(scripts) == source.count("<script")
        assert not [one for one in scripts if "src=" not in one[0] or one[1]]

    def test_of_templates_trust_only_pictures_without_any_text_of_a_job(self):
        sources = {path.name: path.read_text() for path in TEMPLATES}
        trusted = [
            found for source in sources.values() for found in re.findall(r"{{ ([\w.]+)[^}]*\|\s*safe\s*}}", source)
        ]
        assert sorted(trusted) == ["shape", "svg.durations", "svg.sparkline"]
        assert sum(source.count("safe") for source in sources.values()) == len(trusted)
        assert not [name for name, source in sources.items() if re.search(r"autoescape|Markup", source)]

    @pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
    def test_of_scripts_make_no_html_of_text(self, path):
        ways = r"outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\s*[\"'](?:on|style)"
        assert not re.findall(ways, path.read_text())


class TestTexts:
    @pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
    def test_of_jobs_appear_as_text_only(self, api, evil, route):
        parsed = Parsed(ask(api, path_of(route, evil)).body.decode())
        parsed.assert_harmless()
        assert "49" not in parsed.text.split() or "{{ 7 * 7 }}" in parsed.text

    @pytest.mark.parametrize("path", ["/jobs", "/graph?job={jobs}", "/runs", "/runs/{runs}"])
    def test_of_jobs_appear_unchanged(self, api, evil, path):
        assert EVIL in Parsed(ask(api, path.format(**evil)).body.decode()).text

    @pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
    def test_of_a_link_appear_as_text_only(self, api, evil, route):
        for name in NAMES:
            response = ask(api, f"{path_of(route, evil)}?{name}={quote(EVIL)}")
            assert response.status in (200, 400, 404)
            Parsed(response.body.decode()).assert_harmless()

    def test_of_a_path_appear_as_text_only(self, api):
        for path in ("/{}", "/jobs/{}", "/runs/{}", "/static/{}/kala.css"):
            response = ask(api, path.format(quote(EVIL, safe="")))
            assert response.status in (400, 404)
            Parsed(response.body.decode()).assert_harmless()


CROSS = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


class TestOtherSites:
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
    def test_can_link_to_each_page(self, api, evil, route, site):
        assert ask(api, path_of(route, evil), **CROSS | {"Sec_Fetch_Site": site}).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            *({"Sec_Fetch_Dest": dest} for dest in "iframe frame object embed empty script image".split()),
            *({"Sec_Fetch_Mode": mode} for mode in "no-cors cors same-origin websocket".split()),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("route", HTML, ids=lambda route: route.path)
    def test_can_neither_frame_nor_fetch_a_page(self, api, route, headers):
        response = ask(api, route.path.replace("{id}", "1"), **CROSS | headers)
        assert response.status == 403
        assert b"Sec-Fetch-Site" in response.body

    @pytest.mark.parametrize("route", [one for one in ROUTES if not one.any_host], ids=lambda route: route.operation_id)
    def test_cannot_use_the_api_by_a_link(self, api, evil, route):
        kept = api.jobs()
        response = ask(api, path_of(route, evil), route.method, **CROSS)
        assert response.status == 403
        assert api.jobs() == kept

    @pytest.mark.parametrize("route", FORMS, ids=lambda route: route.path)
    def test_cannot_send_a_form(self, api, evil, route):
        for headers in (CROSS, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert ask(api, path_of(route, evil), "POST", **headers).status == 403
        assert len(api.jobs()) == 3
