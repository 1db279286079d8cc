"""Live responses end when their caller is no longer who began them: a token was deleted, a role changed."""

import time
from collections.abc import Callable
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


class Watched(Source):
    """A live response, for as long as the same request would come from the same caller with the same permissions.

    Then it breaks off, and does not end as a complete one does. The client can send the request again.
    """

    def __init__(
        self,
        source: Source,
        gate: Gate,
        environ: "WSGIEnvironment",
        caller: Caller,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._gate = gate
        self._environ = environ
        self._caller = caller
        self._clock = clock
        # Unknown, as the caller was identified before: the first read checks again.
        self._generation = -1
        self._checked_at = clock()

    def read(self) -> bytes | None:
        generation, now = self._gate.generation, self._clock()
        if generation != self._generation or now - self._checked_at >= _CHECK_SECONDS:
            self._check()
            self._generation, self._checked_at = generation, now
        return self._source.read()

    def close(self) -> None:
        self._source.close()

    def _check(self) -> None:
        try:
            found = self._gate.identify(self._environ, Headers(self._environ), counts=False)
        except KalaError:
            found = None
        if found != self._caller:
            raise Unauthorized(f"{self._caller.actor} may no longer read it, or has other permissions now")
