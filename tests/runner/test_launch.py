"""A command starts with the environment, directory, shell, user and limits of its job."""

import os
from pathlib import Path
from queue import Queue
from threading import current_thread

import pytest
from runner.workbench import PATIENCE, Bench

from kala.api import fields
from kala.runner import template, users
from kala.runner.launch import RunDefaults

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")


def test_commands_get_kalas_environment_without_its_own_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("KALA_PORT", "8000")
    monkeypatch.setenv("GREETING", "hello")
    bench = Bench(tmp_path)
    bench.start()
    bench.submit("echo $GREETING $NOTIFY_SOCKET $KALA_PORT")
    bench.next()
    bench.executor.stop(PATIENCE)
    assert bench.output() == "hello\n"


class TestARun:
    def test_has_its_template_rendered(self, bench):
        bench.submit("echo {{.Name}}", template_delimiters="{{ }}")
        bench.next()
        assert bench.output() == "backup\n"

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{{ nome }}", "'nome' is not a template field; use "),
            ("{{% for i in range(10) %}}{{% endfor %}}", "a loop (for) cannot be used in a template; use "),
        ],
    )
    def test_whose_template_cannot_be_rendered_fails_with_the_reason(self, bench, line, reason):
        bench.submit(line, template_delimiters="{{ }}")
        outcome = bench.outcome()
        assert outcome.state == "failed"
        assert outcome.message.startswith(f"TemplateDelimiters: {reason}")

    def test_has_its_template_rendered_in_a_worker(self, bench, monkeypatch):
        threads: Queue[str] = Queue()
        render = template.render
        monkeypatch.setattr(template, "render", lambda job: (threads.put(current_thread().name), render(job))[1])
        bench.submit("echo {{.Name}}", template_delimiters="{{ }}")
        bench.next()
        assert threads.get_nowait().startswith("kala-worker-")

    def test_has_its_user_looked_up_in_a_worker(self, bench, monkeypatch):
        threads: Queue[str] = Queue()
        account = users.lookup
        monkeypatch.setattr(users, "lookup", lambda name: (threads.put(current_thread().name), account(name))[1])
        bench.submit("true", user="nobody-of-this-name")
        assert bench.outcome().state == "failed"
        assert threads.get_nowait().startswith("kala-worker-")


