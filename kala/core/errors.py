"""The errors that a caller can act on. Each one's text is a sentence for the person who made the request."""


class KalaError(Exception):
    """Something was asked for that Kala cannot do; nothing was changed."""


class Invalid(KalaError):
    """A value is not acceptable: the sentence names the field, the value and what would be right."""


class NotFound(KalaError):
    """There is no such thing."""


class Conflict(KalaError):
    """The thing is there, but not in a state that allows this."""


class Forbidden(KalaError):
    """The caller does not belong here."""


class Busy(KalaError):
    """Kala cannot do this now; the same request may succeed later."""
