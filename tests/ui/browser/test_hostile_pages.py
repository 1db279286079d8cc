"""A page of somebody else in the browser of somebody who may use Kala: it changes nothing, and reads nothing.

The page tries the same for a caller whom the machine knows, and for one who has logged in.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Page
from process import PATIENCE, Kala

FAR = "R/2099-01-01T00:00:00Z/PT1H"
SECRET = "meadow-saffron"
PASSWORD = "seven quiet herons at dawn"
# Names that only this browser knows: of a site of its own, and of one whose address changes to that of Kala.
FOREIGN, REBOUND = "foreign.test", "rebound.test"

READ = """
/api/v1/job/ /api/v1/me/ /api/v1/stats/ /api/v1/run/1/ /api/v1/run/1/output /api/v1/config/ /api/v1/user/ /api/v1/token/
/api/v1/audit/ /api/v1/graph/?format=dot /api/v1/events/ /api/v1/openapi.json / /jobs /runs/1 /settings /api /system
/users /tokens /account /login
""".split()

# All that a page can do with the requests of others. It returns what it could read, and how often it tried.
ATTACK = """
async ({kala, reads, changes, secret, patience}) => {
  const seen = [], tried = {};
  const count = (what) => { tried[what] = (tried[what] ?? 0) + 1; };
  const limit = (promise) => Promise.race([promise, new Promise((done) => setTimeout(done, patience))]);
  const read = async (what, response) => {
    if (response.type === "opaque") return;
    const reader = response.body?.getReader();
    const part = reader ? await limit(reader.read()) : undefined;
    const text = part?.value ? new TextDecoder().decode(part.value) : "";
    if (response.ok) seen.push(`${what}: ${response.status} ${text.slice(0, 2000)}`);
    reader?.cancel().catch(() => {});
  };
  const get = async (what, url, options) => {
    count(what);
    const abort = new AbortController();
    const end = setTimeout(() => abort.abort(), patience);
    try { await read(`${what} ${url}`, await fetch(url, {...options, signal: abort.signal})); }
    catch (error) { if (!(error instanceof TypeError || error.name === "AbortError")) seen.push(String(error)); }
    clearTimeout(end);
  };
  const element = (what, name, attributes) => {
    count(what);
    return limit(new Promise((done) => {
      const one = document.createElement(name);
      one.onload = one.onerror = one.onloadeddata = () => done(one);
      Object.assign(one, attributes);
      document.body.append(one);
    })).then((one) => {
      try { if (one?.contentDocument?.body?.innerText.includes(secret)) seen.push(`${what} shows it`); } catch {}
      try { if (one?.sheet?.cssRules.length) seen.push(`${what} has rules`); } catch {}
    });
  };
  const form = (what, {method, path, fields, enctype}, sandbox) => {
    count(what);
    const frame = document.createElement("iframe");
    frame.name = `frame ${Math.random()}`;
    document.body.append(frame);
    const inputs = Object.entries(fields).map(([name, value]) =>
      Object.assign(document.createElement("input"), {type: "hidden", name, value}));
    const one = Object.assign(document.createElement("form"), {method, action: kala + path, enctype});
    one.append(...inputs);
    if (sandbox) {
      frame.sandbox = "allow-scripts allow-forms";
      frame.srcdoc = `${one.outerHTML}<script>document.forms[0].submit()<\\/script>`;
      // The page of the frame, then the response to its form.
      let loads = 0;
      return limit(new Promise((done) => { frame.onload = () => (loads += 1) === 2 && done(); }));
    }
    one.target = frame.name;
    document.body.append(one);
    const loaded = new Promise((done) => { frame.onload = done; });
    one.submit();
    return limit(loaded);
  };

  const credentials = ["include", "omit"];
  await Promise.all(reads.flatMap((path) => {
    const src = kala + path;
    return [
      ...["cors", "no-cors", "same-origin"].flatMap((mode) =>
        credentials.map((credentials) => get(`fetch ${mode}`, src, {mode, credentials}))),
      get("fetch with a header", src, {credentials: "include", headers: {"X-Requested-With": "XMLHttpRequest"}}),
      element("img", "img", {src}),
      element("script", "script", {src}),
      element("module", "script", {type: "module", src}),
      element("style sheet", "link", {rel: "stylesheet", href: src}),
      element("prefetch", "link", {rel: "prefetch", href: src}),
      element("iframe", "iframe", {src}),
      element("object", "object", {data: src}),
      element("embed", "embed", {src}),
      element("video", "video", {src, preload: "auto"}),
    ];
  }));
  await Promise.all(changes.flatMap(({method, path, body, fields}) => {
    const sent = fields ?? {[(body ?? "{}").slice(0, -1) + ',"owner":"']: '"}'};
    const types = ["application/json", "text/plain", "application/x-www-form-urlencoded"];
    count("beacon");
    navigator.sendBeacon(kala + path, new Blob([body ?? ""], {type: "text/plain"}));
    return [
      ...types.flatMap((type) => credentials.flatMap((credentials) => ["cors", "no-cors"].map((mode) =>
        get(`change ${mode}`, kala + path,
          {method, body, mode, credentials, headers: {"Content-Type": type}, referrerPolicy: "no-referrer"})))),
      get("change kept alive", kala + path, {method, body, keepalive: true, credentials: "include", mode: "no-cors"}),
      ...["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"].flatMap((enctype) => [
        form("form", {method: "post", path, fields: sent, enctype}),
        form("form of a sandbox", {method: "post", path, fields: sent, enctype}, true),
      ]),
      form("form by GET", {method: "get", path, fields: fields ?? {}, enctype: ""}),
    ];
  }));
  await limit(new Promise((done) => {
    count("EventSource");
    const source = new EventSource(`${kala}/api/v1/events/`, {withCredentials: true});
    source.onopen = () => { seen.push("EventSource is open"); done(); };
    source.onmessage = (event) => seen.push(`EventSource: ${event.data}`);
    source.onerror = () => { source.close(); done(); };
  }));
  for (const path of ["/api/v1/events/", "/", "/api/v1/job/"]) await limit(new Promise((done) => {
    count("WebSocket");
    const socket = new WebSocket(kala.replace("http", "ws") + path);
    socket.onopen = () => { seen.push("WebSocket is open"); done(); };
    socket.onclose = done;
  }));
  for (const path of ["/", "/jobs", "/api/v1/job/", "/runs/1"]) {
    count("window");
    const opened = window.open(kala + path);
    await new Promise((done) => setTimeout(done, 400));
    try { if (opened?.document.body.innerText.includes(secret)) seen.push(`a window shows ${path}`); } catch {}
    opened?.close();
  }
  return {seen, tried};
}
"""


class _Handler(BaseHTTPRequestHandler):
    """Any path is an empty page that sends no referrer, or one that does."""

    def do_GET(self) -> None:
        policy = "no-referrer" if "quiet" in self.path else "unsafe-url"
        body = f"<!doctype html><meta name=referrer content={policy}><title>Win a prize</title><body>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[Any]:
    """A browser for which the names of the attacker are this machine. No page may open windows on its own, but here."""
    rules = f"MAP {FOREIGN} 127.0.0.1, MAP {REBOUND} 127.0.0.1"
    arguments = ["--no-sandbox", f"--host-resolver-rules={rules}", "--disable-popup-blocking"]
    browser = chromium.browser_type.launch(executable_path="/usr/bin/chromium", args=arguments)
    yield browser
    browser.close()


class Victim:
    """A Kala with a secret, and the browser of somebody who may use it."""

    def __init__(self, kala: Kala, context: BrowserContext, admin: dict[str, str]) -> None:
        self.kala = kala
        self.context = context
        self.admin = admin
        self.job = self._ask("POST", "/api/v1/job/", {"name": SECRET, "command": f"echo {SECRET}", "schedule": FAR})[
            "id"
        ]
        self._ask("POST", f"/api/v1/job/start/{self.job}/")
        kala.runs(self.job, 1)
        for name, role in (("victim", "admin"), ("mallory", "viewer")):
            self._ask("POST", "/api/v1/user/", {"name": name, "role": role, "password": PASSWORD})
        self.session = self._ask("POST", "/api/v1/session/", {"name": "victim", "password": PASSWORD})["token"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self.context.request.fetch(
            self.kala.address + path, method=method, data=None if body is None else json.dumps(body), headers=self.admin
        )
        assert response.ok, response.text()
        return response.json() if response.body() else None

    def changes(self) -> list[dict[str, Any]]:
        """Return requests that would change something, and for those of forms their fields."""
        job = {"name": "evil", "command": "id", "schedule": FAR}
        login = {"name": "mallory", "password": PASSWORD}
        account = {"name": "evil", "role": "admin", "password": PASSWORD}
        return [
            {"method": "POST", "path": "/api/v1/job/", "body": json.dumps(job)},
            {"method": "PUT", "path": f"/api/v1/job/{self.job}/", "body": json.dumps(job)},
            {"method": "PATCH", "path": f"/api/v1/job/{self.job}/", "body": '{"command":"id"}'},
            {"method": "POST", "path": f"/api/v1/job/start/{self.job}/"},
            {"method": "POST", "path": "/api/v1/job/bulk/", "body": json.dumps({"action": "start", "all": True})},
            {"method": "DELETE", "path": "/api/v1/job/all/"},
            {"method": "DELETE", "path": f"/api/v1/job/{self.job}/"},
            {"method": "POST", "path": "/api/v1/user/", "body": json.dumps(account)},
            {"method": "POST", "path": "/api/v1/token/", "body": json.dumps({"name": "evil", "role": "admin"})},
            {"method": "POST", "path": "/api/v1/session/", "body": json.dumps(login), "fields": login},
            {"method": "DELETE", "path": "/api/v1/session/?all=true"},
            {"method": "POST", "path": "/login", "body": "name=mallory", "fields": login},
            {"method": "POST", "path": "/logout", "fields": {}},
            {"method": "POST", "path": f"/jobs/{self.job}/start", "fields": {}},
            {"method": "POST", "path": "/users", "fields": {"name": "evil", "role": "admin"}},
            {"method": "POST", "path": "/users/mallory", "fields": {"role": "admin"}},
            {"method": "POST", "path": "/users/mallory/invite", "fields": {}},
            {"method": "POST", "path": "/users/victim/logout", "fields": {}},
            {"method": "POST", "path": "/users/victim/delete", "fields": {}},
            {"method": "POST", "path": "/tokens", "fields": {"name": "evil", "role": "admin"}},
            {"method": "POST", "path": f"/jobs/{self.job}/delete", "fields": {}},
            {"method": "POST", "path": "/jobs/new", "fields": {"name": "evil", "command": "id", "schedule": FAR}},
        ]

    def state(self) -> dict[str, Any]:
        """Return what the attacks are about: jobs, runs, users, tokens, logins."""
        tables = {
            "job": "*",
            "run": "*",
            "account": "*",
            "token": "name, digest, role",
            "login": "digest, user_name",
            "invitation": "*",
        }
        rows = {
            name: [tuple(row) for row in self.kala.query(f"SELECT {columns} FROM {name} ORDER BY 1")]
            for name, columns in tables.items()
        }
        rows["cookies"] = [(one["name"], one["value"], one["path"]) for one in self.context.cookies()]
        return rows

    def attack(
        self, page: Page, reads: list[str] = READ, changes: list[dict[str, Any]] | None = None, to: str = ""
    ) -> Any:
        return page.evaluate(
            ATTACK,
            {
                "kala": to or self.kala.address,
                "reads": reads,
                "changes": self.changes() if changes is None else changes,
                "secret": SECRET,
                "patience": 5000,
            },
        )


@pytest.fixture(params=["known to the machine", "logged in"])
def victim(request, make, browser) -> Iterator[Victim]:
    """Kala runs as another user, where a login counts alone."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    with tempfile.TemporaryDirectory(prefix="kala-") as folder:
        Path(folder).chmod(0o777)
        kala = make(home=Path(folder))
        admin = {}
        if request.param == "logged in":
            if os.geteuid() != 0 or not shutil.which("setpriv"):
                pytest.skip("only root can run Kala as another user; needs setpriv")
            Path(folder, "token").write_text("t" * 40)
            Path(folder, "token").chmod(0o644)
            kala.environ["KALA_ADMIN_TOKEN_FILE"] = f"{folder}/token"
            admin = {"Authorization": f"Bearer {'t' * 40}"}
            become = ["setpriv", "--reuid=64321", "--regid=64321", "--clear-groups", "--inh-caps=+dac_override"]
            kala.command = [*become, "--ambient-caps=+dac_override", *kala.command]
        kala.start()
        victim = Victim(kala, context, admin)
        if admin:
            [[instance]] = kala.query("SELECT id FROM instance")
            given = {"httpOnly": True, "sameSite": "Lax", "url": kala.address}
            context.add_cookies([{"name": f"kala-{instance}", "value": victim.session, **given}])
        yield victim
        context.close()
        kala.close()


