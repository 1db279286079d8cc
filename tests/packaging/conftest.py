import json
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from box import Box

ROOT = Path(__file__).parents[2]
SUITES = ("bookworm", "trixie")
URL = "http://127.0.0.1:8000"
# As root, who is an administrator on the Unix socket, and a stranger on the port.
CURL = "curl --silent --show-error --fail-with-body --max-time 20 --unix-socket /run/kala/kala.sock"
PATIENCE = 30
# Files of the previous package that differ from this one's; conffiles have no checksum.
EDITED = ("kala.toml", "kala.conf", "kala.service")


@pytest.fixture(scope="session")
def deb():
    """The package, as `make deb` left it."""
    packages = sorted((ROOT / "dist").glob("kala_*.deb"))
    assert len(packages) == 1, f"dist/ has {len(packages)} packages of Kala; `make deb` makes one"
    return packages[0]


@pytest.fixture(scope="session")
def deb_before(deb, tmp_path_factory):
    """A package of the previous version, with another settings file, and data and home in one folder."""
    tree = tmp_path_factory.mktemp("before") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 0.0.1~"))
    for name in ("sysusers.d/kala.conf", "systemd/system/kala.service"):
        [file] = [file for top in ("lib", "usr/lib") if (file := tree / top / name).exists()]
        file.write_text(file.read_text().replace("kala kala-home", "kala").replace("kala-home", "kala"))
    conffile = tree / "etc/kala/kala.toml"
    conffile.write_text(conffile.read_text() + "\n# This line was in the version before.\n")
    sums = tree / "DEBIAN/md5sums"
    sums.write_text(
        "".join(line for line in sums.read_text().splitlines(True) if Path(line.strip()).name not in EDITED)
    )
    target = tree.parent / "kala_before.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, target], check=True)
    shutil.rmtree(tree)
    return target


@pytest.fixture(scope="module", params=SUITES)
def suite(request):
    return request.param


class Host:
    """A box, and Kala on it as its administrator and its clients see it."""

    def __init__(self, suite: str, name: str) -> None:
        self.box = Box(name, suite)
        self.box.start()

    def shell(self, script: str, *, check: bool = True) -> str:
        """Run `kala` there; return its output, stderr too."""
        return self.box.run("sh", "-c", f"exec 2>&1; {script}", check=check).stdout

    def install(self, package: Path) -> str:
        self.box.copy(package, f"/root/{package.name}")
        options = "-qqy --allow-downgrades -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
        return self.shell(f"apt-get install {options} /root/{package.name}")

    def property(self, name: str, unit: str = "kala") -> str:
        return self.shell(f"systemctl show --property={name} --value {unit}").strip()

    def journal(self, *options: str) -> str:
        return self.shell(f"journalctl --no-pager --quiet --unit=kala --output=cat {shlex.join(options)}")

    def call(self, path: str, body: dict | None = None):
        data = f"--data {shlex.quote(json.dumps(body))}" if body is not None else ""
        return json.loads(self.shell(f"{CURL} {data} http://localhost{path}"))

    def output(self, run: int) -> str:
        return self.shell(f"{CURL} http://localhost/api/v1/run/{run}/output")

    def create(self, name: str, command: str, **fields) -> str:
        """Its id."""
        return self.call("/api/v1/job/", {"name": name, "command": command, **fields})["id"]

    def runs(self, job: str) -> list[dict]:
        return self.call(f"/api/v1/job/{job}/runs/")["runs"]

    def ended(self, job: str) -> dict:
        """Its newest run, once that has ended."""
        return self.until(lambda: [run for run in self.runs(job)[:1] if run["ended_at"]])[0]

    def answers(self) -> bool:
        """Whether Kala answers, on its socket and on its port."""
        here = f"{CURL} -o /dev/null http://localhost/api/v1/stats/ && curl -sf -o /dev/null {URL}/health/live"
        return self.shell(f"{here} && echo yes", check=False) == "yes\n"

    def until(self, fact):
        deadline = time.monotonic() + PATIENCE
        while not (found := fact()):
            assert time.monotonic() < deadline, f"not so after {PATIENCE} s; the journal:\n{self.journal()}"
            time.sleep(0.05)
        return found

    def write(self, path: str, text: str) -> None:
        target = self.box.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.fixture
def fresh(suite, request):
    """A host without Kala, for this test alone."""
    host = Host(suite, f"fresh-{suite}")
    yield host
    host.box.destroy()


@pytest.fixture(scope="module")
def installed(suite, deb):
    host = Host(suite, f"kala-{suite}")
    host.install(deb)
    host.shell("cp /etc/kala/kala.toml /root/delivered.toml")
    yield host
    host.box.destroy()


@pytest.fixture
def host(installed):
    """The module's host with Kala installed, running, and as it was delivered."""
    yield installed
    installed.shell(
        "systemctl disable --quiet --now kala.socket; rm -rf /etc/systemd/system/kala.*.d; systemctl daemon-reload;"
        " cp /root/delivered.toml /etc/kala/kala.toml; systemctl reset-failed kala; systemctl restart kala"
    )
