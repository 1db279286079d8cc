"""The image under Docker's engine from Debian's package, unpacked and started by hand. Needs root."""

import json
import subprocess
import time
import urllib.request
from contextlib import suppress

import pytest
from box import CACHE, base
from conftest import ROOT

pytestmark = pytest.mark.timeout(300)
PATIENCE = 30
ADDRESS = "127.0.0.1:18000"
PLACE = CACHE / "docker"


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
def container(docker, image):
    """Its name; it runs as the documentation says, with a volume that goes with it."""
    docker("run", "--detach", "--name=kala", f"-p{ADDRESS}:8000", "--volume=kala:/var/lib/kala", image)
    yield "kala"
    docker("rm", "--force", "kala")
    docker("volume", "rm", "kala")


def call(path, body=None):
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(f"http://{ADDRESS}/api/v1{path}", data, timeout=10) as answer:
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
    with urllib.request.urlopen(f"http://{ADDRESS}/api/v1/run/{run['id']}/output", timeout=10) as answer:
        assert answer.read() == b"kala\n"
    with urllib.request.urlopen(f"http://{ADDRESS}/jobs", timeout=10) as page:
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
