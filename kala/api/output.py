"""The output of a run, while it runs and afterwards, as a whole or in part."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO

from kala.api.http import Failure, Response, error_response
from kala.core.errors import Busy
from kala.core.outputs import Cut, find_cut, last_line, offset_at, stretch_from
from kala.core.run import MOVES, Run, State
from kala.runner.executor import Executor
from kala.runner.output import Output
from kala.runner.spool import path_of
from kala.server.source import PART, Parts, Source
from kala.store.store import Store

BINARY_HEADERS = {"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"}
_RANGES = {"Accept-Ranges": "bytes"}
WHOLE_HEADERS = BINARY_HEADERS | _RANGES | {"X-Offset": "0"}
# Up to this size, the copy of an output stays in memory.
_MAX_IN_MEMORY = 1024 * 1024
# The last line is searched for in this many bytes.
_LINE_BYTES = 4096
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Outputs:
    """Finds the output of a run: still with the executor, in the database, or in a file."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    def parts(self, run_id: int) -> Iterator[bytes]:
        """Yield what the run has printed until now, from the beginning."""
        live = self._executor.output(run_id)
        offset = 0
        while live:
            data, offset = live.read(offset, PART)
            if not data:
                return
            yield data
        yield from self._ended(run_id)

    def _ended(self, run_id: int) -> Iterator[bytes]:
        file = self._open_ended(run_id)
        yield from slice_of(file, 0, _size(file))

    def _open_ended(self, run_id: int) -> IO[bytes]:
        return self.open_with_cut(run_id)[0]

    def open_with_cut(self, run_id: int) -> tuple[IO[bytes], Cut | None]:
        """Return what an ended run has printed, as a file, and where that was cut."""
        with self._store.reading(()) as session:
            data, run = session.runs.output(run_id), session.runs.get(run_id)
        file = BytesIO(data) if data is not None else self._open_file(run_id, run)
        # Kala may have died between the last write of a lost run's output and that of its end.
        may_be_cut = run and run.outcome and (run.outcome.output_cut or run.state is State.LOST)
        return file, find_cut(_size(file), partial(_read_at, file)) if may_be_cut else None

    def _open_file(self, run_id: int, run: Run | None) -> IO[bytes]:
        # The file may be of an older run with the same id: a restored backup does not know the runs after it.
        if run and run.outcome and not run.outcome.output_size:
            return BytesIO()
        with _read_errors_as_busy():
            try:
                return path_of(self._store.outputs, run_id).open("rb")
            except FileNotFoundError:
                return BytesIO()  # the run printed nothing

    def open(self, run_id: int) -> IO[bytes]:
        """Return what the run has printed until now, as a file: a copy if the run is running, as its output changes."""
        live = self._executor.output(run_id)
        return _copied(live)[0] if live else self._open_ended(run_id)

    def last_lines(self, run: Run, count: int) -> Response:
        """Return the response to a request for the last lines. An unfinished line counts."""
        file, cuts = self._open_with_cuts(run.id)
        size = _size(file)
        start = _start_of_lines(file, size, count)
        return _bytes(200, file, start, size, offset_header(offset_at(start, cuts)))

    def last_line(self, run_id: int) -> str | None:
        """Return the last line that a run has printed, as far as it can be read; None if that is impossible."""
        try:
            with self.open(run_id) as file:
                file.seek(max(0, _size(file) - _LINE_BYTES))
                return last_line(_read(file, _LINE_BYTES))
        except Busy:
            return None

    def _open_with_cuts(self, run_id: int) -> tuple[IO[bytes], list[Cut]]:
        live = self._executor.output(run_id)
        if live:
            file, _, cuts = _copied(live)
            return file, cuts
        file, cut = self.open_with_cut(run_id)
        return file, [cut] if cut else []

    def follow(self, run: Run, lines: int | None = None) -> Response:
        """Return what the run has printed until now, or its last lines, and what follows until the run ends."""
        source = FollowSource(self, run.id, None if run.state is State.QUEUED else lines)
        return Response(body=source, headers=BINARY_HEADERS | offset_header(source.first))

    def part_from(self, run: Run, offset: int, *, is_followed: bool) -> Response:
        """Return what the run has printed from an offset on, up to a cut, and perhaps what follows until the run ends.

        The body has what was printed byte for byte: a client that counts the bytes knows where to go on.
        """
        live = self._executor.output(run.id)
        if live is None and not self.is_unfinished(run.id):
            return self._ended_part_from(run.id, offset)
        printed = live.written if live else 0
        if offset > printed:
            return _after_the_end(offset, printed)
        first = live.kept_from(offset) if live else 0
        source = ExactSource(self, run.id, first, is_followed=is_followed)
        body = source if is_followed else iter(source.read, None)
        return Response(body=body, headers=BINARY_HEADERS | offset_header(first))

    def _ended_part_from(self, run_id: int, offset: int) -> Response:
        file, cut = self.open_with_cut(run_id)
        size = _size(file)
        printed = offset_at(size, [cut] if cut else [])
        if offset > printed:
            file.close()
            return _after_the_end(offset, printed)
        start, end, first = stretch_from(offset, size, cut)
        return _bytes(200, file, start, end, offset_header(first))

    def ended_from(self, run_id: int, offset: int) -> Iterator[bytes]:
        """Yield what an ended run has printed from an offset on, up to a cut."""
        file, cut = self.open_with_cut(run_id)
        start, end, _ = stretch_from(offset, _size(file), cut)
        return slice_of(file, start, end)

    def live(self, run_id: int) -> Output | None:
        return self._executor.output(run_id)

    def is_unfinished(self, run_id: int) -> bool:
        """Return whether the run has not ended, according to the database."""
        with self._store.reading(()) as session:
            run = session.runs.get(run_id)
        return run is not None and run.state in MOVES


