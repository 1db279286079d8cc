"""Long answers, read from the store page by page, so that neither their size nor a slow client takes much memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from kala.api.exchange import Answer
from kala.core.limits import PART_BYTES
from kala.store.store import Session, Store

Row = TypeVar("Row")
# The rows after the one that was read last, or all of them, and how many have been read before.
Read = Callable[[Session, Row | None, int], Iterable[Row]]
# Rows are encoded several at a time, which costs less than one by one: at first so few, then as many as are expected to
# fill this part of a page, going by the length of those before. A page can be larger by so many.
_FEWEST, _MOST = 4, 64
_PARTS_OF_PAGE = 8


def pages(
    store: Store, read: Read[Row], encode: Callable[[list[Row]], bytes], separator: bytes = b","
) -> Iterator[bytes]:
    """What the rows are encoded to, in pages of about PART_BYTES, with the separator between rows.

    Each page is read in a transaction of its own: a slow client holds nothing of the database.
    """
    last: Row | None = None
    count, at_once, between, has_more = 0, _FEWEST, b"", True
    while has_more:
        page: list[bytes] = []
        size = 0
        with store.reading() as session:
            rows = iter(read(session, last, count))
            while batch := list(islice(rows, at_once)):
                page.append(text := encode(batch))
                last, count, size = batch[-1], count + len(batch), size + len(text)
                fitting = PART_BYTES * len(batch) // (_PARTS_OF_PAGE * (len(text) or 1))
                at_once = max(_FEWEST, min(_MOST, fitting))
                if size >= PART_BYTES:
                    break
            has_more = bool(batch)
        if joined := separator.join(filter(None, page)):
            yield between + joined
            between = separator


def long_answer(parts: Iterator[bytes], headers: Mapping[str, str] = {}) -> Answer:
    """The answer that these parts make: whole where it is short, else sent as it is read."""
    begun = b""
    for part in parts:
        begun += part
        if len(begun) >= PART_BYTES:
            return Answer(body=_from(begun, parts), headers=headers)
    return Answer(body=begun, headers=headers)


def _from(begun: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield begun
    yield from parts
