"""Instants in the database: whole microseconds since 1970, in UTC."""

from datetime import datetime

from kala.core.instants import from_microseconds as from_column
from kala.core.instants import to_microseconds as to_column

__all__ = ["from_column", "from_nullable", "to_column", "to_nullable"]


def to_nullable(instant: datetime | None) -> int | None:
    return None if instant is None else to_column(instant)


def from_nullable(number: int | None) -> datetime | None:
    return None if number is None else from_column(number)
