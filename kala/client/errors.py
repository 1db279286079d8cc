"""The errors of the client. Each one's text is the server's sentence, or one that says why there is none."""

from __future__ import annotations


class KalaError(Exception):
    """A request failed. `status` is that of the response, or 0 without a response.

    `retry_after` is how many seconds the server asks to wait.
    """

    status: int = 0
    retry_after: float | None = None
    offset: str | None = None


class Invalid(KalaError):
    """The request, or a value in it, is invalid."""


class Unauthorized(KalaError):
    """The request has no valid token."""


class Forbidden(KalaError):
    """The client is not allowed to make the request."""


class NotFound(KalaError):
    """The job or run does not exist."""


class Conflict(KalaError):
    """The job or run is not in a state that allows the request."""


class Outdated(Conflict):
    """The job was changed since the client read it."""


class TooLarge(KalaError):
    """The request is too large."""


class RateLimited(KalaError):
    """The client made too many requests; try again later."""


class Busy(KalaError):
    """The server cannot do this at the moment; try again later."""


class ServerError(KalaError):
    """The server failed, or what answers is not Kala."""


class ConnectionFailed(KalaError):
    """The server cannot be reached, or the connection broke. The request may have been carried out."""


_BY_STATUS: dict[int, type[KalaError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Outdated,
    413: TooLarge,
    429: RateLimited,
    503: Busy,
}


def error_for(status: int, sentence: str) -> KalaError:
    """Return the error for a response with this status."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 or status < 400 else Invalid)
    error = kind(sentence)
    error.status = status
    return error
