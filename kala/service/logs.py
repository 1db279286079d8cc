"""The log: for people, for journald and for programs. Each call gives one sentence, and the same facts as fields:

`logger.info("run 12 of backup started", extra={"fields": {"action": "run_started", "run_id": 12}})`

A record may have several lines, each with a level, a sentence and fields of its own (`kala.engine.run_log`).
"""

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import NoneType

import msgspec

from kala.core.foreign import presentable
from kala.core.instants import rfc3339
from kala.core.limits import LOG_LINE
from kala.engine.log_lines import Line
from kala.service import journal

logger = logging.getLogger("kala")
# Types of fields that need no escaping. A tuple, because isinstance() with a union takes three times as long.
_PLAIN = (int, float, NoneType)


class Presentable(logging.Filter):
    """Escapes text in a record, for every format: names, messages and errors can come from outside.

    A traceback keeps its lines. All but the first are indented, so that none can pass for a log line.
    """

    accepts_lines = True

    def __init__(self, *, has_fields: bool = True) -> None:
        """`has_fields` says that the format shows fields."""
        super().__init__()
        self._has_fields = has_fields

    def filter(self, record: logging.LogRecord) -> bool:
        if lines := _lines(record):
            record.lines = [self._line(line) for line in lines]
            return True
        record.msg, record.args = presentable(record.getMessage(), LOG_LINE), None
        if fields := getattr(record, "fields", None):
            record.fields = self._fields(fields)
        if record.exc_info:
            first, *rest = logging.Formatter().formatException(record.exc_info).split("\n")
            record.exc_text = "\n".join([first, *(_indented(presentable(line, LOG_LINE)) for line in rest)])
        return True

    def _line(self, line: Line) -> Line:
        message, fields = presentable(line.message, LOG_LINE), self._fields(line.fields)
        is_plain = message is line.message and fields is line.fields
        return line if is_plain else Line(line.level, message, fields)

    def _fields(self, fields: dict[str, object]) -> dict[str, object]:
        if not self._has_fields or _are_plain(fields.values()):
            return fields
        return {name: _presentable(value) for name, value in fields.items()}


def _lines(record: logging.LogRecord) -> list[Line]:
    """Return the lines of a record that has several."""
    lines: list[Line] = getattr(record, "lines", [])
    return lines


def _are_plain(values: Iterable[object]) -> bool:
    """Return whether no field needs escaping. Usually so, and quick to find out, as each run logs two records."""
    texts = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif not isinstance(value, _PLAIN):
            return False
    text = "".join(texts)
    return presentable(text, LOG_LINE) is text


def _presentable(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_presentable(one) for one in value]
    return value if isinstance(value, _PLAIN) else presentable(str(value), LOG_LINE)


def _indented(line: str) -> str:
    return line if line.startswith(" ") else f"  {line}"


class TextFormatter(logging.Formatter):
    """For people: local time (RFC 3339), the level unless it is info, the message."""

    def format(self, record: logging.LogRecord) -> str:
        seconds, rest = divmod(record.created, 1)
        clock, offset = _local(int(seconds))
        time = f"{clock}.{int(rest * 1000):03}{offset} "
        if lines := _lines(record):
            return "\n".join([f"{time}{_level(line.level)}{line.message}" for line in lines])
        return f"{time}{_level(record.levelno)}{super().format(record)}"


def _level(level: int) -> str:
    return "" if level == logging.INFO else f"{logging.getLevelName(level).lower()}: "


@lru_cache(maxsize=2)
def _local(seconds: int) -> tuple[str, str]:
    """Return local time and UTC offset. Cached, because a busy second has hundreds of lines."""
    text = datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    return text[:19], text[19:]


class JournalFormatter(logging.Formatter):
    """For journald through stderr: each line starts with its priority (sd-daemon(3)); journald adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        if lines := _lines(record):
            return "\n".join([_priority(line.level) + line.message for line in lines])
        prefix = _priority(record.levelno)
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _priority(level: int) -> str:
    return f"<{journal.PRIORITIES.get(level, 6)}>"


class JsonFormatter(logging.Formatter):
    """For programs: one JSON object per line, with the fields."""

    def format(self, record: logging.LogRecord) -> str:
        time = rfc3339(datetime.fromtimestamp(record.created, UTC), "microseconds")

        def entry(level: int, message: str) -> dict[str, object]:
            name = logging.getLevelName(level).lower()
            return {"time": time, "level": name, "message": message, "logger": record.name}

        if lines := _lines(record):
            return b"\n".join([_encoded(entry(line.level, line.message) | line.fields) for line in lines]).decode()
        one = entry(record.levelno, record.getMessage())
        if record.exc_info:
            one["exception"] = record.exc_text or self.formatException(record.exc_info)
        return _encoded(one | getattr(record, "fields", {})).decode()


def _encoded(entry: dict[str, object]) -> bytes:
    return msgspec.json.encode(entry, enc_hook=str)


class _LogFile(WatchedFileHandler):
    """A file that logrotate may move. If it cannot be opened again, lines are lost, but no run fails."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        """Create a new file for Kala's user and group only, as messages contain names and paths of jobs."""
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        return open(fd, "a", encoding=self.encoding, errors=self.errors)  # noqa: PTH123  a file descriptor

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)


_FORMATTERS = {"text": TextFormatter, "journal": JournalFormatter, "json": JsonFormatter}


def configure(log_format: str, *, verbose: bool, log_file: Path | None = None) -> None:
    """Log to the file, or else to stderr. Replaces the previous configuration."""
    # If the log cannot be written, for example because it is a closed pipe, do not print a traceback for each line.
    logging.raiseExceptions = False
    # No format uses these; see "Optimization" in Python's Logging HOWTO.
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler: logging.Handler = _LogFile(log_file) if log_file else logging.StreamHandler(sys.stderr)
    to_journal = not log_file and _is_journal(os.environ)
    auto = "journal" if to_journal else "text"
    log_format = auto if log_format == "auto" else log_format
    handler.setFormatter(_FORMATTERS[log_format]())
    if to_journal and log_format == "journal":
        handler = journal.JournalHandler(handler, journal.SOCKET)
    handler.addFilter(Presentable(has_fields=log_format != "text"))
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    set_verbose(verbose)


def set_verbose(verbose: bool) -> None:
    """Log at level debug, or else info."""
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Return whether stderr goes to journald, and was not redirected since systemd started the process."""
    stderr = os.fstat(2)
    return environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"
