"""The smoke test of the released files, on a system without Python. Needs root."""

import shutil
import subprocess

import pytest
from box import base
from conftest import ROOT, SUITES

pytestmark = pytest.mark.timeout(300)
COMMANDS = ("dist/kala", "dist/kala-onedir/kala")


@pytest.fixture(scope="module", params=SUITES)
def bare(request):
    """Run a command in a Debian with curl and little else; the project is in /kala."""
    root = base(request.param, ("curl",))
    assert not list(root.glob("usr/bin/python*"))

    def bare(*command, **variables):
        enter = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", f"--directory={root}"]
        places = [
            "--volatile=overlay",
            "--tmpfs=/tmp",
            "--tmpfs=/small:size=8M,mode=1777",
            "--tmpfs=/noexec:noexec,mode=1777",
        ]
        binds = [f"--bind-ro={ROOT / name}:/kala/{name}" for name in ("dist", "packaging")]
        environ = [f"--setenv={name}={value}" for name, value in variables.items()]
        return subprocess.run(
            [*enter, *places, *binds, *environ, *command], capture_output=True, text=True, check=False
        )

    return bare


@pytest.mark.parametrize("command", COMMANDS)
def test_a_binary_works_on_a_bare_debian_without_python(bare, command):
    done = bare("/kala/packaging/smoke.sh", f"/kala/{command}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["/small", "/noexec"])
def test_a_tmpdir_into_which_the_binary_cannot_be_unpacked_is_reported_with_the_file(bare, folder):
    done = bare("/kala/dist/kala", "version", TMPDIR=folder)
    assert done.returncode != 0
    assert "kala 0" not in done.stdout
    assert "ERROR] Failed to" in done.stdout + done.stderr


def test_the_installed_package_passes_the_smoke_test(host):
    host.box.copy(ROOT / "packaging/smoke.sh", "/root/smoke.sh")
    host.shell("/root/smoke.sh kala")


def test_the_virtual_environment_passes_the_smoke_test():
    command = shutil.which("kala", path=str(ROOT / ".venv/bin"))
    done = subprocess.run([ROOT / "packaging/smoke.sh", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
