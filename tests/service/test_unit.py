"""The environment of the service, for an administrator's commands."""

import subprocess

import pytest

from kala.core.errors import KalaError
from kala.service import unit

UNIT = """MainPID={pid}
LoadState={state}
StateDirectory=kala kala-home
Environment=KALA_CONFIG=/etc/kala/kala.toml "KALA_DEFAULT_OWNER=A B"
"""


@pytest.fixture
def booted(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "_BOOTED", tmp_path)


@pytest.fixture
def systemctl(tmp_path, monkeypatch, booted):
    """Install a systemctl that prints the text."""

    def systemctl(text, quote="'"):
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\ncat <<{quote}END{quote}\n{text}END\n")
        (tmp_path / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return systemctl


def test_of_a_running_service_it_is_that_of_its_process(systemctl):
    environ = {"KALA_PORT": "9", "EMPTY": "", "LINES": "a\nb=c"}
    process = subprocess.Popen(["/bin/sleep", "60"], env=environ)
    systemctl(UNIT.format(pid=process.pid, state="loaded"))
    assert unit.environment() == environ
    process.kill()
    process.wait()


def test_of_a_stopped_service_it_is_what_the_unit_sets(systemctl):
    systemctl(UNIT.format(pid=0, state="loaded"))
    assert unit.environment() == {
        "KALA_CONFIG": "/etc/kala/kala.toml",
        "KALA_DEFAULT_OWNER": "A B",
        "STATE_DIRECTORY": "/var/lib/kala:/var/lib/kala-home",
    }


def test_of_a_unit_without_a_state_directory_it_has_none(systemctl):
    systemctl("MainPID=0\nLoadState=loaded\nStateDirectory=\nEnvironment=\n")
    assert unit.environment() == {}


def test_it_is_empty_if_there_is_no_such_unit(systemctl):
    systemctl(UNIT.format(pid=0, state="not-found"))
    assert unit.environment() == {}


def test_it_is_empty_if_systemd_does_not_run(systemctl, monkeypatch, tmp_path):
    systemctl(UNIT.format(pid=0, state="loaded"))
    monkeypatch.setattr(unit, "_BOOTED", tmp_path / "nowhere")
    assert unit.environment() == {}


@pytest.mark.parametrize("script", ["", "#!/bin/sh\nexit 1\n"])
def test_a_failure_of_systemctl_is_reported(tmp_path, monkeypatch, booted, script):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "systemctl").write_text(script)
        (tmp_path / "systemctl").chmod(0o755)
    with pytest.raises(KalaError, match=r"^systemctl cannot tell of kala\.service: .*; give --config and --data-dir$"):
        unit.environment()


def test_systemctl_does_not_load_the_libraries_of_kalas_binary(systemctl, monkeypatch, tmp_path):
    monkeypatch.setenv("_PYI_ARCHIVE_FILE", "/usr/lib/kala/kala")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib/kala/_internal")
    systemctl("MainPID=0\nLoadState=loaded\nStateDirectory=\nEnvironment=SEEN=$LD_LIBRARY_PATH\n", quote="")
    assert unit.environment() == {"SEEN": ""}
