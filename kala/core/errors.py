"""The errors that a caller can act on. Each one's text is a sentence for the person who made the request."""

_SHOWN = 100


class KalaError(Exception):
    """Kala cannot do what was requested. Nothing was changed, except perhaps after `Busy`."""


class Invalid(KalaError):
    """A value is invalid; the message names the field, the value and what is allowed."""


class NotFound(KalaError):
    """The requested object does not exist."""


class Conflict(KalaError):
    """The object is not in a state that allows the request."""


class Outdated(KalaError):
    """The object was changed since the client read it."""


class Unauthorized(KalaError):
    """It is not known who makes the request, or what should prove it is wrong."""


class Forbidden(KalaError):
    """The client is not allowed to make the request."""


class NoRole(Forbidden):
    """The caller does not have the role that the request needs."""


class TooManyTries(KalaError):
    """There were too many wrong passwords or tokens; the next try is allowed after this number of seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many wrong passwords or tokens; try again in {retry_after} s")
        self.retry_after = retry_after


class Busy(KalaError):
    """Kala cannot do this at the moment; the same request may succeed later.

    If the change may have been made all the same, as after a timeout, the message says so.
    """


def too_many_checks() -> Busy:
    """Return the error for a password that is not checked, as too many others are."""
    return Busy("too many passwords are being checked at the same time; try again later")


def no_run(run_id: int | str) -> NotFound:
    """Return the error for a run that does not exist. An id that a client has sent is a text of any length."""
    return NotFound(f"no run has the id {run_id[:_SHOWN] if isinstance(run_id, str) else run_id!r}")


def describe_os_error(error: OSError) -> str:
    """Return the system's message, after the name of the file if the error has one."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
