"""Chromium on the pages of a real Kala. Whatever a page does wrong in a test's background fails that test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from process import Kala, api, gate, make, serve, soon, wait

__all__ = ("api", "gate", "make", "serve", "soon", "wait")

CHROMIUM = "/usr/bin/chromium"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
WATCH_POLICY = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The tests may run as root, for whom Chromium's sandbox does not work.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watch:
    """What went wrong on the pages that a test opened."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self.problems: list[str] = []
        self.expected: list[str] = []
        """Parts of problems that the test provokes."""

    def add(self, page: Page) -> None:
        page.add_init_script(WATCH_POLICY)
        page.on("console", lambda message: self._note(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._note(f"error: {error}"))
        page.on("request", self._check)

    def _check(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.netloc != self._host:
            self._note(f"a request to another server: {request.url}")

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def check(self, pages: list[Page]) -> None:
        for page in pages:
            if not page.is_closed():
                self.problems += page.evaluate("window.violations ?? []")
        left = [one for one in self.problems if not any(part in one for part in self.expected)]
        assert not left, left


@pytest.fixture
def browse(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page of a Kala: `browse(kala, "/jobs", width=360, color_scheme="dark", java_script_enabled=False)`.

    Further options are those of Playwright's Browser.new_context. `page.watch` has the problems; a test that provokes
    some says so in `page.watch.expected`. All others fail the test at its end.
    """
    opened: list[tuple[Watch, Any]] = []

    def browse(kala: Kala, path: str = "/", *, width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=kala.address, viewport={"width": width, "height": height}, locale="en-US", **options
        )
        context.set_default_timeout(20_000)
        watch = Watch(kala.address)
        context.on("page", watch.add)
        opened.append((watch, context))
        page = context.new_page()
        page.watch = watch
        page.goto(path)
        return page

    yield browse
    try:
        for watch, context in opened:
            watch.check(context.pages)
    finally:
        for _, context in opened:
            context.close()


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Check a page by axe: `accessible(page)`."""

    def accessible(page: Page) -> None:
        # By evaluate, as the page's policy allows no script element with content.
        page.evaluate(AXE)
        found = page.evaluate("(rules) => axe.run(document, rules)", RULES)
        assert not [
            (violation["id"], node["html"][:200], node["failureSummary"])
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    return accessible


@pytest.fixture
def kala(serve: Callable[..., Kala]) -> Kala:
    """A Kala without jobs."""
    return serve()


@pytest.fixture
def busy(kala: Kala) -> Kala:
    """A Kala with jobs in all states: `busy.ids` has the ids of the jobs by name."""
    return fill(kala)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kala, Kala]]:
    """An empty Kala and a busy one, for tests that change nothing."""
    both = [Kala(tmp_path_factory.mktemp(name)) for name in ("empty", "busy")]
    try:
        for one in both:
            one.start()
        fill(both[1])
        yield both[0], both[1]
    finally:
        for one in both:
            one.close()


def fill(kala: Kala) -> Kala:
    """Create jobs in all states."""
    ids = kala.ids = {}
    every_hour = "R/2030-01-01T00:00:00Z/PT1H"
    for name, fields in {
        "Nightly backup of db1": {"command": "echo dumped 12 tables", "schedule": "30 2 * * *", "tags": ["db"]},
        "Failing <b>import</b>": {"command": "echo no such table >&2; exit 3", "schedule": every_hour},
        "Waiting": {"command": "sleep 600", "schedule": "manual", "owner": "ops@example.com"},
        "Disabled": {"schedule": every_hour, "disabled": True},
        "Report": {"schedule": "manual", "on_failure_job": "Failing <b>import</b>"},
    }.items():
        ids[name] = kala.create(name=name, **fields)
    kala.request("POST", "/user/", {"name": "ann", "role": "operator", "owners": ["*@example.com"]})
    kala.request("POST", "/token/", {"name": "ci", "role": "editor"})
    ids["Child"] = kala.create(name="Child", parent_jobs=[ids["Report"]])
    for name in ("Nightly backup of db1", "Failing <b>import</b>", "Waiting", "Waiting", "Report"):
        kala.go(ids[name])
    for name in ("Nightly backup of db1", "Failing <b>import</b>", "Report", "Child"):
        kala.runs(ids[name], 1)
    return kala