def test_a_page_of_another_port_or_another_host_changes_nothing_and_reads_nothing(victim, elsewhere):
    before = victim.state()
    for place in (
        f"http://127.0.0.1:{elsewhere}/quiet",
        f"http://localhost:{elsewhere}/",
        f"http://{FOREIGN}:{elsewhere}/",
    ):
        page = victim.context.new_page()
        page.goto(place)
        found = victim.attack(page)
        assert found["seen"] == [], place
        assert min(found["tried"].values()) > 0
        assert victim.state() == before, place
        page.close()
    assert "Traceback" not in victim.kala.log


def test_a_page_whose_name_becomes_the_address_of_kala_changes_nothing_and_reads_nothing(victim):
    """DNS rebinding: for the browser, page and Kala are one origin then."""
    before = victim.state()
    origin = victim.kala.address.replace("127.0.0.1", REBOUND)
    victim.context.route(
        f"{origin}/prize", lambda route: route.fulfill(body="<!doctype html><body>", content_type="text/html")
    )
    page = victim.context.new_page()
    page.goto(f"{origin}/prize")
    found = victim.attack(page, to=origin)
    # Kala's icon and styles are no secret, and nothing else is given to a foreign name.
    assert [one for one in found["seen"] if "/static/" not in one] == []
    assert victim.state() == before


