"""The output of a run, while it runs and afterwards, whole or in part."""

import re
from collections.abc import Iterator

from kala.api.exchange import PART, Answer, Source
from kala.core.run import MOVES
from kala.engine.executor import Executor
from kala.engine.output import Output, path_of
from kala.store.store import Store

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Outputs:
    """Finds the output of a run where it is at the moment: with its worker, in the database, or in a file."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    def parts(self, run_id: int) -> Iterator[bytes]:
        """What is there now, from its beginning."""
        under_way = self._executor.output(run_id)
        offset = 0
        while under_way:
            data, offset = under_way.read(offset, PART)
            if not data:
                return
            yield data
        yield from self._ended(run_id)

    def _ended(self, run_id: int) -> Iterator[bytes]:
        with self._store.reading() as session:
            data = session.runs.output(run_id)
        if data is not None:
            yield data
            return
        try:
            with path_of(self._store.outputs, run_id).open("rb") as file:
                while part := file.read(PART):
                    yield part
        except FileNotFoundError:
            return  # it printed nothing

    def follow(self, run_id: int) -> "FollowSource":
        """What is there now and all that comes, to the end of the run."""
        return FollowSource(self, run_id)

    def under_way(self, run_id: int) -> Output | None:
        return self._executor.output(run_id)

    def may_come(self, run_id: int) -> bool:
        """Whether a run has not ended yet, as far as is committed."""
        with self._store.reading() as session:
            run = session.runs.get(run_id)
        return run is not None and run.state in MOVES


class FollowSource(Source):
    """A run's output as it comes. It keeps the place of one reader; what was cut out before it came there is told."""

    def __init__(self, outputs: Outputs, run_id: int) -> None:
        self._outputs = outputs
        self._run_id = run_id
        self._live: Output | None = None
        self._offset = 0
        self._rest: Iterator[bytes] | None = None

    def read(self) -> bytes | None:
        if self._rest is None and self._live is None:
            self._find()
        if self._rest is not None:
            return next(self._rest, None)
        return self._read_live(self._live) if self._live else b""

    def _find(self) -> None:
        self._live = self._outputs.under_way(self._run_id)
        if self._live is None and not self._outputs.may_come(self._run_id):
            self._rest = self._outputs.parts(self._run_id)

    def _read_live(self, live: Output) -> bytes | None:
        has_ended = live.is_closed
        data, self._offset = live.read(self._offset, PART)
        return data or (None if has_ended else b"")

    def close(self) -> None:
        """Nothing is held."""


def last_lines(data: bytes, count: int) -> bytes:
    """The last lines of some output; a line that has not ended counts."""
    end = len(data) - data.endswith(b"\n")
    for _ in range(count):
        end = data.rfind(b"\n", 0, end)
        if end < 0:
            return data
    return data[end + 1 :] if count else b""


def part_of(data: bytes, wanted: str, headers: dict[str, str]) -> Answer:
    """The answer to a request for bytes with a Range header (RFC 9110, 14.2): one range, or else the whole."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(wanted.strip())
    if not match or match[1] == match[2] == "" or (match[1] and match[2] and int(match[2]) < int(match[1])):
        return Answer(body=data, headers=headers)
    first = int(match[1]) if match[1] else max(0, len(data) - int(match[2]))
    last = min(int(match[2]), len(data) - 1) if match[1] and match[2] else len(data) - 1
    if first >= len(data):
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[first : last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
