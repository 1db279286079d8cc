"""Long responses, read from the store page by page: neither their size nor a slow client takes much memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import TypeVar

from kala.api.http import Response
from kala.core.limits import PART_BYTES
from kala.store.store import Session

Row = TypeVar("Row")
Reading = Callable[[], AbstractContextManager[Session]]
"""Store.reading(), with the owners whose jobs the caller sees."""
# Reads the rows after the last one (None: all rows). The number is how many were read before.
Read = Callable[[Session, Row | None, int], Iterable[Row]]
# Rows are encoded in batches, which costs less than one by one. The first batch has the fewest; the others are sized by
# the length of the one before, so that this many fill a page. A page exceeds PART_BYTES by at most one batch.
_MIN_ROWS, _MAX_ROWS = 4, 64
_BATCHES_PER_PAGE = 8


def pages(
    reading: Reading, read: Read[Row], encode: Callable[[list[Row]], bytes], separator: bytes = b","
) -> Iterator[bytes]:
    """Yield the encoded rows in pages of about PART_BYTES, with the separator between batches.

    Read each page in a transaction of its own, so that a slow client does not hold a database connection.
    """
    last: Row | None = None
    count, batch_size, between, has_more = 0, _MIN_ROWS, b"", True
    while has_more:
        page: list[bytes] = []
        size = 0
        with reading() as session:
            rows = iter(read(session, last, count))
            while batch := list(islice(rows, batch_size)):
                page.append(text := encode(batch))
                last, count, size = batch[-1], count + len(batch), size + len(text)
                fitting = PART_BYTES * len(batch) // (_BATCHES_PER_PAGE * (len(text) or 1))
                batch_size = max(_MIN_ROWS, min(_MAX_ROWS, fitting))
                if size >= PART_BYTES:
                    break
            has_more = bool(batch)
        if joined := separator.join(filter(None, page)):
            yield between + joined
            between = separator


def long_response(parts: Iterator[bytes], headers: Mapping[str, str] = {}) -> Response:
    """Return a response of these parts: as a whole if it is short, or else streamed."""
    start = b""
    for part in parts:
        start += part
        if len(start) >= PART_BYTES:
            return Response(body=_prepended(start, parts), headers=headers)
    return Response(body=start, headers=headers)


def _prepended(start: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from parts
