"""Long answers, read from the store page by page, so that neither their size nor a slow client takes much memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from kala.api.exchange import Answer
from kala.core.limits import PART_BYTES
from kala.store.store import Session, Store

Row = TypeVar("Row")
# The rows after the one that was read last, or all of them, and how many have been read before.
Read = Callable[[Session, Row | None, int], Iterable[Row]]


def pages(store: Store, read: Read[Row], encode: Callable[[Row], bytes]) -> Iterator[list[bytes]]:
    """What the rows are encoded to, where that is anything, in pages of PART_BYTES.

    Each page is read in a transaction of its own: a slow client holds nothing of the database.
    """
    last: Row | None = None
    count = 0
    while True:
        with store.reading() as session:
            found = _page(read(session, last, count), encode)
        page, last = found
        yield page
        if last is None:
            return
        count += len(page)


def _page(rows: Iterable[Row], encode: Callable[[Row], bytes]) -> tuple[list[bytes], Row | None]:
    """The first rows, and the last of them where more follow."""
    page: list[bytes] = []
    size = 0
    last: Row | None = None
    for row in rows:
        if size >= PART_BYTES:
            return page, last
        if encoded := encode(row):
            page.append(encoded)
        size, last = size + len(encoded), row
    return page, None


def listed(found: Iterable[list[bytes]], separator: bytes = b",") -> Iterator[bytes]:
    """One text of all pages, with the separator between what is on them."""
    between = b""
    for page in found:
        if page:
            yield between + separator.join(page)
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
