"""The workers: each sees one run through from its start to its outcome."""

import os
from datetime import UTC, datetime
from queue import Queue

import pytest

from kala.core.job import Command, HttpCall, Job, Spec
from kala.core.run import Cause, Outcome, Run
from kala.engine.executor import Executor

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PATIENCE = 10


class Bench:
    """An executor, what it said when runs ended, and the files that it wrote."""

    def __init__(self, folder, workers: int = 2) -> None:
        self.ended: Queue[tuple[Run, Outcome]] = Queue()
        self.folder = folder
        self.executor = Executor(workers, folder, 1000)

    def start(self) -> None:
        self.executor.start(lambda run, outcome: self.ended.put((run, outcome)))

    def submit(self, line: str, number: int = 1, **fields: object) -> None:
        action = fields.pop("action", Command(line))
        job = Job(id="1", spec=Spec(name="backup", action=action, **fields), created_at=NOON, next_due=None)
        run = Run(
            id=number, job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, started_at=NOON
        )
        self.executor.submit(run, job)

    def next(self) -> tuple[Run, Outcome]:
        return self.ended.get(timeout=PATIENCE)

    def outcome(self) -> Outcome:
        return self.next()[1]

    def output(self, number: int = 1) -> str:
        return (self.folder / "0" / f"{number}.out").read_text()


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

    def test_comes_back_with_the_time_at_which_it_really_started(self, bench):
        before = datetime.now(UTC)
        bench.submit("true")
        run, outcome = bench.next()
        assert before <= run.started_at <= outcome.ended_at

    def test_has_its_output_in_a_file_of_its_own(self, bench):
        bench.submit("echo one", number=1)
        bench.submit("echo two", number=2)
        bench.next()
        bench.next()
        assert (bench.output(1), bench.output(2)) == ("one\n", "two\n")

    def test_has_its_output_cut_at_the_limit(self, bench):
        bench.submit("head -c 5000 /dev/zero")
        assert bench.outcome().output_cut

    def test_has_its_output_cut_at_a_limit_that_was_changed_meanwhile(self, bench):
        bench.executor.output_limit = 10_000
        bench.submit("head -c 5000 /dev/zero")
        assert not bench.outcome().output_cut

    def test_may_be_an_http_call(self, bench):
        bench.submit("", action=HttpCall(url="http://127.0.0.1:1/", timeout=5))
        assert bench.outcome().message == "GET http://127.0.0.1:1/: Connection refused"

    def test_has_its_template_filled_in(self, bench):
        bench.submit("echo {{.Name}}", template_delimiters="{{ }}")
        bench.next()
        assert bench.output() == "backup\n"

    def test_whose_template_cannot_be_filled_in_fails_with_the_reason(self, bench):
        bench.submit("echo {{ nome }}", template_delimiters="{{ }}")
        assert bench.outcome().message.startswith(
            "TemplateDelimiters: the template cannot be rendered: 'nome' is undefined"
        )

    def test_that_kala_cannot_carry_out_fails_and_its_worker_goes_on(self, bench, caplog):
        (bench.folder / "0").write_text("a file in the place of the folder")
        bench.submit("echo hello")
        assert bench.outcome().message.startswith("Kala could not carry out the run: ")
        bench.submit("true", number=2)
        assert bench.outcome().state == "succeeded"
        assert [record.getMessage() for record in caplog.records] == ["run 1 of backup could not be carried out"]


def test_commands_see_kalas_environment_without_what_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("KALA_PORT", "8000")
    monkeypatch.setenv("GREETING", "hello")
    bench = Bench(tmp_path)
    bench.start()
    bench.submit("echo $GREETING $NOTIFY_SOCKET $KALA_PORT")
    bench.next()
    bench.executor.stop(PATIENCE)
    assert bench.output() == "hello\n"


class TestTheWorkers:
    def test_work_side_by_side(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"cat {bench.folder}/pipe; true", number=1)
        bench.submit(f"echo hello > {bench.folder}/pipe", number=2)
        assert {bench.outcome().state, bench.outcome().state} == {"succeeded"}
        assert bench.output(1) == "hello\n"

    def test_take_what_they_are_given_one_after_another(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        for number in range(1, 6):
            bench.submit("true", number=number)
        bench.start()
        assert [bench.next()[0].id for _ in range(5)] == [1, 2, 3, 4, 5]
        bench.executor.stop(PATIENCE)

    def test_finish_what_they_were_given_before_they_stop(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        bench.submit("true", number=1)
        bench.submit("true", number=2)
        bench.start()
        bench.executor.stop(PATIENCE)
        assert bench.ended.qsize() == 2

    def test_can_be_stopped_again(self, bench):
        bench.executor.stop(PATIENCE)
        bench.executor.stop(PATIENCE)

    def test_that_are_stopped_do_not_wait_for_a_run_beyond_the_timeout(self, bench):
        bench.submit("sleep 60")
        bench.executor.stop(timeout=0)
        assert bench.ended.empty()


class TestCancellingAll:
    def test_ends_what_is_running_with_the_reason(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"echo ready > {bench.folder}/pipe; sleep 60")
        (bench.folder / "pipe").read_text()
        bench.executor.cancel_all("cancelled because Kala was stopped")
        outcome = bench.outcome()
        assert (outcome.state, outcome.message) == ("cancelled", "cancelled because Kala was stopped")

    def test_kills_by_force_what_does_not_want_to_go(self, bench):
        os.mkfifo(bench.folder / "pipe")
        bench.submit(f"trap '' TERM; echo ready > {bench.folder}/pipe; while :; do sleep 0.01; done")
        (bench.folder / "pipe").read_text()
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.executor.cancel_all("cancelled because Kala was stopped", force=True)
        outcome = bench.outcome()
        assert (outcome.state, outcome.signal) == ("cancelled", 9)

    def test_does_not_start_what_no_worker_has_taken_yet(self, tmp_path):
        bench = Bench(tmp_path, workers=1)
        bench.submit(f"touch {tmp_path}/started")
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.start()
        outcome = bench.outcome()
        assert (outcome.state, outcome.signal) == ("cancelled", None)
        assert not (tmp_path / "started").exists()
        bench.executor.stop(PATIENCE)

    def test_leaves_what_comes_after_alone(self, bench):
        bench.executor.cancel_all("cancelled because Kala was stopped")
        bench.submit("true")
        assert bench.outcome().state == "succeeded"
