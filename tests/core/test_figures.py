"""Ages, lengths of time and sizes, as people read them at a glance."""

from datetime import UTC, datetime, timedelta

import pytest

from kala.core import figures

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AGES = [
    (0, "now"),
    (0.4, "now"),
    (1, "in 1 s"),
    (-1, "1 s ago"),
    (119, "in 119 s"),
    (120, "in 2 min"),
    (-7_199, "119 min ago"),
    (7_200, "in 2 h"),
    (172_799, "in 47 h"),
    (-172_800, "2 d ago"),
    (63_072_000, "in 730 d"),
    (63_113_904, "in 2 y"),
    (-40_000_000_000, "1,267 y ago"),
]


@pytest.mark.parametrize(("seconds", "text"), AGES)
def test_an_age_has_one_unit(seconds, text):
    assert figures.relative(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (1, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (200.9, "3 min 21 s"),
        (3_599.7, "1 h"),
        (3_600, "1 h"),
        (18_185, "5 h 3 min"),
        (86_400, "1 d"),
        (100_000_000, "1,157 d 9 h"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds, text):
    assert figures.length(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_540, "1.5 kB"),
        (99_499, "99.5 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (13_000_000, "13.0 MB"),
        (5 * 10**18, "5,000 PB"),
    ],
)
def test_a_size_has_a_decimal_prefix(count, text):
    assert figures.size(count) == text
