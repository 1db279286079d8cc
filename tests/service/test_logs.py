import json
import logging
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from kala.core.limits import LOG_LINE
from kala.core.run import Cause, Outcome, Run, State
from kala.engine import run_log
from kala.service import journal, logs

logger = logging.getLogger("kala.engine")
FIELDS = {"fields": {"action": "run_started", "run_id": 12}}


@pytest.fixture(autouse=True)
def _restore_logging():
    kala = logging.getLogger("kala")
    handlers, level, raising = kala.handlers[:], kala.level, logging.raiseExceptions
    yield
    for handler in kala.handlers:
        if handler not in handlers:
            handler.close()
    kala.handlers, logging.raiseExceptions = handlers, raising
    kala.setLevel(level)


def fail() -> None:
    try:
        raise ZeroDivisionError("nothing\nto divide by")
    except ZeroDivisionError:
        logger.exception("a run of backup could not be started")


class TestForPeople:
    def test_a_line_has_local_time_in_rfc_3339_format_and_the_message(self, capsys):
        logs.configure("text", verbose=False)
        before = datetime.now(UTC)
        logger.info("run %d of backup started", 12, extra=FIELDS)
        stamp, _, sentence = capsys.readouterr().err.partition(" ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", stamp)
        assert timedelta(milliseconds=-1) <= datetime.fromisoformat(stamp) - before < timedelta(minutes=1)
        assert sentence == "run 12 of backup started\n"

    def test_a_repeated_hour_has_another_offset_the_second_time(self, monkeypatch):
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            first = logs._local.__wrapped__(1792888200)  # 2026-10-25T00:30:00Z
            second = logs._local.__wrapped__(1792888200 + 3600)
        finally:
            monkeypatch.undo()
            time.tzset()
        assert first == ("2026-10-25T02:30:00", "+02:00")
        assert second == ("2026-10-25T02:30:00", "+01:00")

    def test_the_level_is_shown_unless_it_is_info(self, capsys):
        logs.configure("text", verbose=False)
        logger.warning("the disk is nearly full")
        assert capsys.readouterr().err.endswith(" warning: the disk is nearly full\n")

    def test_an_exception_is_logged_with_its_traceback(self, capsys):
        logs.configure("text", verbose=False)
        fail()
        assert capsys.readouterr().err.endswith("  ZeroDivisionError: nothing\n  to divide by\n")

    def test_debug_messages_are_logged_when_verbose(self, capsys):
        logs.configure("text", verbose=False)
        logger.debug("one")
        logs.set_verbose(True)
        logger.debug("two")
        assert capsys.readouterr().err.endswith(" debug: two\n")


class TestForJournald:
    @pytest.mark.parametrize(
        ("level", "priority"),
        [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
    )
    def test_a_line_begins_with_its_priority_and_has_no_time(self, level, priority, capsys):
        logs.configure("journal", verbose=True)
        logger.log(level, "hello")
        assert capsys.readouterr().err == f"<{priority}>hello\n"

    def test_every_line_of_a_message_has_the_priority(self, capsys):
        logs.configure("journal", verbose=False)
        fail()
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if not line.startswith("<3>")] == []
        assert lines[-1] == "<3>  to divide by"


class TestForPrograms:
    def test_a_line_is_an_object_with_the_fields_of_the_caller(self, capsys):
        logs.configure("json", verbose=False)
        logger.info("run %d of backup started", 12, extra=FIELDS)
        entry = json.loads(capsys.readouterr().err)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("time"))
        assert entry == {
            "level": "info",
            "message": "run 12 of backup started",
            "logger": "kala.engine",
            "action": "run_started",
            "run_id": 12,
        }

    def test_an_exception_is_a_field(self, capsys):
        logs.configure("json", verbose=False)
        fail()
        entry = json.loads(capsys.readouterr().err)
        assert entry["exception"].startswith("Traceback")

    def test_a_field_of_any_type_is_logged(self, capsys, tmp_path):
        logs.configure("json", verbose=False)
        logger.info("hello", extra={"fields": {"error": ValueError("no")}})
        assert json.loads(capsys.readouterr().err)["error"] == "no"


FORGED = "\x1b[2J\r2026-11-27 backup: run 7 succeeded\n\u202e\u200b\x9b31m"
ESCAPED = "\\x1b[2J\\r2026-11-27 backup: run 7 succeeded\\n\\u202e\\u200b\\x9b31m"


NOW = datetime(2030, 1, 1, tzinfo=UTC)


def run(state, **outcome):
    facts = {"id": 7, "job_id": "1-2", "job_name": FORGED, "cause": Cause.SCHEDULE, "queued_at": NOW, "due_at": NOW}
    ended = Outcome(state=state, ended_at=NOW, duration=1_500_000, **outcome) if outcome else None
    return Run(**facts, state=state, outcome=ended)


