"""Instants in the database: whole microseconds since 1970, in UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_column(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def from_column(number: int) -> datetime:
    return _EPOCH + timedelta(0, 0, number)


def to_nullable(instant: datetime | None) -> int | None:
    return None if instant is None else to_column(instant)


def from_nullable(number: int | None) -> datetime | None:
    return None if number is None else from_column(number)
