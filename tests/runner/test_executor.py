"""The executor returns each submitted run with its outcome."""

import errno
import os
import pwd
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from threading import Event, Semaphore, current_thread
from typing import Any

import pytest
from msgspec.structs import replace

from kala.api import fields
from kala.core.job import Command, HttpCall, Job, Spec
from kala.core.limits import MESSAGE
from kala.core.run import Cause, Outcome, Run, State
from kala.runner import command, executor, scarcity, template, users
from kala.runner.cgroup import Groups
from kala.runner.executor import Executor
from kala.runner.launch import RunDefaults
from kala.runner.spool import live_path_of, path_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PATIENCE = 10
NO_GROUPS = Groups(Path(), "this machine has none")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")


class Bench:
    """An executor, the runs that ended, and the files that it wrote."""

    def __init__(self, folder, workers: int = 2, starters: int = 3) -> None:
        self.ended: Queue[tuple[Run, Outcome, bytes | None]] = Queue()
        self.folder = folder
        defaults = RunDefaults(output_bytes=1000, kill_grace=PATIENCE)
        self.executor = Executor(workers, folder, defaults, NO_GROUPS, starters=starters)
        self.printed: dict[int, bytes | None] = {}

    def start(self) -> None:
        self.executor.start(lambda run, outcome, data: self.ended.put((run, outcome, data)))

    def submit(self, line: str, number: int = 1, **fields: object) -> None:
        action = fields.pop("action", Command(line))
        job = Job(id="1", spec=Spec(name="backup", action=action, **fields), created_at=NOON, next_due=None)
        run = Run(
            id=number, job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, started_at=NOON
        )
        self.executor.submit(run, job)

    def next(self) -> tuple[Run, Outcome]:
        run, outcome, self.printed[run.id] = self.ended.get(timeout=PATIENCE)
        return run, outcome

    def outcome(self) -> Outcome:
        return self.next()[1]

    def output(self, number: int = 1) -> str:
        data = self.printed[number]
        return (path_of(self.folder, number).read_bytes() if data is None else data).decode()


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.start()
    yield bench
    bench.executor.cancel_all("the test is over", force=True)
    bench.executor.stop(PATIENCE)


