"""Instants as text."""

from datetime import UTC, datetime


def rfc3339(instant: datetime, timespec: str = "auto") -> str:
    """Format an instant by RFC 3339 in UTC, such as 2030-01-01T08:00:00Z; `timespec` is that of `isoformat`."""
    return instant.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"
