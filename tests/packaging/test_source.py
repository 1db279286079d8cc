"""The source tests on Debian 13, whose Python is newer than that of the machine that builds the package. Needs root."""

import os
import subprocess
from pathlib import Path

import pytest
from box import base
from conftest import ROOT

PACKAGES = ("python3-venv", "make", "git", "curl", "gcc", "libc6-dev", "procps", "ca-certificates")
# This machine's settings of pip for package indexes, and for the certificates of a proxy.
OF_PIP = ("PIP_", "SSL_CERT_", "http_proxy", "https_proxy")


@pytest.mark.timeout(900)
def test_the_tests_pass_with_the_python_of_debian_13(tmp_path):
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract", f"--directory={tmp_path}"], input=archive, check=True)
    enter = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "--volatile=overlay"]
    enter += [f"--directory={base('trixie', PACKAGES)}", f"--bind={tmp_path}:/kala", "--chdir=/kala", "--tmpfs=/tmp"]
    variables = {name: value for name, value in os.environ.items() if name.startswith(OF_PIP)}
    places = {value for value in variables.values() if value.startswith("/") and Path(value).exists()}
    enter += [f"--setenv={name}={value}" for name, value in variables.items()]
    enter += [f"--bind-ro={place}" for place in places]
    # nspawn passes more than a login: inheritable capabilities, and a notify socket of its own.
    enter += ["setpriv", "--inh-caps=-all", "--", "env", "--unset=NOTIFY_SOCKET"]
    # What else takes long, such as kills, attacks and browsers, does not depend on the Python version.
    rest = ".venv/bin/python -m pytest -q --color=no tests/test_app.py"
    rest += "".join(f" tests/{folder}" for folder in ("cli", "client", "server", "service"))
    script = f"git init --quiet . && make --silent unit && {rest} || exit 1"
    done = subprocess.run([*enter, "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