class TestARun:
    def test_comes_back_with_its_outcome(self, bench):
        bench.submit("exit 3", number=7)
        run, outcome = bench.next()
        assert (run.id, outcome.state, outcome.exit_code) == (7, "failed", 3)

    def test_comes_back_with_its_real_start_time(self, bench):
        before = datetime.now(UTC)
        bench.submit("true")
        run, outcome = bench.next()
        assert before <= run.started_at <= outcome.ended_at

    def test_has_its_own_output(self, bench):
        bench.submit("echo one", number=1)
        bench.submit("echo two", number=2)
        bench.next()
        bench.next()
        assert (bench.output(1), bench.output(2)) == ("one\n", "two\n")

    def test_says_how_much_output_was_kept(self, bench):
        bench.submit("echo hello")
        outcome = bench.outcome()
        assert (outcome.output_size, outcome.output_cut) == (6, False)

    def test_says_how_much_of_a_truncated_output_was_kept(self, bench):
        bench.submit("head -c 300000 /dev/zero")
        outcome = bench.outcome()
        assert (outcome.output_size, outcome.output_cut) == (path_of(bench.folder, 1).stat().st_size, True)

    def test_has_its_output_truncated_at_the_limit(self, bench):
        bench.submit("head -c 5000 /dev/zero")
        assert bench.outcome().output_cut

    def test_has_its_output_truncated_at_the_limit_as_last_changed(self, bench):
        bench.executor.configure(RunDefaults(output_bytes=10_000, kill_grace=PATIENCE))
        bench.submit("head -c 5000 /dev/zero")
        assert not bench.outcome().output_cut

    def test_has_a_big_output_in_a_file(self, bench):
        bench.executor.configure(RunDefaults(output_bytes=1 << 20, kill_grace=PATIENCE))
        bench.submit("head -c 300000 /dev/zero | tr '\\0' x")
        bench.next()
        assert bench.printed[1] is None
        assert path_of(bench.folder, 1).read_bytes() == b"x" * 300_000

    def test_may_be_an_http_call(self, bench):
        bench.submit("", action=HttpCall(url="http://127.0.0.1:1/", timeout=5))
        assert bench.outcome().message == "GET http://127.0.0.1:1/: Connection refused"

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

    @pytest.mark.parametrize(
        ("folder", "message"),
        [
            ("/no/\x1b[2J\r\n2026-11-27 00:00:00.000 backup: run 7 succeeded", r"in /no/\x1b[2J\r\n2026-11-27 00"),
            ("/no/\udcff", r"in /no/\udcff: No such file or directory"),
            ("/no/\u202egpj", r"in /no/\u202egpj: No such file or directory"),
        ],
    )
    def test_has_a_message_without_control_characters(self, bench, folder, message):
        bench.submit("true", working_directory=folder)
        assert message in bench.outcome().message

    def test_has_a_message_of_bounded_length(self, bench):
        bench.submit("true", working_directory="/" + "x" * 5_000_000)
        assert len(bench.outcome().message) == MESSAGE

    @pytest.mark.parametrize(
        "fault",
        [
            "command.spawn",
            "command.RunningCommand._read_output",
            "command.RunningCommand._timeout",
            "output.Output.close",
        ],
    )
    def test_that_meets_a_bug_fails_and_the_others_go_on(self, bench, caplog, monkeypatch, fault):
        with monkeypatch.context() as broken:
            broken.setattr(f"kala.runner.{fault}", lambda *_: 1 / 0)
            bench.submit("exec sleep 60" if fault == "command.RunningCommand._timeout" else "true")
            assert bench.outcome().message == "internal error: division by zero"
        bench.submit("true", number=2)
        assert bench.outcome().state == "succeeded"
        assert [record.getMessage() for record in caplog.records] == ["run 1 of backup failed with an internal error"]


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
        bench.executor.configure(RunDefaults(output_bytes=1000, kill_grace=PATIENCE, refuse_unenforceable=False))
        bench.submit("true", tasks_max=5)
        assert bench.outcome().state == "succeeded"
        assert "starts without its limits: tasks_max: limits are not available" in caplog.text

    def test_that_takes_longer_than_the_timeout_is_timed_out(self, bench):
        bench.submit("exec sleep 60", timeout="PT0.2S")
        outcome = bench.outcome()
        assert (outcome.state, outcome.message) == ("timed_out", "timed out after 0.2 s")


class TestTheWorkers:
    def test_work_side_by_side(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"cat {bench.folder}/pipe; true", number=1)
        bench.submit(f"echo hello > {bench.folder}/pipe", number=2)
        assert {bench.outcome().state, bench.outcome().state} == {"succeeded"}
        assert bench.output(1) == "hello\n"

    def test_take_runs_in_the_order_of_submission(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        for number in range(1, 6):
            bench.submit("", number=number, action=HttpCall(url="http://127.0.0.1:1/", timeout=5))
        bench.start()
        assert [bench.next()[0].id for _ in range(5)] == [1, 2, 3, 4, 5]
        bench.executor.stop(PATIENCE)

    def test_finish_the_submitted_runs_before_they_stop(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        bench.submit("true", number=1)
        bench.submit("true", number=2)
        bench.start()
        bench.executor.stop(PATIENCE)
        assert bench.ended.qsize() == 2

    def test_can_be_stopped_twice(self, bench):
        bench.executor.stop(PATIENCE)
        bench.executor.stop(PATIENCE)

    def test_stop_at_the_timeout_without_waiting_for_a_run(self, bench):
        bench.submit("sleep 60")
        bench.executor.stop(timeout=0)
        assert bench.ended.empty()


class TestAShortCommand:
    """A short command is not handed over to a worker: there is none here."""

    @pytest.fixture
    def bench(self, tmp_path):
        bench = Bench(tmp_path, workers=0)
        bench.start()
        yield bench
        bench.executor.stop(PATIENCE)

    def test_comes_back_with_its_outcome_and_output(self, bench):
        bench.submit("echo hello; exit 3")
        assert bench.outcome().exit_code == 3
        assert bench.output() == "hello\n"

    def test_leaves_no_descriptor_and_no_process(self, bench):
        before = sorted(Path("/proc/self/fd").iterdir())
        bench.submit("echo $$")
        bench.next()
        assert sorted(Path("/proc/self/fd").iterdir()) == before
        assert not Path(f"/proc/{bench.output().strip()}").exists()


class TestALongCommand:
    """A long command goes to a worker, and the starter goes on; there is one of each here."""

    @pytest.fixture
    def bench(self, tmp_path, monkeypatch):
        bench = Bench(tmp_path, workers=1, starters=1)
        bench.start()
        yield bench
        bench.executor.cancel_all("the test is over", force=True)
        bench.executor.stop(PATIENCE)

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param("exec sleep 60", id="a command that lasts"),
            pytest.param(
                "f=/tmp/kala-$$; : >$f; setsid sh -c 'rm $0; exec sleep 0.5' $f & while [ -e $f ]; do :; done",
                id="an output that is held by a process that left the group",
            ),
        ],
    )
    def test_does_not_keep_others_from_starting(self, bench, line):
        bench.submit(line, number=1)
        bench.submit("true", number=2)
        assert bench.next()[0].id == 2

    def test_is_still_watched_while_another_start_blocks(self, bench, monkeypatch):
        blocked = Event()
        render = template.render
        monkeypatch.setattr(template, "render", lambda job: (job.spec.owner and blocked.wait(PATIENCE), render(job))[1])
        bench.submit("exec sleep 60", number=1, timeout="PT0.2S")
        bench.submit("true", number=2, owner="somebody")
        run, outcome = bench.next()
        assert (run.id, outcome.state) == (1, "timed_out")
        blocked.set()
        assert bench.next()[0].id == 2

    def test_has_its_whole_output(self, bench):
        bench.submit("head -c 60000 /dev/zero")
        bench.next()
        assert len(bench.output()) > 1000


