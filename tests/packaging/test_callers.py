"""Who may call the Kala of the package, as users of the machine see it. Needs root."""

import json
import re
import subprocess

import pytest
from conftest import ROOT, URL

pytestmark = pytest.mark.timeout(300)

JOBS = "http://localhost/api/v1/job/"
OVER_SOCKET = "curl -sS -w '\\n%{http_code}' --unix-socket /run/kala/kala.sock"
OVER_PORT = "curl -sS -w '\\n%{http_code}'"
PASSWORD = "four words in a row"
SECURITY = (ROOT / "docs/security.md").read_text()
TOKEN = "e48b6bb2c7d54b4cb3e0bd3a0c3a2b57"


@pytest.fixture(scope="module", autouse=True)
def _users(installed):
    installed.shell("groupadd ops; useradd -m ann; useradd -m -G kala,ops bob; useradd -m -G kala carol")


def asked(host, user: str, command: str) -> tuple[int, dict]:
    """Return the status and the JSON that a user of the machine gets, with all groups of the user."""
    said = host.shell(f"runuser -u {user} -- {command}")
    body, _, status = said.rpartition("\n")
    return int(status), json.loads(body)


def settings(host, text: str) -> None:
    host.write("/etc/kala/kala.toml", text)
    host.shell("systemctl reload kala")


@pytest.mark.parametrize("user", ["ann", "root"])
def test_another_local_user_gets_401_on_the_port_with_a_sentence_that_says_what_to_do(host, user):
    status, body = asked(host, user, f"{OVER_PORT} {URL}/api/v1/job/")
    assert status == 401
    assert "kala login" in body["error"]


def test_kalas_own_user_is_an_administrator_on_the_port(host):
    status, body = asked(host, "kala", f"{OVER_PORT} {URL}/api/v1/me/")
    assert (status, body["me"]["actor"], body["me"]["role"]) == (200, "local", "admin")


def test_root_is_an_administrator_on_the_socket_at_once(host):
    assert host.shell("kala jobs --no-headers") == ""
    status, body = asked(host, "root", f"{OVER_SOCKET} http://localhost/api/v1/me/")
    assert (status, body["me"]["actor"], body["me"]["role"]) == (200, "peer:root", "admin")


def test_a_command_of_a_job_is_kalas_own_user(host):
    run = host.ended(host.create("calls Kala", f"curl -sSf {URL}/api/v1/me/"))
    assert json.loads(host.output(run["id"]))["me"]["actor"] == "local"


@pytest.mark.parametrize("listens", ["kala", "systemd"])
def test_a_member_of_the_group_has_the_role_that_peers_gives_and_none_without(host, listens):
    if listens == "systemd":
        host.shell("systemctl stop kala; systemctl enable --quiet --now kala.socket; systemctl start kala")
    assert host.shell("stat -c '%A %U:%G' /run/kala/kala.sock") == "srw-rw---- kala:kala\n"
    status, body = asked(host, "bob", f"{OVER_SOCKET} {JOBS}")
    assert status == 401
    assert "peers" in body["error"]
    settings(host, 'peers = {operator = ["@ops"], viewer = ["carol"]}\n')
    assert asked(host, "bob", f"{OVER_SOCKET} {JOBS}")[0] == 200
    assert asked(host, "bob", f"{OVER_SOCKET} http://localhost/api/v1/me/")[1]["me"]["role"] == "operator"
    assert asked(host, "carol", f"{OVER_SOCKET} http://localhost/api/v1/me/")[1]["me"]["role"] == "viewer"
    status, body = asked(host, "carol", f"{OVER_SOCKET} {JOBS} -d '{{}}'")
    assert (status, "editor" in body["error"]) == (403, True)


def test_who_is_not_in_the_group_cannot_open_the_socket(host):
    settings(host, 'peers = {admin = ["ann"]}\n')
    assert "Permission denied" in host.shell(
        "runuser -u ann -- curl -v --unix-socket /run/kala/kala.sock http://localhost", check=False
    )


def test_members_of_the_group_cannot_read_the_files_of_kala_and_of_jobs(host):
    for folder in ("/var/lib/kala", "/var/lib/kala-home"):
        assert "Permission denied" in host.shell(f"runuser -u bob -- ls {folder}", check=False)


