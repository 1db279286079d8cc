import io
import logging

import pytest

from kala.core.run import State
from kala.service.journal import JournalHandler


@pytest.fixture
def stderr():
    return io.StringIO()


@pytest.fixture
def logger(journald, stderr):
    """A logger without other handlers."""
    fallback = logging.StreamHandler(stderr)
    fallback.setFormatter(logging.Formatter("stderr: %(message)s"))
    handler = JournalHandler(fallback, journald.path)
    logger = logging.Logger("kala.runs")  # noqa: LOG001
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_line_carries_its_facts_as_fields(logger, journald):
    fields = {"job_id": "1-2", "job_name": "backup", "run_id": 12, "state": State.SUCCEEDED, "duration_s": 0.5}
    logger.info("backup: run %d succeeded", 12, extra={"fields": fields})
    assert journald.heard() == {
        "MESSAGE": "backup: run 12 succeeded",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "kala",
        "LOGGER": "kala.runs",
        "KALA_JOB_ID": "1-2",
        "KALA_JOB_NAME": "backup",
        "KALA_RUN_ID": "12",
        "KALA_STATE": "succeeded",
        "KALA_DURATION_S": "0.5",
    }


def test_a_list_is_joined_with_commas_and_none_is_left_out(logger, journald):
    logger.info("hello", extra={"fields": {"changed": ["pools", "verbose"], "exit_code": None}})
    heard = journald.heard()
    assert heard["KALA_CHANGED"] == "pools, verbose"
    assert "KALA_EXIT_CODE" not in heard


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2), (25, 6)],
)
def test_a_level_becomes_a_priority_of_syslog(logger, journald, level, priority):
    logger.log(level, "hello")
    assert journald.heard()["PRIORITY"] == str(priority)


@pytest.mark.parametrize("name", ["two\nlines", "\n", "MESSAGE=no\nPRIORITY=0\n", "", "Zürich \U0001f600"])
def test_any_text_comes_through_and_cannot_pass_for_another_field(logger, journald, name):
    logger.warning("%s", name, extra={"fields": {"job_name": name}})
    heard = journald.heard()
    assert (heard["MESSAGE"], heard["KALA_JOB_NAME"], heard["PRIORITY"]) == (name, name, "4")


def test_a_lone_surrogate_does_not_lose_the_line(logger, journald):
    logger.info("\ud800")
    assert journald.heard()["MESSAGE"] == "\\ud800"


def test_an_exception_is_sent_with_its_traceback(logger, journald):
    try:
        raise ZeroDivisionError("nothing to divide by")
    except ZeroDivisionError:
        logger.exception("it failed")
    message = journald.heard()["MESSAGE"]
    assert message.startswith("it failed\nTraceback ")
    assert message.endswith("ZeroDivisionError: nothing to divide by")


def test_a_message_too_large_for_a_datagram_is_sent_as_a_file(logger, journald):
    logger.info("hello", extra={"fields": {"job_name": "x" * 5_000_000}})
    assert len(journald.heard()["KALA_JOB_NAME"]) == 5_000_000


def test_a_record_that_journald_does_not_accept_goes_to_stderr(logger, journald, stderr):
    journald.close()
    logger.info("hello")
    assert stderr.getvalue() == "stderr: hello\n"
