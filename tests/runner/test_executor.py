"""The executor returns each submitted run with its outcome."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from threading import Event

import pytest
from msgspec.structs import replace
from runner.workbench import NOON, PATIENCE, Bench, Lacking

from kala.core.job import HttpCall
from kala.core.limits import MESSAGE
from kala.core.run import Cause, Run, State
from kala.runner import command, template
from kala.runner.launch import RunDefaults
from kala.runner.spool import live_path_of, path_of


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
        bench.defaults = RunDefaults(output_bytes=10_000, kill_grace=PATIENCE)
        bench.submit("head -c 5000 /dev/zero")
        assert not bench.outcome().output_cut

    def test_has_a_big_output_in_a_file(self, bench):
        bench.defaults = RunDefaults(output_bytes=1 << 20, kill_grace=PATIENCE)
        bench.submit("head -c 300000 /dev/zero | tr '\\0' x")
        bench.next()
        assert bench.printed[1] is None
        assert path_of(bench.folder, 1).read_bytes() == b"x" * 300_000

    def test_may_be_an_http_call(self, bench):
        bench.submit("", action=HttpCall(url="http://127.0.0.1:1/", timeout=5))
        assert bench.outcome().message == "GET http://127.0.0.1:1/: Connection refused"

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
        bench.executor.stop(PATIENCE)

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
        bench = Bench(tmp_path, on_output=lambda: printed.put(1))
        bench.start()
        bench.submit("echo hello")
        assert printed.get(timeout=PATIENCE)
        bench.next()
        bench.executor.stop(PATIENCE)


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
