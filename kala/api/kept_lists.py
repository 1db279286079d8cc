"""The list of all jobs, mostly from memory: a job whose JSON was sent before is encoded again only if it changed."""

from collections.abc import Callable, Iterator
from itertools import islice
from threading import Lock

import msgspec

from kala.core.job import Job
from kala.core.limits import KEPT_BYTES, PART_BYTES
from kala.store.job_filter import JobFilter
from kala.store.store import Session, Store

# Jobs are kept in blocks, by their positions in the order of creation: the first block has 1 to 64. Their JSON is about
# 64 KiB, which is sent at once, and a change of a job costs the encoding of its block.
_BLOCK = 64
_BATCH = 4

Revision = tuple[int, int | None]
Encode = Callable[[list[tuple[int, Job]]], bytes]


class _Block(msgspec.Struct):
    """The JSON of the jobs in a block. Each entry begins with a comma."""

    revision: Revision
    text: bytes
    # The last list that has used it.
    used_by: int = 0


class KeptList:
    """The list of all jobs, for any thread. At most `most` bytes are kept."""

    def __init__(self, store: Store, encode: Encode, most: int = KEPT_BYTES) -> None:
        """`encode` returns the entries of jobs, separated by commas."""
        self._store = store
        self._encode = encode
        self._most = most
        # The lock guards what follows. Blocks can be read without it: their texts never change.
        self._lock = Lock()
        self._blocks: dict[int, _Block] = {}
        self._size = 0
        self._lists = 0

    def parts(self) -> Iterator[bytes]:
        """Yield the entries of all jobs.

        Read them in transactions of about PART_BYTES each, so that a slow client does not hold a database connection.
        """
        with self._lock:
            self._lists += 1
            number = self._lists
        after: int | None = 0
        is_first = True
        while after is not None:
            texts, after = self._read(after, number)
            for text in texts:
                yield text[1:] if is_first else text
                is_first = False

    def _read(self, after: int, number: int) -> tuple[list[bytes], int | None]:
        """Return the next entries, and the position after which the others follow; None at the end."""
        texts: list[bytes] = []
        size = 0
        with self._store.reading(()) as session:
            while size < PART_BYTES:
                text, last = self._block(session, after, number)
                if text:
                    texts.append(text)
                    size += len(text)
                    after = last
                elif (following := session.jobs.next_seq(after)) is None:
                    return texts, None
                else:
                    after = max(after, _start(following - 1))
        return texts, after

    def _block(self, session: Session, after: int, number: int) -> tuple[bytes, int]:
        """Return the entries after a position in its block, and the last position that was read."""
        start = _start(after)
        end = start + _BLOCK
        if after > start:
            # The block was too long for one part.
            return self._encoded(session, after, end)
        revision = session.jobs.revision(start, end)
        block = self._blocks.get(start)
        if block and block.revision == revision:
            block.used_by = number
            return block.text, end
        text, last = self._encoded(session, after, end) if revision[0] else (b"", end)
        if last == end:
            self._keep(start, _Block(revision, text, number))
        return text, last

    def _encoded(self, session: Session, after: int, end: int) -> tuple[bytes, int]:
        texts: list[bytes] = []
        size = 0
        jobs = session.jobs.search(JobFilter(after=after, last=end))
        while batch := list(islice(jobs, _BATCH)):
            texts.append(b"," + self._encode(batch))
            size += len(texts[-1])
            if size >= PART_BYTES:
                return b"".join(texts), batch[-1][0]
        return b"".join(texts), end

    def _keep(self, start: int, block: _Block) -> None:
        """Keep a block, unless there is no room. A long list would otherwise replace each block before its next use."""
        with self._lock:
            self._remove(start)
            if self._size + len(block.text) > self._most:
                for other in [other for other, old in self._blocks.items() if old.used_by < block.used_by - 1]:
                    self._remove(other)
            if block.text and self._size + len(block.text) <= self._most:
                self._blocks[start] = block
                self._size += len(block.text)

    def _remove(self, start: int) -> None:
        if block := self._blocks.pop(start, None):
            self._size -= len(block.text)


def _start(position: int) -> int:
    """Return the position before the block that continues after a position."""
    return position // _BLOCK * _BLOCK