ENDS = [run(State.SUCCEEDED, exit_code=0), run(State.FAILED, message=FORGED, exit_code=1)]
STARTS = [(run(State.RUNNING), None), (run(State.RUNNING), None)]


class TestLinesOfAStep:
    """The runs of a step are logged by one record, and each has its line all the same."""

    @pytest.fixture
    def quiet(self, monkeypatch):
        """No handler but Kala's own: pytest's want a record for each line."""
        monkeypatch.setattr(logging.getLogger("kala"), "propagate", False)

    @staticmethod
    def lines(text):
        """Return the lines without their times."""
        return [re.sub(r'^\S+[+-]\d\d:\d\d |"time":"[^"]*",', "", line) for line in text.splitlines()]

    @pytest.mark.parametrize("form", ["text", "journal", "json"])
    def test_are_the_same_as_by_a_record_each(self, form, capsys, monkeypatch):
        logs.configure(form, verbose=False)
        run_log.write(STARTS, ENDS)
        alone = self.lines(capsys.readouterr().err)
        monkeypatch.setattr(logging.getLogger("kala"), "propagate", False)
        run_log.write(STARTS, ENDS)
        assert self.lines(capsys.readouterr().err) == alone
        assert len(alone) == 4
        assert sum("warning" in line or "<4>" in line for line in alone) == 1
        assert sum(ESCAPED in line.replace("\\\\", "\\") for line in alone) == 4

    @pytest.mark.usefixtures("quiet")
    def test_share_a_record(self, capsys, monkeypatch):
        logs.configure("text", verbose=False)
        [handler] = logging.getLogger("kala").handlers
        written = []
        monkeypatch.setattr(handler, "emit", written.append)
        run_log.write(STARTS, ENDS)
        run_log.write([], [])
        assert [len(record.lines) for record in written] == [4]

    @pytest.mark.usefixtures("quiet")
    def test_are_entries_of_their_own_in_the_journal(self, journald, monkeypatch):
        monkeypatch.setattr(journal, "SOCKET", journald.path)
        monkeypatch.setattr(logs, "_is_journal", lambda _: True)
        logs.configure("auto", verbose=False)
        run_log.write(STARTS, ENDS)
        heard = [journald.heard() for _ in range(4)]
        assert [entry["KALA_ACTION"] for entry in heard] == ["run_ended"] * 2 + ["run_started"] * 2
        assert [entry["PRIORITY"] for entry in heard] == ["6", "4", "6", "6"]
        assert {entry["KALA_JOB_NAME"] for entry in heard} == {ESCAPED}
        assert [entry.get("KALA_EXIT_CODE") for entry in heard] == ["0", "1", None, None]
        assert heard[1]["MESSAGE"] == f"{ESCAPED}: run 7 failed after 0.002 s: {ESCAPED}"

    @pytest.mark.usefixtures("quiet")
    def test_go_to_stderr_each_once_if_there_is_no_journald(self, capsys, monkeypatch):
        monkeypatch.setattr(journal, "SOCKET", "/nowhere")
        monkeypatch.setattr(logs, "_is_journal", lambda _: True)
        logs.configure("auto", verbose=False)
        run_log.write(STARTS, ENDS)
        lines = capsys.readouterr().err.splitlines()
        assert [line[:3] for line in lines] == ["<6>", "<4>", "<6>", "<6>"]
        assert [re.search(r"31m: run 7 (\w+)", line)[1] for line in lines] == [
            "succeeded",
            "failed",
            "started",
            "started",
        ]


