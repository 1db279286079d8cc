"""Instants as text, by RFC 3339."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.instants import rfc3339

EIGHT = datetime(2030, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (EIGHT, "2030-01-01T08:00:00Z"),
        (EIGHT.replace(microsecond=500_000), "2030-01-01T08:00:00.500000Z"),
        (EIGHT.astimezone(ZoneInfo("Europe/Berlin")), "2030-01-01T08:00:00Z"),
    ],
)
def test_an_instant_is_written_in_utc(instant, text):
    assert rfc3339(instant) == text


def test_the_precision_can_be_fixed():
    assert rfc3339(EIGHT, "microseconds") == "2030-01-01T08:00:00.000000Z"


@given(
    st.datetimes(datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-01-01"), timezones=st.timezones())
)
def test_the_text_means_the_same_instant(instant):
    # In UTC: times of different zones are never equal while one of them is ambiguous (PEP 495).
    assert datetime.fromisoformat(rfc3339(instant)) == instant.astimezone(UTC)