class TestACommand:
    def test_gets_variables_about_its_run(self, bench):
        bench.submit("env | grep ^KALA_ | sort", number=7)
        bench.next()
        assert bench.output(7).splitlines() == [
            "KALA_ATTEMPT=0",
            "KALA_CAUSE=manual",
            "KALA_JOB_ID=1",
            "KALA_JOB_NAME=backup",
            "KALA_PARENT_RUN_ID=",
            "KALA_RUN_ID=7",
            "KALA_SLOT=",
        ]

    def test_has_the_jobs_variables_before_kalas_environment(self, bench):
        bench.submit("echo $GREETING $HOME", env=(("GREETING", "hello"), ("HOME", "/nowhere")))
        bench.next()
        assert bench.output() == "hello /nowhere\n"

    @pytest.mark.parametrize("user", ["", pytest.param("daemon", marks=as_root)])
    def test_starts_with_the_most_variables_and_the_longest_line_that_a_job_may_have(self, bench, user):
        room = fields._room_for_variables()
        most = {f"A{number:099}": "x" * (room // 1000 - 112) for number in range(999)}
        most = {**most, "LONG": "x" * (room - sum(len(name) + len(value) + 10 for name, value in most.items()) - 14)}
        line = "echo ${#LONG}; env | wc -l #"
        line += "x" * (fields._LONGEST_COMMAND - len(line))
        bench.submit(
            fields.command("command", line), user=user, env=fields.variables("env", most), umask="022", owner="x" * 1000
        )
        assert bench.outcome().message == ""
        length, count = map(int, bench.output().split())
        assert (length, count >= 1000) == (len(most["LONG"]), True)

    @as_root
    def test_as_another_user_starts_with_the_longest_variable_that_a_job_may_have(self, bench):
        bench.submit("echo ${#A}", user="daemon", env=fields.variables("env", {"A": "x" * (131_000 - 2)}))
        bench.next()
        assert bench.output() == "130998\n"

    def test_runs_in_the_jobs_working_directory(self, bench, tmp_path):
        bench.submit("pwd", working_directory=str(tmp_path))
        bench.next()
        assert bench.output() == f"{tmp_path}\n"

    def test_runs_in_kalas_working_directory_by_default(self, bench):
        bench.submit("pwd")
        bench.next()
        assert bench.output() == f"{Path.cwd()}\n"

    def test_runs_in_the_jobs_shell(self, bench):
        bench.submit("echo ${BASH_VERSION:+bash}", shell="/bin/bash")
        bench.next()
        assert bench.output() == "bash\n"

    def test_has_the_jobs_umask(self, bench):
        bench.submit("umask; true", umask="027")
        bench.next()
        assert bench.output() == "0027\n"

    @as_root
    def test_as_another_user_has_its_groups_and_home_without_roots_rights(self, bench):
        bench.submit("id -un; id -Gn; echo $HOME $USER $LOGNAME; pwd; cat /etc/shadow", user="daemon")
        bench.next()
        printed = bench.output().splitlines()
        assert printed[:4] == ["daemon", "daemon", "/usr/sbin daemon daemon", "/usr/sbin"]
        assert "Permission denied" in printed[4]

    @as_root
    def test_as_another_user_does_not_get_roots_environment(self, tmp_path, monkeypatch):
        for name, value in {
            "PATH": f"/root/bin:{os.environ['PATH']}",
            "OLDPWD": "/root",
            "CURL_CA_BUNDLE": "x",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        bench = Bench(tmp_path)
        bench.start()
        bench.submit("env", user="daemon", env=(("MINE", "given"),))
        bench.next()
        bench.executor.stop(PATIENCE)
        seen = dict(line.split("=", 1) for line in bench.output().splitlines() if not line.startswith(("KALA_", "L")))
        assert seen == {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/usr/sbin",
            "USER": "daemon",
            "SHELL": "/bin/sh",
            "PWD": "/usr/sbin",
            "TZ": "Asia/Tokyo",
            "MINE": "given",
        }

    @as_root
    def test_as_another_user_can_be_killed(self, bench):
        bench.submit("sleep 60; true", user="daemon", timeout="PT0.3S")
        assert bench.outcome().state == "timed_out"

    @as_root
    def test_of_a_user_that_does_not_exist_fails_with_the_reason(self, bench):
        bench.submit("true", user="nobody-of-this-name")
        assert bench.outcome().message == 'user: "nobody-of-this-name" is not a user on this machine'

    def test_of_another_user_fails_if_kala_is_not_root(self, bench, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        bench.submit("true", user="daemon")
        assert bench.outcome().message.startswith('user: "daemon" requires Kala to run as root')

    def test_with_unenforceable_limits_fails_with_the_reason(self, bench):
        bench.submit("true", memory_max=2**30)
        assert bench.outcome().message == "memory_max: limits are not available: this machine has none"

    def test_with_unenforceable_limits_runs_with_a_warning_if_that_is_configured(self, bench, caplog):
        bench.defaults = RunDefaults(output_bytes=1000, kill_grace=PATIENCE, refuse_unenforceable=False)
        bench.submit("true", tasks_max=5)
        assert bench.outcome().state == "succeeded"
        assert "starts without its limits: tasks_max: limits are not available" in caplog.text

    def test_that_takes_longer_than_the_timeout_is_timed_out(self, bench):
        bench.submit("exec sleep 60", timeout="PT0.2S")
        outcome = bench.outcome()
        assert (outcome.state, outcome.message) == ("timed_out", "timed out after 0.2 s")
