"""Reverse proxies, with the configurations of docs/proxy.md. Needs root; downloads nginx and Caddy."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import textwrap
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from box import CACHE
from conftest import ROOT
from process import Kala, eventually

from kala.access.credentials import new_secret

pytestmark = pytest.mark.timeout(120)

PAGE = (ROOT / "docs/proxy.md").read_text()
HOST = "kala.example.org"
CLIENT = "127.0.0.2"  # of this machine, but not the address that the proxies connect from
TOKEN = new_secret()
PASSWORD = "four words in a row"
SIGNED = f"-days 2 -subj /CN={HOST} -addext subjectAltName=DNS:{HOST},DNS:example.org"


def blocks(title: str) -> list[str]:
    """Return the code below a heading of the page."""
    [section] = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n(?:\n+(?=    ))?)+", section, re.MULTILINE)]


PASSED_ON, LOGS_IN, BELOW_A_PATH = "Kala asks for the login", "The proxy logs people in", "Below a path"


# Debian's packages, unpacked: to install them would start their services here.
PLACE = CACHE / "proxies"
NGINX, CADDY = PLACE / "root/usr/sbin/nginx", PLACE / "root/usr/bin/caddy"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture(scope="module", autouse=True)
def _proxies():
    subprocess.run([ROOT / "packaging/need.sh", "curl", "openssl", "util-linux"], check=True)
    if not CADDY.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", "nginx", "caddy"]
        subprocess.run(download, cwd=PLACE, check=True)
        for package in sorted(PLACE.glob("*.deb"), reverse=True):
            subprocess.run(["dpkg-deb", "--extract", package, PLACE / "root"], check=True)


class Said(NamedTuple):
    status: int
    head: str
    body: str

    @property
    def json(self):
        return json.loads(self.body)


class Place:
    """A folder, and the processes and ports of one test."""

    def __init__(self, folder: Path, after: ExitStack) -> None:
        self.folder = folder
        self.after = after
        self.port = free_port()
        self.kala = Kala(folder / "kala", environ={"KALA_ADMIN_TOKEN_FILE": str(folder / "token")})

    def start_kala(self, settings: str) -> None:
        self.kala.config.write_text(settings)
        self.kala.start()
        self.after.callback(self.kala.close)

    def filled(self, text: str) -> str:
        """Return a configuration with what this machine has in place of what the page has."""
        own = {
            "127.0.0.1:8000": self.kala.address.removeprefix("http://"),
            "127.0.0.1:9091": f"127.0.0.1:{self.login_service()}" if "9091" in text else "",
            "/etc/ssl/kala.example.org.pem": str(self.folder / "cert.pem"),
            "/etc/ssl/private/kala.example.org.key": str(self.folder / "key.pem"),
            "/etc/nginx/kala.htpasswd": str(self.folder / "htpasswd"),
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
        }
        for old, new in own.items():
            text = text.replace(old, new)
        return text

    def nginx(self, server: str) -> None:
        (self.folder / "htpasswd").write_text(f"ann:{{PLAIN}}{PASSWORD}\n")
        log = f"error_log {self.folder}/log; pid {self.folder}/pid; daemon off;"
        folders = "".join(f"{name}_temp_path {self.folder}/{name};" for name in TEMPORARY)
        config = f"user www-data; {log} events {{}} http {{ access_log off; {folders}\n{self.filled(server)}\n}}"
        (self.folder / "nginx.conf").write_text(config)
        self._run([NGINX, "-c", str(self.folder / "nginx.conf")], "")

    def caddy(self, site: str) -> None:
        hashed = subprocess.run([CADDY, "hash-password", "--plaintext", PASSWORD], capture_output=True, check=True)
        site = self.filled(site.replace("$2a$14$...", hashed.stdout.decode().strip()))
        tls = f"bind 127.0.0.1\n tls {self.folder}/cert.pem {self.folder}/key.pem\n"
        site = re.sub(r"^(\S*example\.org) \{\n", rf"https://\1:{self.port} {{\n {tls}", site)
        user = ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups"]
        config = f"{{\n admin off\n auto_https disable_redirects\n}}\n{site}"
        self._run([*user, "env", "HOME=/nonexistent", CADDY, "run", "--adapter=caddyfile", "--config=-"], config)

    def _run(self, command: list[str], text: str) -> None:
        with (self.folder / "log").open("ab") as log:
            proxy = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.after.callback(proxy.wait)
        self.after.callback(proxy.terminate)
        proxy.stdin.write(text.encode())
        proxy.stdin.close()
        eventually(lambda: proxy.poll() is not None or connects(self.port))
        assert proxy.poll() is None, (self.folder / "log").read_text()

    def login_service(self) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), LoginService)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.after.callback(server.server_close)
        self.after.callback(server.shutdown)
        return server.server_port

    def curl(self, path: str, *options: str, host: str = HOST) -> list[str]:
        here = ["--connect-to", f"{host}:443:127.0.0.1:{self.port}", "--interface", CLIENT]
        return [
            "curl",
            "-sS",
            "--max-time",
            "20",
            "--cacert",
            f"{self.folder}/cert.pem",
            *here,
            *options,
            f"https://{host}{path}",
        ]

    def ask(self, path: str, *options: str, host: str = HOST) -> Said:
        """Return the response to a client that comes from CLIENT."""
        command = self.curl(path, "-i", *options, host=host)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        head, _, body = done.stdout.partition("\n\n")
        return Said(int(head.split()[1]), head, body)


class LoginService(BaseHTTPRequestHandler):
    """What Authelia answers: who has logged in, by a cookie, or where to do that."""

    def do_GET(self) -> None:
        login = re.search(r"login=(\w+)", self.headers.get("Cookie", ""))
        self.send_response(200 if login else 302 if "forward-auth" in self.path else 401)
        if login:
            self.send_header("Remote-User", login[1])
            if login[1] != "loner":
                self.send_header("Remote-Groups", "ops,staff")
        else:
            self.send_header("Location", "https://login.example.org/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def place():
    """A place that the users of proxies can read."""
    with ExitStack() as after:
        folder = Path(tempfile.mkdtemp(prefix="kala-proxy-"))
        after.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        (folder / "kala").mkdir()
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        (folder / "header").write_text(f"Authorization: Bearer {TOKEN}\n")
        new = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {folder}/key.pem -out {folder}/cert.pem {SIGNED}"
        subprocess.run(new.split(), capture_output=True, check=True)
        (folder / "key.pem").chmod(0o644)
        yield Place(folder, after)


def with_token(place: Place) -> tuple[str, ...]:
    return ("-H", f"@{place.folder}/header")


def within_location(server: str, lines: str) -> str:
    return server.replace("    location / {\n", "    location / {\n" + textwrap.indent(lines, " " * 8))


class TestKalaAsksForTheLogin:
    @pytest.fixture(params=["nginx", "Caddy"], autouse=True)
    def _proxy(self, request, place):
        [settings] = blocks(PASSED_ON)
        place.start_kala(settings)
        [config] = blocks(request.param)
        getattr(place, request.param.lower())(config)

    def test_a_stranger_must_log_in(self, place):
        assert place.ask("/api/v1/job/").status == 401

    def test_a_client_cannot_say_who_it_is_nor_that_it_is_on_this_machine(self, place):
        claims = ("-H", "Remote-User: root", "-H", "X-Forwarded-For: 127.0.0.1", "-H", "X-Real-IP: 127.0.0.1")
        assert place.ask("/api/v1/job/", *claims).status == 401

    def test_a_token_is_passed_on(self, place):
        assert place.ask("/api/v1/me/", *with_token(place)).json["me"]["role"] == "admin"

    def test_the_audit_log_has_the_address_of_the_client(self, place):
        job = ("-d", '{"name": "a", "command": "true", "schedule": "manual"}', "-H", "X-Forwarded-For: 192.0.2.7")
        assert place.ask("/api/v1/job/", *with_token(place), *job).status == 201
        [entry, *_] = place.ask("/api/v1/audit/", *with_token(place)).json["entries"]
        assert (entry["action"], entry["address"]) == ("job.create", CLIENT)

    def test_events_are_not_buffered(self, place):
        command = place.curl("/api/v1/events/", "-N", *with_token(place))
        with subprocess.Popen(command, stdout=subprocess.PIPE) as events:
            assert events.stdout.readline() == b"retry: 2000\n"
            events.kill()

    def test_people_log_in_on_a_page_and_get_a_cookie_for_https_and_this_host_alone(self, place):
        create = ("-d", json.dumps({"name": "ann", "role": "editor", "password": PASSWORD, "run_as": True}))
        assert place.ask("/api/v1/user/", *with_token(place), *create).status == 201
        stranger = place.ask("/jobs")
        assert (stranger.status, "/login?next=" in stranger.head) == (303, True)
        ours = ("-H", f"Origin: https://{HOST}", "-H", "Sec-Fetch-Site: same-origin")
        said = place.ask("/login", *ours, "-d", f"name=ann&password={PASSWORD}")
        [cookie] = re.findall(r"^set-cookie: (.*)$", said.head, re.MULTILINE | re.IGNORECASE)
        assert cookie.startswith("__Host-kala-")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        logged_in = ("-b", cookie.partition(";")[0])
        assert place.ask("/api/v1/me/", *logged_in).json["me"]["actor"] == "user:ann"
        job = ("-d", '{"name": "a", "command": "true", "schedule": "manual"}')
        assert place.ask("/api/v1/job/", *logged_in, *ours, *job).status == 201
        foreign = ("-H", "Origin: https://evil.example", "-H", "Sec-Fetch-Site: cross-site")
        assert place.ask("/api/v1/job/", *logged_in, *foreign, *job).status == 403


class TestTheProxyLogsPeopleIn:
    @pytest.fixture(autouse=True)
    def _kala(self, place):
        [settings] = blocks(LOGS_IN)
        place.start_kala(settings)

    def me(self, place, *options):
        return place.ask("/api/v1/me/", *options).json["me"]

    @pytest.mark.parametrize("proxy", ["nginx", "Caddy"])
    def test_by_its_own_passwords(self, place, proxy):
        [config, *_] = blocks(f"{proxy} with its own passwords")
        if proxy == "nginx":
            config = within_location(blocks("nginx")[0], config)
        getattr(place, proxy.lower())(config)
        assert place.ask("/api/v1/me/").status == 401
        login = ("-u", f"ann:{PASSWORD}", "-H", "Remote-User: root", "-H", "Remote-Groups: admins")
        me = self.me(place, *login)
        assert (me["actor"], me["role"]) == ("proxy:ann", "viewer")

    @pytest.fixture(params=["nginx", "Caddy"])
    def login_service(self, request, place):
        config, *beside = blocks(f"{request.param} with Authelia or another login page")
        if beside:
            config = within_location(blocks("nginx")[0], config)
            config = config.replace("    location / {\n", textwrap.indent(beside[0], "    ") + "\n    location / {\n")
        getattr(place, request.param.lower())(config)

    @pytest.mark.usefixtures("login_service")
    def test_by_a_login_page(self, place):
        said = place.ask("/jobs")
        assert (said.status, "login.example.org" in said.head) == (302, True)
        me = self.me(place, "-H", "Cookie: login=ann")
        assert (me["actor"], me["role"]) == ("proxy:ann", "operator")

    @pytest.mark.usefixtures("login_service")
    def test_what_a_client_says_of_itself_is_not_passed_on(self, place):
        claims = ("-H", "Remote-User: root", "-H", "Remote-Groups: admins")
        assert place.ask("/api/v1/me/", *claims).status == 302
        me = self.me(place, "-H", "Cookie: login=loner", *claims)
        assert (me["actor"], me["role"]) == ("proxy:loner", "viewer")
        assert self.me(place, *with_token(place), *claims)["actor"] == "token:admin"
        wrong = ("-H", f"Authorization: Bearer {new_secret()}", *claims)
        assert place.ask("/api/v1/me/", *wrong).status == 401

    def test_other_programs_of_this_machine_are_not_the_proxy(self, place):
        claims = ["setpriv", "--reuid=nobody", "--clear-groups", "curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null"]
        headers = ["-H", "Remote-User: root", "-H", "Remote-Groups: admins"]
        command = [*claims, *headers, f"{place.kala.address}/api/v1/me/"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "401"


@pytest.mark.parametrize("removes_path", [False, True])
@pytest.mark.parametrize("proxy", ["nginx", "Caddy"])
def test_kala_is_offered_below_a_path(place, proxy, removes_path):
    settings, location, site, _ = blocks(BELOW_A_PATH)
    place.start_kala(settings + 'trusted_proxies = ["www-data@127.0.0.1"]\n')
    if proxy == "nginx":
        server = blocks("nginx")[0].replace(f"server_name {HOST}", "server_name example.org")
        server = server.replace("    location / {\n        proxy_pass http://127.0.0.1:8000;\n", location)
        place.nginx(server.replace(":8000;", ":8000/;") if removes_path else server)
    else:
        passes = "reverse_proxy /kala/* 127.0.0.1:8000"
        removes = "handle_path /kala/* {\n reverse_proxy 127.0.0.1:8000\n}"
        place.caddy(site.replace(passes, removes) if removes_path else site)
    said = place.ask("/kala/jobs", *with_token(place), host="example.org")
    assert said.status == 200
    assert 'href="/kala/static/' in said.body
