"""Long responses end when their caller may no longer read them: a token was deleted, a role changed."""

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from kala.access.gate import Gate
from kala.api.http import Headers
from kala.core.caller import Caller
from kala.core.errors import KalaError, Unauthorized
from kala.server.source import Source

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

# Tokens and logins also end with time.
_CHECK_SECONDS = 60.0


class Watch:
    """Whether the caller of a long response may go on reading it.

    That is so as long as the same request would come from the same caller with the same permissions, who still sees
    what the response is about. Else it breaks off, and does not end as a complete one does. The client can send the
    request again.
    """

    def __init__(
        self,
        gate: Gate,
        environ: "WSGIEnvironment",
        caller: Caller,
        is_seen: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._environ = environ
        self._caller = caller
        self._is_seen = is_seen
        self._clock = clock
        # Unknown, as the caller was identified before: the first part is checked again.
        self._generation = -1
        self._checked_at = clock()

    def check(self) -> None:
        """Raise Unauthorized if the response must end. Called before each part of it is read."""
        generation, now = self._gate.generation, self._clock()
        if generation == self._generation and now - self._checked_at < _CHECK_SECONDS:
            return
        try:
            found = self._gate.identify(self._environ, Headers(self._environ), counts=False)
        except KalaError:
            found = None
        if found != self._caller or not self._is_seen():
            raise Unauthorized(f"{self._caller.actor} may no longer read it, or has other permissions now")
        self._generation, self._checked_at = generation, now


class Watched(Source):
    """A live response that is watched."""

    def __init__(self, source: Source, watch: Watch) -> None:
        self._source = source
        self._watch = watch

    def read(self) -> bytes | None:
        self._watch.check()
        return self._source.read()

    def close(self) -> None:
        self._source.close()


def watched(parts: Iterator[bytes], watch: Watch) -> Iterator[bytes]:
    """Yield the parts of a long response that is watched."""
    try:
        while True:
            watch.check()
            part = next(parts, None)
            if part is None:
                return
            yield part
    finally:
        if isinstance(parts, Generator):
            parts.close()
