"""A command of another user runs with that user's rights and environment, and affects nothing that runs as root."""

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kala.runner import command, users
from kala.runner.cancellation import Cancellation
from kala.runner.command import CommandContext
from kala.runner.environment import encoded
from kala.runner.output import Output

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")
DAEMON = pwd.getpwnam("daemon")


@pytest.fixture
def shared():
    """A directory in which all users can write; only root can enter pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a line as daemon and returns its outcome and output."""

    def run(line, folder="/", environ=None, **options):
        output = Output(tmp_path, 1, 1 << 20)
        variables = {**users.variables(DAEMON, {}), **(environ or {})}
        context = CommandContext(environ=encoded(variables), folder=Path(folder), user=DAEMON, **options)
        outcome = command.run(line, context, output, Cancellation())
        return outcome, output.close().decode()

    return run


@pytest.fixture
def traces(shared):
    """Variables that make each program that gets them write a file, and a function for the owners of these files.

    The dynamic loader reads them before a program's own code runs, as it does LD_PRELOAD.
    """
    environ = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(shared / "trace")}
    return environ, lambda: {file.stat().st_uid for file in shared.glob("trace.*")}


class TestTheJobsVariables:
    def test_affect_no_program_that_runs_as_root(self, run, traces):
        environ, writers = traces
        assert run("true", environ=environ)[0].exit_code == 0
        assert writers() == {DAEMON.pw_uid}

    def test_affect_no_program_that_enters_a_control_group(self, run, traces):
        environ, writers = traces
        run("/bin/true", environ=environ, prefix=("/bin/sh", "-c", 'exec "$@"', "sh"), umask="027")
        assert writers() == {DAEMON.pw_uid}

    @pytest.mark.parametrize("shell", ["", "/bin/bash"])
    def test_name_files_that_shells_read_as_the_user(self, run, shared, shell):
        (shared / "profile").write_text(f"id -u >> {shared}/readers\n")
        environ = {"ENV": str(shared / "profile"), "BASH_ENV": str(shared / "profile")}
        run("true; true", environ=environ, shell=shell, umask="022")
        readers = (shared / "readers").read_text().split() if (shared / "readers").exists() else []
        assert set(readers) <= {str(DAEMON.pw_uid)}
        assert readers or not shell

    def test_do_not_choose_the_programs_that_root_runs(self, run, shared):
        for name in ("setpriv", "env", "sh"):
            (shared / name).write_text(f"#!/bin/sh\nid -u >> {shared}/callers\n")
            (shared / name).chmod(0o755)
        assert run("/usr/bin/id -un", environ={"PATH": str(shared)})[1] == "daemon\n"
        assert not (shared / "callers").exists()

    def test_arrive_unchanged(self, run):
        given = {"A": "", "B": "two  words\nand a line", "C": "${A} $B `id` \\ \"'", "UID": "5", "D_1": "ä"}
        _, printed = run("exec /usr/bin/env -0", environ=given)
        seen = dict(entry.split("=", 1) for entry in printed.split("\0") if entry)
        assert seen == {**users.variables(DAEMON, {}), **given, "PWD": "/"}

    def test_are_arguments_of_no_process(self, run, shared):
        """All users can see arguments. A program instead of the shell prints those that env passes on."""
        (shared / "shell").write_text("#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline\n")
        (shared / "shell").chmod(0o755)
        words, _ = users.setpriv_words(DAEMON, Path("/"), encoded({"TOKEN": "much too secret"}))
        assert "much too secret" not in " ".join(words)
        assert "much too secret" not in run("true", environ={"TOKEN": "much too secret"}, shell=f"{shared}/shell")[1]


def test_kalas_own_path_does_not_choose_the_programs_that_root_runs(tmp_path):
    for name in ("setpriv", "env"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    program = "from kala.runner import users; print(users._SETPRIV, users._ENV)"
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    found = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert found.stdout == f"{users._SETPRIV} {users._ENV}\n"
    assert str(tmp_path) not in found.stdout


class TestTheUsersRights:
    def test_are_those_of_the_id_and_groups_without_capabilities(self, run):
        _, printed = run("id -u; id -g; id -G; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status")
        user, group, groups, *capabilities = printed.splitlines()
        assert (user, group) == (str(DAEMON.pw_uid), str(DAEMON.pw_gid))
        assert {int(number) for number in groups.split()} == set(os.getgrouplist("daemon", DAEMON.pw_gid))
        assert [int(line.split()[1], 16) for line in capabilities] == [0, 0, 0, 0]

    def test_decide_whether_the_directory_can_be_entered(self, run, shared):
        locked = shared / "locked"
        (locked / "inside").mkdir(parents=True)
        locked.chmod(0o700)
        outcome, _ = run("touch made", folder=locked / "inside")
        assert outcome.state == "failed"
        assert outcome.message == f"the command cannot be started in {locked}/inside: Permission denied"
        assert not list((locked / "inside").iterdir())

    @pytest.mark.parametrize("umask", ["", "022"])
    def test_decide_whether_the_shell_can_be_run(self, run, shared, umask):
        (shared / "locked").mkdir(mode=0o700)
        (shared / "locked/shell").write_text("#!/bin/sh\n")
        (shared / "locked/shell").chmod(0o755)
        outcome, printed = run("true", shell=f"{shared}/locked/shell", umask=umask)
        assert outcome.exit_code == 126
        assert "Permission denied" in printed

    def test_allow_a_shell_with_an_equals_sign_in_its_path(self, run, shared):
        (shared / "a=b").write_text('#!/bin/sh\necho "$@"\n')
        (shared / "a=b").chmod(0o755)
        assert run("a line", shell=f"{shared}/a=b")[1] == "-c a line\n"

    def test_do_not_hide_that_a_directory_does_not_exist(self, run, shared):
        outcome, _ = run("true", folder=shared / "gone")
        assert outcome.message == f"the command cannot be started in {shared}/gone: No such file or directory"

    def test_do_not_change_the_message_of_a_command_with_exit_status_125(self, run):
        assert run("exit 125")[0].message == "exit status 125"

    def test_allow_its_own_directory(self, run, shared):
        (shared / "own").mkdir(mode=0o700)
        os.chown(shared / "own", DAEMON.pw_uid, DAEMON.pw_gid)
        _, printed = run("pwd; echo $PWD; umask", folder=shared / "own", umask="027")
        assert printed == f"{shared}/own\n{shared}/own\n0027\n"

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_allow_opening_the_output_by_name(self, run, stream):
        outcome, printed = run(f"echo hello > /dev/{stream}")
        assert (outcome.exit_code, printed) == (0, "hello\n")


class TestTheUsersEnvironment:
    def test_is_that_of_a_login_without_roots_variables(self):
        roots = {"PATH": "/root/bin", "OLDPWD": "/root", "https_proxy": "http://p", "SSL_CERT_FILE": "/root/ca"}
        assert users.variables(DAEMON, roots) == {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/usr/sbin",
            "USER": "daemon",
            "LOGNAME": "daemon",
            "SHELL": "/bin/sh",
        }

    def test_has_the_locale_and_time_zone_of_the_machine(self):
        machines = {"LANG": "de_DE.UTF-8", "LC_TIME": "C", "TZ": "Europe/Berlin"}
        assert machines.items() <= users.variables(DAEMON, machines).items()

    def test_has_the_users_own_shell_if_there_is_one(self):
        root = pwd.getpwnam("root")
        assert users.variables(root, {})["SHELL"] == root.pw_shell
