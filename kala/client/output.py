"""The output of a run, which is read on where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .errors import Invalid
from .patience import PASSING, Patience
from .transport import Transport, path_of, query_of


class Output:
    """The output of a run, as bytes: stdout and stderr, in the order in which they were printed.

    Iterate over it for chunks as they come, or call `lines()`, `read()` or `text()`. Each of them begins again. What
    Kala did not keep of a large output is one line that says how many bytes are missing.
    """

    def __init__(
        self, transport: Transport, run_id: int, has_ended: Callable[[], bool], *, follow: bool, tail: int | None
    ) -> None:
        self._transport = transport
        self._id = run_id
        self._ask_whether_ended = has_ended
        self._follow = follow
        self._tail = tail

    def __iter__(self) -> Iterator[bytes]:
        """Yield the output in chunks."""
        if self._tail is not None:
            response = self._transport.request("GET", self._path(tail=self._tail))
            offset = int(response.headers.get("x-offset", "0")) + len(response.body)
            if response.body:
                yield response.body
            if self._follow:
                yield from self._followed(_Reader(self._transport, self._path, offset))
        elif self._follow:
            yield from self._followed(_Reader(self._transport, self._path, 0))
        else:
            yield from self._until_now(_Reader(self._transport, self._path, 0))

    def lines(self) -> Iterator[str]:
        """Yield the output in lines, without their ends, as UTF-8; what is not UTF-8 is replaced."""
        rest = b""
        for chunk in self:
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")

    def read(self) -> bytes:
        """Return all of the output."""
        return b"".join(self)

    def text(self) -> str:
        """Return all of the output as UTF-8; what is not UTF-8 is replaced."""
        return self.read().decode(errors="replace")

    def _path(self, **parameters: object) -> str:
        return path_of("run", self._id, "output") + query_of(parameters)

    def _until_now(self, reader: _Reader) -> Iterator[bytes]:
        """Yield what was printed, and then only what comes after a cut, as a run may print without end."""
        yield from reader.read()
        before = -1
        while before != reader.offset:
            before = reader.offset
            yield from reader.read(is_after_cut=True)

    def _followed(self, reader: _Reader) -> Iterator[bytes]:
        before, has_ended = -1, False
        while not has_ended or before != reader.offset:
            has_ended, before = self._has_ended(), reader.offset
            yield from reader.read(follow=True)

    def _has_ended(self) -> bool:
        patience = Patience()
        while True:
            try:
                return self._ask_whether_ended()
            except PASSING as error:
                patience.wait(error)


class _Reader:
    """Reads what was printed from an offset on; it counts all bytes that were printed, also those that are not kept."""

    def __init__(self, transport: Transport, path: Callable[..., str], offset: int) -> None:
        self._transport = transport
        self._path = path
        self.offset = offset

    def read(self, *, follow: bool = False, is_after_cut: bool = False) -> Iterator[bytes]:
        """Yield what was printed up to a cut or the end. Connect again where a connection broke.

        With `is_after_cut`, yield nothing if no cut is at the offset.
        """
        patience, start = Patience(), self.offset
        while True:
            before = self.offset
            try:
                yield from self._part(follow=follow, is_after_cut=is_after_cut and self.offset == start)
            except PASSING as error:
                if self.offset > before:
                    patience.renew()
                patience.wait(error)
                continue
            except Invalid as error:
                # After a crash of Kala, a lost run can have less than was received: the offset is after the end.
                if error.offset is None:
                    raise
            return

    def _part(self, *, follow: bool, is_after_cut: bool) -> Iterator[bytes]:
        path = self._path(**{"from": self.offset, "follow": True if follow else None})
        stream = self._transport.stream(path, has_timeout=not follow)
        first = int(stream.headers.get("x-offset", self.offset))
        if is_after_cut and first <= self.offset:
            stream.close()
            return
        for chunk in stream.chunks():
            if first > self.offset:
                yield b"\n[kala: %d bytes omitted here]\n" % (first - self.offset)
                self.offset = first
            self.offset += len(chunk)
            yield chunk