class TestTextFromOutside:
    """Names, messages and errors can forge no line and move no cursor, in every format of the log."""

    @pytest.mark.parametrize("form", ["text", "journal", "json"])
    def test_is_escaped_in_the_sentence_and_in_the_fields(self, form, capsys):
        logs.configure(form, verbose=False)
        logger.info("%s: run 1 started", FORGED, extra={"fields": {"job_name": FORGED, "changed": [FORGED]}})
        line = capsys.readouterr().err
        if form == "json":
            entry = json.loads(line)
            assert (entry["message"], entry["job_name"], entry["changed"]) == (
                f"{ESCAPED}: run 1 started",
                ESCAPED,
                [ESCAPED],
            )
        assert ESCAPED in line.replace("\\\\", "\\")
        assert line.count("\n") == 1
        assert line[:-1].isprintable()

    @pytest.mark.parametrize("form", ["text", "journal", "json"])
    def test_cannot_begin_a_line_in_a_traceback(self, form, capsys):
        logs.configure(form, verbose=False)
        try:
            raise OSError(f"lost\n2026-11-27 backup: run 7 succeeded\n{FORGED}")
        except OSError:
            logger.exception("it failed")
        written = capsys.readouterr().err
        lines = (json.loads(written)["exception"] if form == "json" else written).splitlines()
        own = ("Traceback ", "<3>it failed", "<3>Traceback ", "<3>  ", "  ") + (("20",) if form == "text" else ())
        assert [line for line in lines if not line.startswith(own)] == []
        assert sum("it failed" in line for line in lines) == (form != "json")
        assert all(line.isprintable() for line in lines)
        assert not [line for line in lines if line.startswith("2026-11-27 ")]

    def test_reaches_journald_escaped_too(self, journald, monkeypatch):
        monkeypatch.setattr(journal, "SOCKET", journald.path)
        monkeypatch.setattr(logs, "_is_journal", lambda _: True)
        logs.configure("auto", verbose=False)
        logger.info("%s", FORGED, extra={"fields": {"job_name": FORGED}})
        heard = journald.heard()
        assert (heard["MESSAGE"], heard["KALA_JOB_NAME"]) == (ESCAPED, ESCAPED)

    def test_is_bounded(self, capsys):
        logs.configure("json", verbose=False)
        logger.info("x" * 5_000_000, extra={"fields": {"job_name": "y" * 5_000_000}})
        entry = json.loads(capsys.readouterr().err)
        assert len(entry["message"]) == len(entry["job_name"]) == LOG_LINE

    def test_a_field_that_is_not_text_is_not_changed(self, capsys):
        logs.configure("json", verbose=False)
        logger.info("hello", extra={"fields": {"run_id": 12, "duration_s": 0.5, "exit_code": None, "is_cut": True}})
        entry = json.loads(capsys.readouterr().err)
        assert [entry[name] for name in ("run_id", "duration_s", "exit_code", "is_cut")] == [12, 0.5, None, True]


class TestAuto:
    """As processes, because the format depends on stderr."""

    PROGRAM = """
import logging
import os
from kala.service import journal, logs
journal.SOCKET = os.environ["JOURNAL_SOCKET"]
logs.configure("auto", verbose=False)
logging.getLogger("kala").info("hello")
"""

    def said(self, stream: str, journal: str = "/nowhere") -> str:
        read, write = os.pipe()
        stat = os.fstat(write)
        stream = stream.format(f"{stat.st_dev}:{stat.st_ino}")
        environ = os.environ | {"JOURNAL_STREAM": stream, "JOURNAL_SOCKET": journal}
        subprocess.run([sys.executable, "-c", self.PROGRAM], env=environ, stderr=write, timeout=10, check=True)
        os.close(write)
        with os.fdopen(read) as pipe:
            return pipe.read()

    def test_if_stderr_goes_to_journald_each_line_uses_its_native_protocol(self, journald):
        assert self.said("{}", journald.path) == ""
        assert journald.heard()["MESSAGE"] == "hello"

    def test_without_journalds_socket_lines_on_stderr_have_priorities(self):
        assert self.said("{}") == "<6>hello\n"

    def test_a_redirected_stderr_gets_text(self):
        assert re.fullmatch(r"\d{4}.* hello\n", self.said("1:1"))


class TestFile:
    def test_is_only_for_kalas_user_and_group_also_after_rotation(self, tmp_path):
        logs.configure("auto", verbose=False, log_file=tmp_path / "log")
        logger.info("one")
        (tmp_path / "log").rename(tmp_path / "log.1")
        logger.info("two")
        assert [file.stat().st_mode & 0o777 for file in (tmp_path / "log", tmp_path / "log.1")] == [0o640, 0o640]

    def test_that_exists_keeps_its_mode(self, tmp_path):
        (tmp_path / "log").touch(mode=0o604)
        logs.configure("auto", verbose=False, log_file=tmp_path / "log")
        logger.info("one")
        assert (tmp_path / "log").stat().st_mode & 0o777 == 0o604

    def test_a_rotated_file_is_created_again(self, tmp_path, capsys):
        logs.configure("auto", verbose=False, log_file=tmp_path / "log")
        logger.info("one")
        (tmp_path / "log").rename(tmp_path / "log.1")
        logger.info("two")
        assert (tmp_path / "log.1").read_text().endswith(" one\n")
        assert (tmp_path / "log").read_text().endswith(" two\n")
        assert capsys.readouterr().err == ""

    def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            logs.configure("auto", verbose=False, log_file=tmp_path / "gone" / "log")

    def test_a_file_that_cannot_be_reopened_is_no_failure_and_is_written_once_it_can_be(self, tmp_path, capsys):
        place = tmp_path / "logs"
        place.mkdir()
        logs.configure("auto", verbose=False, log_file=place / "log")
        place.rename(tmp_path / "away")
        logger.info("one")
        logger.info("two")
        place.mkdir()
        logger.info("three")
        assert (place / "log").read_text().endswith(" three\n")
        assert capsys.readouterr().err == ""
