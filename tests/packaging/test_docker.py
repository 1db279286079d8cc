"""The image under Docker's engine from Debian's package, unpacked and started by hand. Needs root."""

import json
import os
import subprocess
import time
import urllib.request
from contextlib import suppress

import pytest
from box import CACHE, base
from conftest import ROOT

from kala.access.credentials import new_secret

pytestmark = pytest.mark.timeout(300)
PATIENCE = 30
ADDRESS = "127.0.0.1:18000"
PLACE = CACHE / "docker"
TOKEN = new_secret()
# The image's user, which the documentation names, too.
KALA_UID = 999


@pytest.fixture(scope="module")
def docker():
    """Runs the engine's client. The engine is not installed, as its package would start a service here."""
    subprocess.run([ROOT / "packaging/need.sh", "runc", "iptables", "curl"], check=True)
    if not (PLACE / "root").exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        apt = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", "docker.io", "containerd"]
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(apt, cwd=PLACE, check=True)
        for package in PLACE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, PLACE / "root"], check=True)
    environ = {
        "PATH": f"{PLACE}/root/usr/sbin:{PLACE}/root/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "DOCKER_HOST": f"unix://{PLACE}/socket",
        "HOME": str(PLACE),
    }

    def docker(*arguments, check=True):
        done = subprocess.run(["docker", *arguments], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return (done.stdout + done.stderr).strip()

    folders = [f"--data-root={PLACE}/data", f"--exec-root={PLACE}/exec", f"--pidfile={PLACE}/pid"]
    # No rules of its own in this machine's firewall; its proxy is enough for -p.
    options = ["--iptables=false", "--ip6tables=false", "--exec-opt=native.cgroupdriver=cgroupfs"]
    with (PLACE / "log").open("wb") as log:
        command = ["dockerd", f"--host={environ['DOCKER_HOST']}", *folders, *options]
        engine = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        if not until(lambda: engine.poll() is not None or "Server" in docker("version", check=False)):
            pytest.fail((PLACE / "log").read_text())
        if engine.poll() is not None:
            pytest.skip(f"no engine can be started here: {(PLACE / 'log').read_text().splitlines()[-1]}")
        yield docker
    finally:
        engine.terminate()
        engine.wait()
        subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)


@pytest.fixture(scope="module")
def image(docker):
    tree = PLACE / "base.tar"
    subprocess.run(["tar", "-C", base("bookworm", ("passwd",)), "-cf", tree, "."], check=True)
    docker("import", str(tree), "debian:bookworm-slim")
    docker("build", "--quiet", "--tag=kala", f"--file={ROOT}/packaging/Dockerfile", str(ROOT / "dist"))
    return "kala"


@pytest.fixture
def token_file(tmp_path):
    """A file with a token, which the image's user alone can read."""
    file = tmp_path / "kala-token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o400)
    os.chown(file, KALA_UID, -1)
    return file


@pytest.fixture
def run(docker, image):
    """Run the image as the documentation says, with a volume that goes at the end; a container `kala` does, too."""

    def run(*options, command=()):
        return docker("run", *options, "--volume=kala:/var/lib/kala", image, *command)

    yield run
    docker("rm", "--force", "kala", check=False)
    docker("volume", "rm", "kala")


@pytest.fixture
def container(run, token_file):
    """Its name; it has the token of TOKEN."""
    place = "/run/secrets/kala-token"
    secret = [f"--volume={token_file}:{place}:ro", f"--env=KALA_ADMIN_TOKEN_FILE={place}"]
    run("--detach", "--name=kala", f"-p{ADDRESS}:8000", *secret)
    return "kala"


def ask(path, body=None, token=TOKEN):
    data = json.dumps(body).encode() if body else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return urllib.request.urlopen(urllib.request.Request(f"http://{ADDRESS}{path}", data, headers), timeout=10)


def call(path, body=None):
    with ask(f"/api/v1{path}", body) as answer:
        return json.load(answer)


def answers():
    with suppress(OSError):
        return call("/stats/")


def until(fact):
    deadline = time.monotonic() + PATIENCE
    while not (found := fact()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def ended(job):
    return until(lambda: [run for run in call(f"/job/{job}/runs/")["runs"] if run["ended_at"]])[0]


def test_one_command_starts_it_healthy_and_not_as_root(docker, container):
    assert until(answers), docker("logs", container)
    run = ended(call("/job/", {"name": "who", "command": "id -un"})["id"])
    with ask(f"/api/v1/run/{run['id']}/output") as answer:
        assert answer.read() == b"kala\n"
    with ask("/jobs") as page:
        assert b"<h1>Jobs</h1>" in page.read()
    health = ("inspect", "--format={{.State.Health.Status}}", container)
    assert until(lambda: docker(*health) == "healthy"), docker("inspect", container)


def test_a_stop_lets_the_running_job_finish_and_records_its_end_in_the_volume(docker, container):
    assert until(answers), docker("logs", container)
    job = call("/job/", {"name": "finishing", "command": "sleep 2; echo ended"})["id"]
    assert until(lambda: call(f"/job/{job}/runs/")["runs"][0]["state"] == "running")
    docker("stop", "--time=10", container)
    assert docker("inspect", "--format={{.State.ExitCode}}", container) == "0"
    docker("start", container)
    assert until(answers)
    assert ended(job)["state"] == "succeeded"


def test_without_a_user_or_a_token_it_does_not_start_and_says_what_to_do(docker, run):
    run("--detach", "--name=kala")
    assert until(lambda: docker("inspect", "--format={{.State.Running}}", "kala") == "false"), docker("logs", "kala")
    assert docker("inspect", "--format={{.State.ExitCode}}", "kala") == "2"
    said = docker("logs", "kala")
    assert "kala user add" in said
    assert "KALA_ADMIN_TOKEN_FILE" in said


def test_who_has_no_token_gets_401_and_a_health_check_needs_none(docker, container):
    assert until(answers), docker("logs", container)
    with pytest.raises(urllib.request.HTTPError, match="401"):
        ask("/api/v1/job/", token="")
    with ask("/health/live", token="") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("user", ["kala", "root"])
def test_commands_in_the_container_need_no_token(docker, container, user):
    assert until(answers), docker("logs", container)
    exec_ = ("exec", f"--user={user}", container, "kala")
    docker(*exec_, "create", "hello", "--command=echo hello", "--schedule=manual")
    assert docker(*exec_, "start", "hello", "--follow") == "hello"


def test_a_user_who_was_added_before_the_first_start_can_log_in(docker, run, tmp_path):
    password = tmp_path / "password"
    password.write_text("four words in a row\n")
    password.chmod(0o444)
    add = ["kala", "user", "add", "ann", "--role=admin", "--password-file=/password"]
    run("--rm", f"--volume={password}:/password:ro", command=add)
    run("--detach", "--name=kala", f"-p{ADDRESS}:8000")
    login = {"name": "ann", "password": password.read_text().strip()}

    def logged_in():
        with suppress(OSError), ask("/api/v1/session/", login, token="") as answer:
            return json.load(answer)["token"]

    token = until(logged_in)
    assert token, docker("logs", "kala")
    with ask("/api/v1/me/", token=token) as answer:
        assert json.load(answer)["me"]["role"] == "admin"