def test_the_credential_of_systemd_is_the_token_of_an_administrator(host):
    host.write("/etc/kala-token", f"{TOKEN}\n")
    unit = "[Service]\nLoadCredential=admin_token:/etc/kala-token\n"
    host.write("/etc/systemd/system/kala.service.d/token.conf", unit)
    host.shell("chmod 600 /etc/kala-token; systemctl daemon-reload; systemctl restart kala")
    with_token = f"{OVER_PORT} -H 'Authorization: Bearer {TOKEN}' {URL}/api/v1/me/"
    status, body = asked(host, "ann", with_token)
    assert (status, body["me"]["actor"]) == (200, "token:admin")
    assert asked(host, "ann", with_token.replace(TOKEN, TOKEN[::-1]))[0] == 401


def test_the_hardened_unit_knows_root_and_kalas_user_and_nobody_else(host):
    examples = "/usr/share/doc/kala/examples/kala.service.d"
    host.shell(f"install -D -t /etc/systemd/system/kala.service.d {examples}/hardened.conf; systemctl daemon-reload")
    host.write("/etc/kala/kala.toml", 'peers = {operator = ["bob"]}\n')
    host.shell("systemctl restart kala")
    assert asked(host, "root", f"{OVER_SOCKET} {JOBS}")[0] == 200
    assert asked(host, "kala", f"{OVER_PORT} {URL}/api/v1/job/")[0] == 200
    assert asked(host, "ann", f"{OVER_PORT} {URL}/api/v1/job/")[0] == 401
    assert asked(host, "bob", f"{OVER_SOCKET} {JOBS}")[0] == 401


def test_an_upgrade_keeps_all_and_says_in_news_who_has_to_do_what(fresh, deb, deb_before):
    fresh.install(deb_before)
    job = fresh.create("from before", "echo kept")
    run = fresh.ended(job)
    fresh.install(deb)
    fresh.until(fresh.answers)
    assert [run["id"] for run in fresh.runs(job)] == [run["id"]]
    assert fresh.output(run["id"]) == "kept\n"
    news = fresh.shell("zcat /usr/share/doc/kala/NEWS.Debian.gz")
    version = fresh.shell("dpkg-query -W -f '${Version}' kala")
    assert news.startswith(f"kala ({version}) ")
    assert "kala token create" in news


def accept(host, invitation: str, address: str, options: str = "") -> None:
    body = json.dumps({"invitation": invitation, "password": PASSWORD})
    assert "user" in json.loads(host.shell(f"curl -sSf {options} {address}/api/v1/invitation/ -d '{body}'"))


def log_in(host, name: str) -> str:
    """Return the role of a user who logs in on the port."""
    body = json.dumps({"name": name, "password": PASSWORD})
    return json.loads(host.shell(f"curl -sSf {URL}/api/v1/session/ -d '{body}'"))["role"]


def test_the_first_user_is_added_through_the_socket_or_while_kala_is_stopped(host):
    def add(name):
        host.shell(f"echo '{PASSWORD}' | kala user add {name} --role admin --password-file -")

    add("dora")
    host.shell("systemctl stop kala")
    add("erik")
    assert host.shell("find /var/lib/kala ! -user kala") == ""
    host.shell("systemctl start kala")
    assert [log_in(host, name) for name in ("dora", "erik")] == ["admin", "admin"]


def test_a_team_is_set_up_by_the_commands_of_the_documentation(host, tmp_path):
    [section] = re.findall(r"^## A team in five minutes\n(.*?)^## ", SECURITY, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^    (.*)$", section, re.MULTILINE)
    # Without a terminal, each user is invited; there is no sudo, as this is root.
    script = "\n".join(line.removeprefix("$ ").replace("sudo ", "") for line in lines if "kala login" not in line)
    name = "kala.example.org"
    new = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout privkey.pem -out fullchain.pem"
    subject = f"-subj /CN={name} -addext subjectAltName=DNS:{name}"
    subprocess.run(f"{new} {subject}".split(), cwd=tmp_path, capture_output=True, check=True)
    host.box.copy(tmp_path, f"/etc/letsencrypt/live/{name}")
    ann, _bob, token = re.findall(r"kala_\w{38}", host.shell(f"set -e\n{script}"))
    options = f"--cacert /etc/kala/tls/cert.pem --resolve {name}:8443:127.0.0.1"
    accept(host, ann, f"https://{name}:8443", options)
    host.write("/root/header", f"Authorization: Bearer {token}\n")
    me = json.loads(host.shell(f"curl -sSf {options} -H @/root/header https://{name}:8443/api/v1/me/"))["me"]
    assert (me["actor"], me["role"]) == ("token:ci", "operator")
    me = asked(host, "carol", f"{OVER_SOCKET} http://localhost/api/v1/me/")[1]["me"]
    assert (me["actor"], me["role"]) == ("peer:carol", "operator")