def _copied(live: Output) -> tuple[IO[bytes], int, list[Cut]]:
    """Return a copy of what the run has printed until now, the offset at which to read on, and the cuts in the copy."""
    cuts: list[Cut] = []
    file = SpooledTemporaryFile(_MAX_IN_MEMORY)  # noqa: SIM115  the reader closes it
    offset = 0
    while True:
        data, following = live.read(offset, PART)
        if not data:
            return file, offset, cuts
        start = file.tell()
        file.write(data)
        if following != offset + len(data):
            cuts.append(Cut(start, file.tell(), following))
        offset = following


@contextmanager
def _read_errors_as_busy() -> Iterator[None]:
    """Turn a read error into Busy."""
    try:
        yield
    except OSError as error:
        raise Busy(f"storage: cannot read the output: {error.strerror}") from error


class FollowSource(Source):
    """The output of a run as it is printed, for one reader. A mark stands where output was cut before it was read."""

    def __init__(self, outputs: Outputs, run_id: int, lines: int | None = None) -> None:
        """Start with the last `lines` of what was printed before, or with all of it."""
        self._outputs = outputs
        self._run_id = run_id
        self._live: Output | None = None
        self._offset = 0
        self._start: Parts | None = None
        self._rest: Iterator[bytes] | None = None
        self.first = 0
        """The offset of the first byte."""
        if lines is not None:
            self._begin_with(lines)

    def _begin_with(self, lines: int) -> None:
        if live := self._outputs.live(self._run_id):
            file, self._offset, cuts = _copied(live)
            self._live = live
        elif self._outputs.is_unfinished(self._run_id):
            return  # it has printed nothing
        else:
            file, cut = self._outputs.open_with_cut(self._run_id)
            cuts, self._rest = [cut] if cut else [], iter(())
        size = _size(file)
        start = _start_of_lines(file, size, lines)
        self.first = offset_at(start, cuts)
        self._start = Parts(slice_of(file, start, size))

    def read(self) -> bytes | None:
        if self._start:
            if part := self._start.read():
                return part
            self._start = None
        if self._rest is None and self._live is None:
            self._find()
        if self._rest is not None:
            return next(self._rest, None)
        return self._read_live(self._live) if self._live else b""

    def _find(self) -> None:
        self._live = self._outputs.live(self._run_id)
        if self._live is None and not self._outputs.is_unfinished(self._run_id):
            self._rest = self._outputs.parts(self._run_id)

    def _read_live(self, live: Output) -> bytes | None:
        has_ended = live.is_closed
        with _read_errors_as_busy():
            data, self._offset = live.read(self._offset, PART)
        return data or (None if has_ended else b"")

    def close(self) -> None:
        if self._start:
            self._start.close()


