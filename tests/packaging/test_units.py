"""The units in systemd/, as systemd reads them. Needs systemd-analyze and systemd-sysusers (Debian: systemd)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = ("kala.service", "kala.socket")
DROP_INS = ("hardened.conf", "setuid.conf")
# A line without its reason is a line that nobody dares to change.
PLAIN = {"Description", "Documentation", "Type", "NotifyAccess", "ExecStart", "User", "WantedBy"}


@pytest.fixture
def units(tmp_path):
    """The units as they are installed, with a drop-in or without; Kala itself is not."""

    def units(drop_in=None):
        for name in UNITS:
            text = (SYSTEMD / name).read_text().replace("/usr/bin/kala", "/bin/true")
            (tmp_path / name).write_text(text)
        if drop_in:
            (tmp_path / "kala.service.d").mkdir()
            shutil.copy(SYSTEMD / "kala.service.d" / drop_in, tmp_path / "kala.service.d")
        return [str(tmp_path / name) for name in UNITS]

    return units


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def exposure(unit):
    """What `systemd-analyze security` makes of it: 0 is locked up, 10 is open."""
    text = said("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    [level] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", text)
    return float(level)


@pytest.mark.parametrize("drop_in", [None, *DROP_INS])
def test_systemd_accepts_them_without_a_warning(units, drop_in):
    # systemd-analyze exits with 0 for an unknown setting; the package installs the man pages.
    assert said("systemd-analyze", "verify", "--man=no", *units(drop_in)) == ""


@pytest.mark.parametrize(("drop_in", "most"), [(None, 4.0), ("hardened.conf", 2.0)])
def test_the_service_is_exposed_no_more_than_it_must_be(units, drop_in, most):
    assert exposure(units(drop_in)[0]) <= most


def test_systemd_can_create_the_user(tmp_path):
    shutil.copy(SYSTEMD / "kala.sysusers", tmp_path / "kala.conf")
    done = said("systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(tmp_path / "kala.conf"))
    assert "Creating user 'kala' (Kala job scheduler)" in done


@pytest.mark.parametrize("file", [*UNITS, *(f"kala.service.d/{name}" for name in DROP_INS)])
def test_every_setting_follows_its_reason(file):
    block_has_reason = False
    for line in (SYSTEMD / file).read_text().splitlines():
        if line.startswith("#"):
            block_has_reason = True
        elif not line or line.startswith("["):
            block_has_reason = False
        else:
            assert block_has_reason or line.partition("=")[0] in PLAIN, line


def test_the_service_does_not_need_the_socket():
    assert "kala.socket" not in (SYSTEMD / "kala.service").read_text()