def test_a_form_that_takes_the_whole_window_changes_nothing(victim, elsewhere):
    before = victim.state()
    page = victim.context.new_page()
    for change in victim.changes():
        for place in (f"http://127.0.0.1:{elsewhere}/quiet", f"http://{FOREIGN}:{elsewhere}/"):
            page.goto(place)
            fields = change.get("fields") or {change.get("body", "{}"): ""}
            with page.expect_navigation():
                page.evaluate(
                    """([action, fields]) => {
                      const form = document.createElement("form");
                      Object.assign(form, {method: "post", action, enctype: "text/plain"});
                      for (const [name, value] of Object.entries(fields))
                        form.append(Object.assign(document.createElement("input"), {name, value}));
                      document.body.append(form);
                      form.submit();
                    }""",
                    [victim.kala.address + change["path"], fields],
                )
            assert SECRET not in page.content()
    assert victim.state() == before


def test_a_link_from_elsewhere_opens_a_page_and_shows_the_api_to_nobody(victim, elsewhere):
    page = victim.context.new_page()
    before = victim.state()
    for path, shows in (("/jobs", True), ("/api/v1/job/", False), ("/api/v1/run/1/output", False)):
        page.goto(f"http://{FOREIGN}:{elsewhere}/")
        with page.expect_navigation():
            page.evaluate("(url) => { location.href = url; }", victim.kala.address + path)
        assert (SECRET in page.content()) is shows, path
    assert victim.state() == before


def test_the_same_requests_of_a_page_of_kala_do_what_they_ask_for(victim):
    """Or else the other tests would prove nothing."""
    page = victim.context.new_page()
    page.goto(victim.kala.address + "/api")
    changes = [one for one in victim.changes() if one["path"] == "/api/v1/job/"]
    try:
        found = victim.attack(page, ["/api/v1/job/"], changes)
    except Error as error:  # frames and windows of Kala's own pages are Kala's again
        pytest.fail(str(error))
    assert any(SECRET in one for one in found["seen"])
    assert [row for row in victim.state()["job"] if "evil" in map(str, row)]