class ExactSource(Source):
    """What a run prints, byte for byte, from an offset on; it ends where a part was cut out before it was read."""

    def __init__(self, outputs: Outputs, run_id: int, offset: int, *, is_followed: bool) -> None:
        self._outputs = outputs
        self._run_id = run_id
        self._offset = offset
        self._is_followed = is_followed
        self._live: Output | None = None
        self._rest: Iterator[bytes] | None = None

    def read(self) -> bytes | None:
        if self._rest is None and self._live is None:
            self._live = self._outputs.live(self._run_id)
            if self._live is None and not self._outputs.is_unfinished(self._run_id):
                self._rest = self._outputs.ended_from(self._run_id, self._offset)
        if self._rest is not None:
            return next(self._rest, None)
        if self._live is None:
            return b"" if self._is_followed else None
        return self._read_live(self._live)

    def _read_live(self, live: Output) -> bytes | None:
        has_ended = live.is_closed or not self._is_followed
        with _read_errors_as_busy():
            data, following = live.read(self._offset, PART)
        if following != self._offset + len(data):
            return None
        self._offset = following
        return data or (None if has_ended else b"")

    def close(self) -> None:
        """Do nothing: a file is closed at its end, or with this source."""


def slice_of(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` up to `end`, in parts; close the file afterwards."""
    with file:
        file.seek(start)
        while start < end and (part := _read(file, end - start)):
            start += len(part)
            yield part


def _read(file: IO[bytes], size: int) -> bytes:
    with _read_errors_as_busy():
        return file.read(min(PART, size))


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def offset_header(first: int) -> dict[str, str]:
    """Return the header with the offset of the first byte of a response."""
    return {"X-Offset": str(first)}


def _after_the_end(offset: int, printed: int) -> Response:
    sentence = f"from: {offset} is after the end of the output, which is {printed} bytes long"
    return error_response(Failure(416, sentence, offset_header(printed)))


def _read_at(file: IO[bytes], position: int, size: int) -> bytes:
    file.seek(position)
    return _read(file, size)


def _start_of_lines(file: IO[bytes], size: int, count: int) -> int:
    """Return the offset of the last `count` lines. Read backwards from the end, in parts."""
    if not count:
        return size
    end = size
    while end > 0:
        start = max(0, end - PART)
        file.seek(start)
        data = _read(file, end - start)
        place = len(data) - (end == size and data.endswith(b"\n"))
        while (place := data.rfind(b"\n", 0, place)) >= 0:
            count -= 1
            if not count:
                return start + place + 1
        end = start
    return 0


def part_of(file: IO[bytes], wanted: str) -> Response:
    """Return the response to a Range header (RFC 9110, 14.2). Ignore any but a single range of bytes."""
    size = _size(file)
    match = _RANGE.fullmatch(wanted.strip())
    if not match or match[1] == match[2] == "" or (match[1] and match[2] and int(match[2]) < int(match[1])):
        return _bytes(200, file, 0, size, _RANGES)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
    if first >= size:
        file.close()
        sentence = f"Range: {wanted[:80]!r} starts after the end of the output, which is {size} bytes long"
        return error_response(Failure(416, sentence, _RANGES | {"Content-Range": f"bytes */{size}"}))
    return _bytes(206, file, first, last + 1, _RANGES | {"Content-Range": f"bytes {first}-{last}/{size}"})


def _bytes(status: int, file: IO[bytes], start: int, end: int, headers: dict[str, str]) -> Response:
    headers = BINARY_HEADERS | headers | {"Content-Length": str(end - start)}
    return Response(status, slice_of(file, start, end), headers)