class Lacking:
    """A stand-in for a system call: it fails for want of a resource until `is_over` is set."""

    def __init__(self, function: Callable[..., Any], number: int = errno.EMFILE) -> None:
        self._function, self._number = function, number
        self.is_over = False
        self.tries: Queue[None] = Queue()

    def __call__(self, *arguments: object, **options: object) -> Any:
        if self.is_over:
            return self._function(*arguments, **options)
        self.tries.put(None)
        raise OSError(self._number, os.strerror(self._number))

    def wait(self, tries: int = 2) -> None:
        for _ in range(tries):
            self.tries.get(timeout=PATIENCE)


class TestAStartWithoutResources:
    @pytest.fixture
    def bench(self, tmp_path, monkeypatch):
        monkeypatch.setattr(scarcity, "_LONGEST_PAUSE", 0.05)
        bench = Bench(tmp_path, starters=1)
        bench.start()
        yield bench
        bench.executor.cancel_all("the test is over", force=True)
        bench.executor.stop(PATIENCE)

    @pytest.fixture
    def spawn(self, monkeypatch):
        lacking = Lacking(command.spawn)
        monkeypatch.setattr(command, "spawn", lacking)
        return lacking

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
    @pytest.mark.parametrize("delimiters", ["", "{{ }}"])
    def test_is_retried_until_it_succeeds(self, bench, spawn, number, delimiters):
        spawn._number = number
        bench.submit("echo hello; true", template_delimiters=delimiters)
        spawn.wait()
        before = datetime.now(UTC)
        spawn.is_over = True
        run, outcome = bench.next()
        assert (outcome.state, bench.output(), outcome.message) == ("succeeded", "hello\n", "")
        assert run.started_at > before
        assert outcome.duration < (outcome.ended_at - before).total_seconds() * 1e9

    def test_keeps_no_other_from_starting(self, bench, spawn):
        bench.submit("echo one; true", number=1)
        spawn.wait()
        spawn.is_over = True
        bench.submit("echo two; true", number=2)
        assert {bench.next()[0].id, bench.next()[0].id} == {1, 2}

    @pytest.mark.parametrize("how", ["cancel", "cancel_all"])
    def test_ends_when_the_run_is_cancelled(self, bench, spawn, how):
        bench.submit("true")
        spawn.wait()
        bench.executor.cancel(1, "enough") if how == "cancel" else bench.executor.cancel_all("enough")
        run, outcome = bench.next()
        assert (outcome.state, outcome.message, run.started_at) == ("cancelled", "enough", None)

    def test_ends_at_the_jobs_timeout(self, bench, spawn):
        bench.submit("true", timeout="PT0.1S")
        run, outcome = bench.next()
        assert (outcome.state, run.started_at) == ("timed_out", None)
        assert outcome.message == (
            "timed out after 0.1 s; could not be started: "
            "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)"
        )

    def test_is_logged_at_most_once_a_minute(self, bench, spawn, caplog):
        for number in (1, 2):
            bench.submit("true", number=number)
        spawn.wait(6)
        [line] = [record.getMessage() for record in caplog.records]
        assert line == (
            "run 1 of backup cannot be started yet: "
            "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)"
        )

    def test_of_a_pidfd_starts_the_command_only_once(self, bench, monkeypatch):
        watched = Lacking(os.pidfd_open)
        monkeypatch.setattr(os, "pidfd_open", watched)
        bench.submit("echo hello; true", number=1)
        watched.wait()
        watched.is_over = True
        assert bench.outcome().state == "succeeded"
        assert bench.output() == "hello\n"

    def test_of_a_pidfd_keeps_no_other_from_starting(self, bench, monkeypatch):
        watched = Lacking(os.pidfd_open)
        monkeypatch.setattr(os, "pidfd_open", watched)
        for number in (1, 2):
            bench.submit(f"touch {bench.folder}/{number}; true", number=number)
        deadline = time.monotonic() + PATIENCE
        while not all((bench.folder / name).exists() for name in "12"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        watched.is_over = True
        assert {bench.outcome().state, bench.outcome().state} == {"succeeded"}

    @pytest.mark.parametrize(("state", "fields"), [("timed_out", {"timeout": "PT0.1S"}), ("cancelled", {})])
    def test_of_a_pidfd_does_not_keep_the_command_from_being_ended(self, bench, monkeypatch, state, fields):
        watched = Lacking(os.pidfd_open)
        monkeypatch.setattr(os, "pidfd_open", watched)
        bench.submit(f"trap 'touch {bench.folder}/told; exit' TERM; while :; do sleep 0.01; done", **fields)
        watched.wait()
        if state == "cancelled":
            bench.executor.cancel(1, "enough")
        deadline = time.monotonic() + PATIENCE
        while not (bench.folder / "told").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        watched.is_over = True
        assert bench.outcome().state == state

    def test_of_an_http_call_is_retried(self, bench, monkeypatch):
        opened = Lacking(os.eventfd)
        monkeypatch.setattr(os, "eventfd", opened)
        bench.submit("", action=HttpCall(url="http://127.0.0.1:1/", timeout=5))
        opened.wait()
        assert bench.ended.empty()
        opened.is_over = True
        assert bench.outcome().message == "GET http://127.0.0.1:1/: Connection refused"

    @as_root
    def test_of_a_user_lookup_is_retried(self, bench, monkeypatch):
        opened = Lacking(os.eventfd)
        monkeypatch.setattr(os, "eventfd", opened)
        bench.submit("true", user="daemon")
        opened.wait()
        assert bench.ended.empty()
        opened.is_over = True
        assert bench.outcome().state == "succeeded"

    def test_of_a_control_group_is_retried(self, bench, monkeypatch):
        class Full(Groups):
            open = Lacking(lambda *_: None, errno.EAGAIN)

        monkeypatch.setattr(bench.executor._launcher, "_groups", Full(Path()))
        bench.submit("true", tasks_max=5)
        Full.open.wait()
        assert bench.ended.empty()
        Full.open.is_over = True
        assert bench.outcome().state == "succeeded"


class TestARunAsItStands:
    RUN = Run(
        id=1,
        job_id="1",
        job_name="backup",
        cause=Cause.MANUAL,
        state=State.RUNNING,
        queued_at=NOON,
        due_at=NOON,
        started_at=NOON,
    )

    def test_has_not_started_while_no_thread_has_taken_it(self, tmp_path):
        bench = Bench(tmp_path)
        bench.submit("true")
        assert bench.executor.as_it_stands(self.RUN).started_at is None

    def test_has_not_started_while_the_system_lacks_resources(self, bench, monkeypatch):
        spawn = Lacking(command.spawn)
        monkeypatch.setattr(command, "spawn", spawn)
        bench.submit("true")
        spawn.wait()
        run, deadline = bench.executor.as_it_stands(self.RUN), time.monotonic() + PATIENCE
        while run.started_at:  # set during each attempt
            assert time.monotonic() < deadline
            run = bench.executor.as_it_stands(self.RUN)
        spawn.is_over = True
        run, _ = bench.next()
        assert bench.executor.as_it_stands(self.RUN).started_at == run.started_at != NOON

    def test_is_unchanged_once_it_has_ended_or_while_it_is_queued(self, bench):
        bench.submit("true")
        bench.next()
        for state in (State.QUEUED, State.SUCCEEDED):
            read = replace(self.RUN, state=state)
            assert bench.executor.as_it_stands(read) is read
        bench.executor.forget(1)
        assert bench.executor.as_it_stands(self.RUN) is self.RUN


class TestABlockedStarter:
    """The only starter blocks in the start of a program."""

    @pytest.fixture
    def blocked(self, tmp_path, monkeypatch):
        """An executor whose starts block until `blocked.go` is set."""
        bench = Bench(tmp_path, starters=1)
        bench.go, bench.taken, bench.threads = Event(), Semaphore(0), []
        bench.go_on_with_others = lambda: monkeypatch.setattr(command, "spawn", really)
        really = command.spawn

        def spawn(*arguments: object, **options: object) -> object:
            bench.threads.append(current_thread().name)
            bench.taken.release()
            bench.go.wait(PATIENCE)
            return really(*arguments, **options)

        monkeypatch.setattr(command, "spawn", spawn)
        bench.start()
        bench.submit("true; true", number=1)
        assert bench.taken.acquire(timeout=PATIENCE)
        yield bench
        bench.go.set()
        bench.executor.stop(PATIENCE)

    def test_lets_a_worker_start_the_next_command(self, blocked, monkeypatch):
        self.later(monkeypatch)
        blocked.go_on_with_others()
        blocked.submit("true; true", number=2)
        assert blocked.next()[0].id == 2

    def test_has_its_waiting_commands_handed_over_to_the_workers(self, blocked, monkeypatch):
        blocked.submit("true; true", number=2)
        assert blocked.executor.relieve()
        self.later(monkeypatch)
        blocked.go_on_with_others()
        assert not blocked.executor.relieve()
        assert blocked.next()[0].id == 2

    def test_takes_commands_again_once_it_is_unblocked(self, blocked, monkeypatch):
        blocked.go.set()
        blocked.next()
        while blocked.executor._busy:
            time.sleep(0.001)
        self.later(monkeypatch)
        blocked.submit("true; true", number=2)
        blocked.next()
        assert blocked.threads[-1] == "kala-starter-0"

    def test_keeps_the_none_that_stops_it(self, blocked, monkeypatch):
        blocked.executor._commands.put(None)
        self.later(monkeypatch)
        assert blocked.executor.relieve()
        assert blocked.executor._commands.get_nowait() is None

    def test_does_not_count_as_stuck_while_a_worker_is_free(self, blocked, monkeypatch):
        self.later(monkeypatch)
        assert blocked.executor.stuck_seconds() == 0

    def test_counts_the_stuck_seconds_if_no_worker_is_free(self, blocked, monkeypatch):
        blocked.submit("true; true", number=2, user=pwd.getpwuid(os.geteuid()).pw_name)
        assert blocked.taken.acquire(timeout=PATIENCE)
        self.later(monkeypatch)
        assert 29 < blocked.executor.stuck_seconds() <= 30.1

    def later(self, monkeypatch) -> None:
        now = time.monotonic()
        monkeypatch.setattr(executor.time, "monotonic", lambda: now + 30)


class TestCancelling:
    def test_ends_a_run_with_the_reason_and_leaves_the_others(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit("exec sleep 60", number=1)
        bench.submit(f"cat {bench.folder}/pipe; true", number=2)
        bench.executor.cancel(1, "cancelled by request")
        run, outcome = bench.next()
        assert (run.id, outcome.state, outcome.message) == (1, "cancelled", "cancelled by request")
        (bench.folder / "pipe").write_text("go")
        assert bench.outcome().state == "succeeded"

    def test_keeps_a_run_from_starting_that_no_thread_has_taken(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        bench.submit(f"touch {tmp_path}/started")
        bench.executor.cancel(1, "cancelled by request")
        bench.start()
        assert bench.outcome().state == "cancelled"
        assert not (tmp_path / "started").exists()
        bench.executor.stop(PATIENCE)

    def test_does_nothing_to_a_run_that_is_unknown_or_has_ended(self, bench):
        bench.executor.cancel(9, "cancelled by request")
        bench.submit("true")
        assert bench.outcome().state == "succeeded"
        bench.executor.cancel(1, "cancelled by request")
        bench.executor.forget(1)
        bench.executor.cancel(1, "cancelled by request")


class TestTheOutput:
    def test_can_be_read_from_the_start_of_a_run_until_it_is_forgotten(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"echo hello; echo ready > {bench.folder}/pipe; cat {bench.folder}/pipe")
        (bench.folder / "pipe").read_text()
        output = bench.executor.output(1)
        deadline = time.monotonic() + PATIENCE
        while not output.written and time.monotonic() < deadline:
            time.sleep(0.01)
        assert output.read(0, 100) == (b"hello\n", 6)
        (bench.folder / "pipe").write_text("bye\n")
        bench.next()
        assert bench.executor.output(1).read(6, 100) == (b"bye\n", 10)
        bench.executor.forget(1)
        assert bench.executor.output(1) is None

    def test_of_an_unknown_run_is_none(self, bench):
        assert bench.executor.output(9) is None

    def test_that_is_small_has_no_file_once_it_is_forgotten(self, bench, monkeypatch):
        monkeypatch.setattr("kala.runner.output._SPILL_SECONDS", 0.05)
        bench.submit("echo hello; sleep 0.5")
        bench.next()
        assert bench.printed[1] == b"hello\n"
        assert live_path_of(bench.folder, 1).exists()
        bench.executor.forget(1)
        assert not live_path_of(bench.folder, 1).exists()

    def test_that_is_large_keeps_its_file_when_it_is_forgotten(self, bench):
        bench.submit("head -c 20000 /dev/zero")
        bench.next()
        bench.executor.forget(1)
        assert path_of(bench.folder, 1).exists()

    def test_that_cannot_be_stored_fails_no_run_and_leaves_no_file_open(self, bench, monkeypatch, caplog):
        def is_full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "sendfile", is_full)
        bench.submit("head -c 100000 /dev/zero")
        outcome = bench.outcome()
        assert outcome.state == "succeeded"
        assert outcome.message == "some output could not be stored: No space left on device"
        assert outcome.output_cut
        assert outcome.message in caplog.text
        targets = [file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
        assert not [target for target in targets if target.is_relative_to(bench.folder)]

    def test_calls_back_whenever_there_is_more_of_it(self, tmp_path):
        printed: Queue[int] = Queue()
        executor = Executor(
            1, tmp_path, RunDefaults(output_bytes=1000, kill_grace=1), NO_GROUPS, lambda: printed.put(1)
        )
        bench = Bench(tmp_path)
        bench.executor = executor
        bench.start()
        bench.submit("echo hello")
        assert printed.get(timeout=PATIENCE)
        bench.next()
        executor.stop(PATIENCE)


class TestCancellingAll:
    def test_ends_running_commands_with_the_reason(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"echo ready > {bench.folder}/pipe; sleep 60")
        (bench.folder / "pipe").read_text()
        bench.executor.cancel_all("cancelled because Kala was stopped")
        outcome = bench.outcome()
        assert (outcome.state, outcome.message) == ("cancelled", "cancelled because Kala was stopped")

    def test_by_force_kills_a_command_that_ignores_sigterm(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"trap '' TERM; echo ready > {bench.folder}/pipe; while :; do sleep 0.01; done")
        (bench.folder / "pipe").read_text()
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.executor.cancel_all("cancelled because Kala was stopped", force=True)
        outcome = bench.outcome()
        assert (outcome.state, outcome.signal) == ("cancelled", 9)

    def test_keeps_runs_from_starting_that_no_thread_has_taken(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        bench.submit(f"touch {tmp_path}/started")
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.start()
        outcome = bench.outcome()
        assert (outcome.state, outcome.signal) == ("cancelled", None)
        assert not (tmp_path / "started").exists()
        bench.executor.stop(PATIENCE)

    def test_does_not_affect_later_runs(self, bench):
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.submit("true")
        assert bench.outcome().state == "succeeded"
