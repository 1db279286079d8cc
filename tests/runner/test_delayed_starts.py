"""A start that lacks resources is retried, and one that blocks does not keep other runs from starting."""

import errno
import os
import pwd
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Semaphore, current_thread

import pytest
from runner.workbench import PATIENCE, Bench, Lacking

from kala.core.job import HttpCall
from kala.runner import command, executor, scarcity
from kala.runner.cgroup import Groups

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")


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
