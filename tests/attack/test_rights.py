"""A job has the permissions of its user, and no others."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run commands as somebody else")
SYSTEMD = {
    "STATE_DIRECTORY": "/var/lib/kala",
    "RUNTIME_DIRECTORY": "/run/kala",
    "CONFIGURATION_DIRECTORY": "/etc/kala",
    "CREDENTIALS_DIRECTORY": "/run/credentials/kala.service",
    "CACHE_DIRECTORY": "/var/cache/kala",
    "LOGS_DIRECTORY": "/var/log/kala",
    "MEMORY_PRESSURE_WATCH": "/sys/fs/cgroup/kala/memory.pressure",
    "MEMORY_PRESSURE_WRITE": "c29tZQ==",
    "MANAGERPID": "1",
}


@pytest.fixture
def open_folder():
    """A folder in which everyone can write."""
    with tempfile.TemporaryDirectory(prefix="kala-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def ends(kala, **fields):
    """Create a job, and return its ended run and its output."""
    run = kala.runs(kala.create(**fields), 1)[0]
    return run, kala.output(run["id"])[1].decode()


def test_commands_get_no_environment_variable_of_systemds(serve, systemd):
    kala = serve(environ={**SYSTEMD, **systemd.environ})
    _, printed = ends(kala, command="env")
    names = {line.partition("=")[0] for line in printed.splitlines()}
    assert not names & {*SYSTEMD, *systemd.environ}


@ROOT
def test_the_dynamic_linker_does_nothing_as_root_for_a_job_with_a_user(kala, open_folder):
    """LD_DEBUG_OUTPUT makes the dynamic linker write a file as the program's user; LD_PRELOAD would act so, too."""
    env = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": f"{open_folder}/seen"}
    run, _ = ends(kala, command="/bin/true", user="nobody", env=env)
    assert run["state"] == "succeeded"
    owners = {path.stat().st_uid for path in open_folder.iterdir()}
    assert owners == {pwd.getpwnam("nobody").pw_uid}


@ROOT
def test_a_job_with_a_user_cannot_start_in_a_folder_that_the_user_cannot_enter(kala, tmp_path):
    inner = tmp_path / "private" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    inner.chmod(0o777)
    run, _ = ends(kala, command="touch here", user="nobody", working_directory=str(inner))
    assert run["state"] == "failed"
    assert not (inner / "here").exists()


@ROOT
def test_a_job_with_a_user_can_open_its_own_output(kala):
    command = "echo 1 > /dev/stdout && echo 2 > /dev/stderr && echo 3 > /proc/self/fd/1"
    run, printed = ends(kala, command=command, user="nobody")
    assert (run["state"], printed) == ("succeeded", "1\n2\n3\n")


@ROOT
def test_a_job_with_a_user_inherits_no_environment_of_roots(serve):
    kala = serve(environ={"OLDPWD": "/root", "http_proxy": "http://root:secret@localhost:9", "SECRET": "roots"})
    _, printed = ends(kala, command="env", user="nobody")
    assert "secret" not in printed
    assert "roots" not in printed
    assert "/root" not in printed


# No rights of root's but to read the files of the tests, wherever they lie.
SOMEBODY = ("setpriv", "--reuid=64321", "--regid=64321", "--clear-groups", "--inh-caps=+dac_override")
SOMEBODY += ("--ambient-caps=+dac_override",)


@pytest.fixture
def unprivileged(make, open_folder):
    """A Kala that does not run as root, whichever user runs the tests."""
    kala = make("--auth", "off", home=open_folder)  # the tests call as another user
    if os.geteuid() == 0:
        kala.command = [*SOMEBODY, *kala.command]
    return kala


def test_a_job_cannot_inspect_the_process_of_kala(unprivileged):
    kala = unprivileged.start()
    folder = f"/proc/{kala.process.pid}"
    _, printed = ends(kala, command=f"for f in environ maps fd/0; do head -c 1 {folder}/$f > x && echo $f; done; true")
    assert [line for line in printed.splitlines() if not line.startswith("head:")] == []


def test_a_job_cannot_write_the_settings_of_a_service(make, tmp_path):
    """The settings belong to the administrator. A job runs as Kala's user, which can write in its home."""
    kala = make(environ={"STATE_DIRECTORY": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / ".config")})
    del kala.environ["KALA_CONFIG"]
    kala.start()
    folder = tmp_path / ".config" / "kala"
    text = "allowed_hosts = ['evil.com']"
    ends(kala, command=f'mkdir -p {folder} && echo "{text}" > {folder}/kala.toml && kill -HUP $PPID')
    kala.settle()
    # Signals are delivered asynchronously.
    assert {kala.fetch("/stats/", Host="evil.com")[0] for _ in range(100)} == {403}
